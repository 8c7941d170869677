"""What people may know of a job: site, method, times, failures. Arguments are never shown and never built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from statistics import median
from typing import Any

from redis import Redis
from redis.client import Pipeline
from rq.registry import FailedJobRegistry, FinishedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.pickled_names import NoPickle, content_of
from fmx_restart.adapters.redis_queue.records import ODD_TYPE, Record, Unreadable, instant, of_its_type, text
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.ports import Job

CHUNK = 1000  # hashes asked for in one round trip
LARGEST = 4 << 20  # bytes of a job's data; larger ones are not fetched
OTHERS_OF_RQ = (":dependents", ":dependencies")  # sets beside a job's hash


def hashes(
	connection: Redis, ids: Iterable[str], fields: Sequence[str], unreadable: Unreadable
) -> Iterator[tuple[str, list[bytes | None] | None]]:
	"""In the order of `ids`. A hash that is not there has only None for fields; a key of another type has no fields."""
	for chunk in chunks(ids):
		pipe = connection.pipeline(transaction=False)
		for id in chunk:
			pipe.hmget(keys.job_key(id), fields)
		yield from answers(pipe, chunk, unreadable)


def hashes_with_data(
	connection: Redis, ids: Iterable[str], fields: Sequence[str], unreadable: Unreadable
) -> Iterator[tuple[str, bytes | None, list[bytes | None] | None]]:
	"""As `hashes`, with the job's data: None where they are too large to be fetched."""
	for chunk in chunks(ids):
		pipe = connection.pipeline(transaction=False)
		for id in chunk:
			pipe.hstrlen(keys.job_key(id), "data")
		sizes = dict(answers(pipe, chunk, unreadable))
		for id in chunk:
			pipe.hmget(keys.job_key(id), fields if (sizes[id] or 0) > LARGEST else ["data", *fields])
		for id, values in answers(pipe, chunk, unreadable):
			if values and len(values) == len(fields):
				unreadable.note("job", id, "its data is larger than 4 MB")
				values = [None, *values]
			yield id, values and values[0], values and values[1:]


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
	"""The ids in groups of at most CHUNK, so that Redis serves others in between."""
	ids = iter(ids)
	while chunk := list(islice(ids, CHUNK)):
		yield chunk


def answers(pipe: Pipeline, ids: Sequence[str], unreadable: Unreadable) -> Iterator[tuple[str, Any]]:
	"""None for a key of another type."""
	for id, answer in zip(ids, pipe.execute(raise_on_error=False), strict=True):
		value = of_its_type(answer)
		if value is None and not id.endswith(OTHERS_OF_RQ):
			unreadable.note("job", id, ODD_TYPE)
		yield id, value


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
	"""What a restart shows of a job: never its arguments. A limit of None means that RQ ends it never."""
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
	"""Site, method in short and in full; "unknown" for what Frappe did not enqueue."""
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


NEWEST = 100  # finished jobs that are looked at, per queue


def usual_durations(connection: Redis, queues: Collection[str], methods: Collection[str]) -> dict[str, float]:
	"""Method → median seconds. Three round trips."""
	took: dict[str, list[float]] = {}
	for data, begin, end in finished_jobs(connection, queues):
		method = label(data)[1] if begin and end and end >= begin else None
		if method in methods:
			took.setdefault(method, []).append(end - begin)
	return {method: median(seconds) for method, seconds in took.items()}


def finished_jobs(
	connection: Redis, queues: Collection[str]
) -> Iterator[tuple[bytes | None, float | None, float | None]]:
	"""Data, start and end of each; jobs that cannot be read say nothing about how long others take."""
	pipe = connection.pipeline(transaction=False)
	for queue in queues:
		pipe.zrevrange(keys.registry_key(FinishedJobRegistry, queue), 0, NEWEST - 1)
	registered = filter(None, map(of_its_type, pipe.execute(raise_on_error=False)))
	ids = map(text, chain.from_iterable(registered))
	for _, data, fields in hashes_with_data(connection, ids, ("started_at", "ended_at"), Unreadable()):
		started, ended = fields or (None, None)
		yield data, instant(text(started)), instant(text(ended))


MINUTE = 60.0


@frozen
class FailedJob:
	"""Why it failed stands in its traceback, which may show arguments: that is for whoever may read RQ Job."""

	id: str
	site: str
	method: str
	queue: str
	ended: float | None  # seconds since the epoch


def failed_counts(connection: Redis, bench_id: str, queues: Iterable[str]) -> dict[str, int]:
	"""Queue → failed jobs that RQ still keeps. One round trip."""
	names = list(queues)
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for name in names:
			pipe.zcard(keys.registry_key(FailedJobRegistry, f"{bench_id}:{name}"))
		counts = [of_its_type(answer) or 0 for answer in pipe.execute(raise_on_error=False)]
		return dict(zip(names, counts, strict=True))


def newest_failed(connection: Redis, bench_id: str, queues: Iterable[str], most: int) -> list[FailedJob]:
	"""Of all these queues, the newest first. Three round trips."""
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for name in queues:
			pipe.zrevrange(keys.registry_key(FailedJobRegistry, f"{bench_id}:{name}"), 0, most - 1)
		ids = [text(id) for id in chain.from_iterable(filled(pipe))]
		read = list(hashes_with_data(connection, ids, ("origin", "ended_at"), Unreadable()))
	jobs = [
		FailedJob(id, *label(data), text(fields[0]).removeprefix(f"{bench_id}:"), instant(text(fields[1])))
		for id, data, fields in read
		if fields and fields[0]
	]
	return sorted(jobs, key=lambda job: job.ended or 0.0, reverse=True)[:most]


def filled(pipe: Pipeline) -> Iterator[list]:
	"""The answers, without those of keys that are of another type."""
	return filter(None, map(of_its_type, pipe.execute(raise_on_error=False)))


def ended_per_minute(
	connection: Redis,
	bench_id: str,
	queues: Iterable[str],
	minutes: Iterable[float],
	ttls: Mapping[str, float],
) -> dict[float, tuple[int, int]]:
	"""
	Minute (its beginning, seconds since the epoch) → jobs that finished and failed in it. RQ orders a registry by when it
	forgets a job: its end plus `ttls` ("finished", "failed", seconds). A job with a time of its own is counted elsewhere.
	"""
	names, wanted = list(queues), list(minutes)
	registries = {"finished": FinishedJobRegistry, "failed": FailedJobRegistry}
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for minute in wanted:
			for kind, registry in registries.items():
				begin = minute + ttls[kind]
				for name in names:
					key = keys.registry_key(registry, f"{bench_id}:{name}")
					pipe.zcount(key, begin, f"({begin + MINUTE}")
		counts = [of_its_type(answer) or 0 for answer in pipe.execute(raise_on_error=False)]
	size = len(names)
	sums = (
		[sum(counts[at : at + size]) for at in range(0, len(counts), size)] if size else [0] * 2 * len(wanted)
	)
	return {minute: (sums[2 * at], sums[2 * at + 1]) for at, minute in enumerate(wanted)}


OWN_METHODS = frozenset(
	{
		"fmx_restart.desk.daily.run",
		"fmx_restart.desk.ended.record",
		"fmx_restart.desk.sync.catch_up",
		"fmx_restart.desk.launch.launch",
		"fmx_restart.desk.samples.tick",
		"fmx_restart.desk.schedule.tick",
		"fmx_restart.recover.recover_unfinished",
		# their former paths: they wait in Redis, and stand in Scheduled Job Types, until a site is migrated
		"fmx_restart.doctor.daily.run",
		"fmx_restart.record.catching_up.catch_up",
		"fmx_restart.record.launching.launch",
		"fmx_restart.record.samples.tick",
		"fmx_restart.tick.recover_unfinished",
	}
)
EXECUTES = "frappe.utils.background_jobs.execute_job"
SCHEDULED = "frappe.core.doctype.scheduled_job_type.scheduled_job_type.run_scheduled_job"


def is_own(content: Any) -> bool:
	"""
	`content`: function, instance, arguments and keyword arguments of an RQ job. Exactly one of ours, run by Frappe as it
	runs any. A name that only begins like one of ours is a job of someone else, and so is one whose own arguments say
	that it were ours.
	"""
	if not isinstance(content, tuple) or len(content) != 4 or content[0] != EXECUTES:
		return False
	kwargs = content[3]
	if not isinstance(kwargs, dict):
		return False
	method, inner = kwargs.get("method"), kwargs.get("kwargs")
	if method == SCHEDULED and isinstance(inner, dict):
		method = inner.get("job_type")
	return isinstance(method, str) and method in OWN_METHODS
