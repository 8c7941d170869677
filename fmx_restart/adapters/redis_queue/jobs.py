"""What people may know of a job: site, method, times. Its arguments are never shown and never built."""

from __future__ import annotations

import contextlib
import io
import pickle
import zlib
from collections.abc import Iterable

from redis import Redis

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.look import instant, text
from fmx_restart.engine.ports import Job

FIELDS = ("data", "origin", "started_at", "timeout")
UNKNOWN = "unknown"
#: What a pickle raises that was cut off or damaged, or is none. A wrong length asks for any amount of memory.
UNREADABLE = (
	pickle.UnpicklingError,
	EOFError,
	ValueError,
	TypeError,
	AttributeError,
	LookupError,
	OverflowError,
	MemoryError,
)


def describe(connection: Redis, bench_id: str, ids: Iterable[str]) -> dict[str, Job]:
	"""One round trip. Ids whose hash is gone are left out."""
	ids = list(ids)
	pipe = connection.pipeline(transaction=False)
	for id in ids:
		pipe.hmget(keys.job_key(id), FIELDS)
	return {
		id: job(id, bench_id, fields) for id, fields in zip(ids, pipe.execute(), strict=True) if fields[1]
	}


def job(id: str, bench_id: str, fields: list) -> Job:
	data, origin, started, timeout = fields
	site, method = label(data)
	limit = float(text(timeout) or 0)
	return Job(
		id=id,
		site=site,
		method=method,
		queue=text(origin).removeprefix(f"{bench_id}:"),
		started=instant(text(started)),
		timeout=limit if limit > 0 else None,  # RQ writes -1 for "no limit"
	)


def label(data: bytes | None) -> tuple[str, str]:
	"""Site and method of a job of Frappe's (frappe.utils.background_jobs.execute_job), or what RQ would run."""
	site, method, _ = label_and_method(data)
	return site, method


def label_and_method(data: bytes | None) -> tuple[str, str, str]:
	"""As label, and the method by its plain name, as Frappe's own doctor calls it (frappe/utils/doctor.py)."""
	try:
		function, _instance, _args, kwargs = unpickle(data or b"")
	except UNREADABLE:
		return UNKNOWN, UNKNOWN, UNKNOWN
	if not isinstance(kwargs, dict) or "method" not in kwargs:
		return UNKNOWN, str(function), str(function)
	return str(kwargs.get("site") or UNKNOWN), method_name(kwargs), str(kwargs["method"])


def method_name(kwargs: dict) -> str:
	"""Frappe's own rule (core/doctype/rq_job): the scheduled job's type, the document's method, else the method."""
	inner = kwargs.get("kwargs")
	inner = inner if isinstance(inner, dict) else {}
	if job_type := inner.get("job_type"):
		return str(job_type)
	method = str(kwargs["method"])
	if method.endswith("background_jobs.run_doc_method"):
		return f"{inner.get('doctype')}.{inner.get('doc_method')}"
	return method


class NamedType(type):
	path = ""

	def __str__(cls) -> str:
		return cls.path


class Name(metaclass=NamedType):
	"""Stands in for whatever a pickle names, so that reading a job imports and runs no app's code."""

	def __str__(self) -> str:
		return str(type(self))

	def __init__(self, *args, **kwargs) -> None: ...
	def __setstate__(self, state) -> None: ...
	def __setitem__(self, key, value) -> None: ...
	def append(self, item) -> None: ...
	def extend(self, items) -> None: ...


class NamesOnly(pickle.Unpickler):
	def find_class(self, module: str, name: str) -> NamedType:
		return NamedType("Name", (Name,), {"path": f"{module}.{name}"})


def unpickle(data: bytes):
	with contextlib.suppress(zlib.error):  # RQ reads both: jobs of old versions are not compressed
		data = zlib.decompress(data)
	return NamesOnly(io.BytesIO(data)).load()
