"""What people may know of a job: site, method, times. Its arguments are never shown and never built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis import Redis

from fmx_restart.adapters.redis_queue.hashes import hashes_with_data
from fmx_restart.adapters.redis_queue.own_jobs import is_own
from fmx_restart.adapters.redis_queue.pickled_names import NoPickle, content_of
from fmx_restart.adapters.redis_queue.records import Record, Unreadable, text
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.ports import Job

FIELDS = ("origin", "started_at", "timeout")
UNKNOWN = "unknown"
LONGEST = 140  # characters of a site's or a method's name
NOTHING = (UNKNOWN, UNKNOWN, UNKNOWN)


def describe(
	connection: Redis, bench_id: str, ids: Iterable[str], unreadable: Unreadable | None = None
) -> dict[str, Job]:
	"""Two round trips. Ids whose hash is gone are left out; where there is one, what cannot be read of it is unknown."""
	unreadable, jobs = unreadable or Unreadable(), {}
	for id, data, fields in hashes_with_data(connection, ids, FIELDS, unreadable):
		if fields is None or any(fields):
			jobs[id] = job(Record(unreadable, "job", id), bench_id, data, fields or [None] * len(FIELDS))
	return jobs


def job(record: Record, bench_id: str, data: bytes | None, fields: list[bytes | None]) -> Job:
	origin, started, timeout = map(text, fields)
	content = read_content(data, record)
	site, method, _ = names_in(content)
	limit = record.number("timeout", timeout) or 0.0
	return Job(
		id=record.name,
		site=site,
		method=method,
		queue=origin.removeprefix(f"{bench_id}:") or UNKNOWN,
		started=record.instant("started_at", started),
		timeout=limit if limit > 0 else None,  # RQ writes -1 for "no limit"
		is_own=is_own(content),
	)


def label(data: bytes | None, record: Record | None = None) -> tuple[str, str]:
	"""Site and method of a job of Frappe's (frappe.utils.background_jobs.execute_job), or what RQ would run."""
	site, method, _ = label_and_method(data, record)
	return site, method


def label_and_method(data: bytes | None, record: Record | None = None) -> tuple[str, str, str]:
	"""As label, and the method by its plain name, as Frappe's own doctor calls it (frappe/utils/doctor.py)."""
	return names_in(read_content(data, record))


def read_content(data: bytes | None, record: Record | None = None) -> Any:
	"""None where there is nothing, or nothing that can be read; the record notes why."""
	try:
		return content_of(data) if data else None
	except NoPickle as error:
		if record:
			record.note(str(error))
		return None


def names_in(content: Any) -> tuple[str, str, str]:
	if not isinstance(content, tuple) or len(content) != 4:
		return NOTHING
	function, _instance, _args, kwargs = content
	if not isinstance(kwargs, dict) or "method" not in kwargs:
		return UNKNOWN, shown(function), shown(function)
	return shown(kwargs.get("site")), method_name(kwargs), shown(kwargs["method"])


def method_name(kwargs: dict) -> str:
	"""Frappe's own rule (core/doctype/rq_job): the scheduled job's type, the document's method, else the method."""
	inner = kwargs.get("kwargs")
	inner = inner if isinstance(inner, dict) else {}
	if inner.get("job_type"):
		return shown(inner["job_type"])
	method = shown(kwargs["method"])
	if method.endswith("background_jobs.run_doc_method"):
		return f"{shown(inner.get('doctype'))}.{shown(inner.get('doc_method'))}"
	return method


def shown(value: Any) -> str:
	"""Only a text, or the path of a function, is a name: anything else may be as long, or as secret, as its sender likes."""
	return printable(value, LONGEST) if isinstance(value, str) and value else UNKNOWN
