"""fmx_restart.resume_later: how a long job that was asked to end early goes on afterwards."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from rq import get_current_job
from rq.job import Callback, Job, Retry
from rq.queue import Queue

#: Frappe's ids begin with the site
SITE = re.compile(r".*(?:::|\|\|)", re.DOTALL)
CALLBACKS = ("success", "failure", "stopped")


def resume_later(*, cursor: Any) -> None:
	"""
	Enqueue the running job again, at the front of its queue, with `cursor` as an argument: the same method, site, user, queue,
	time-out and other arguments. To be returned by the job, as it ends by that: `return fmx_restart.resume_later(cursor=n)`. In
	a job of Frappe it is enqueued when the job's work is committed, and not at all if that fails. The new job has an id of its
	own. Raises RuntimeError outside of a job, and TypeError for a cursor that is not JSON.
	"""
	job = get_current_job()
	if job is None:
		raise RuntimeError("resume_later can be called by a job only")
	try:
		json.dumps(cursor, allow_nan=False)
	except (TypeError, ValueError) as error:
		raise TypeError(f"The cursor is not JSON: {error}") from None
	kwargs = with_cursor(job.kwargs, cursor)
	once_committed(lambda: enqueue_again(job, kwargs))


def with_cursor(kwargs: dict, cursor: Any) -> dict:
	"""A scheduled job goes on as the method that it runs: what runs it takes no cursor."""
	if "method" not in kwargs:
		return {**kwargs, "cursor": cursor}  # none of Frappe's
	inner = kwargs.get("kwargs") or {}
	scheduled = inner.get("job_type")
	if isinstance(scheduled, str) and "." in scheduled:
		return {**kwargs, "method": scheduled, "kwargs": {"cursor": cursor}}
	return {**kwargs, "kwargs": {**inner, "cursor": cursor}}


def once_committed(act: Callable[[], object]) -> None:
	"""At once where no database takes part."""
	frappe = sys.modules.get("frappe")
	database = getattr(getattr(frappe, "local", None), "db", None)
	if database is None:
		act()
	else:
		database.after_commit.add(act)


def enqueue_again(job: Job, kwargs: dict) -> None:
	"""With the retries that RQ has left for it."""
	queue = Queue(job.origin, connection=job.connection, serializer=job.serializer)
	site = SITE.match(job.id)
	queue.enqueue_call(
		job.func_name,
		args=job.args,
		kwargs=kwargs,
		timeout=job.timeout,
		result_ttl=job.result_ttl,
		ttl=job.ttl,
		failure_ttl=job.failure_ttl,
		job_id=f"{site[0] if site else ''}{uuid4()}",
		at_front=True,
		description=job.description,  # RQ would make one of the arguments
		retry=Retry(job.retries_left, job.retry_intervals or 0) if job.retries_left else None,
		meta=dict(job.meta),
		**callbacks_of(job),
	)


def callbacks_of(job: Job) -> dict[str, Callback]:
	"""By their names, so that nothing is imported for them."""
	names = {kind: getattr(job, f"_{kind}_callback_name", None) for kind in CALLBACKS}
	return {
		f"on_{kind}": Callback(name, getattr(job, f"_{kind}_callback_timeout", None))
		for kind, name in names.items()
		if name
	}
