"""Jobs that were killed on purpose: recorded as RQ's own failures, with the reason, and put back if wanted."""

from __future__ import annotations

import time
import zlib
from base64 import b64decode
from collections.abc import Iterable

from redis import Redis
from redis.client import Pipeline
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.utils import now, utcformat

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.jobs import OTHERS_OF_RQ, hashes
from fmx_restart.adapters.redis_queue.records import (
	ODD_TYPE,
	Record,
	Unreadable,
	of_its_type,
	raw,
	text,
)
from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.frozen import frozen

YEAR = 31_536_000  # seconds; RQ's own default for failures (rq/defaults.py DEFAULT_FAILURE_TTL)

#: What FailedJobRegistry.requeue does, in one piece: whoever is broken off in the middle has done all or nothing.
#: KEYS: the job's hash, its queue, its queue's failed registry, rq:queues, its results. ARGV: the job's id, now, its ttl or "",
#: the entry of its results that tells why it failed. One that ran and failed once more since then is left.
REQUEUE = """
if redis.call('HGET', KEYS[1], 'status') ~= 'failed' then return 0 end
local last = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)[1]
if not last or last[1] ~= ARGV[4] then return 0 end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'list' and kind ~= 'none' then return -1 end
redis.pcall('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', ARGV[2], 'started_at', '', 'ended_at', '')
redis.call('HDEL', KEYS[1], 'exc_info')
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('EXPIRE', KEYS[1], ARGV[3]) end
redis.call('SADD', KEYS[4], KEYS[2])
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""


FIELDS = ("status", "origin", "failure_ttl", "ttl")
LONGEST = 1 << 20  # bytes of a recorded failure that are looked at


@frozen
class KilledJob:
	"""What of a job's hash its end needs. Its arguments and its meta stay unread."""

	id: str
	status: str
	origin: str  # its queue's full name; empty where the hash does not tell
	failure_ttl: int  # seconds; -1: for ever
	ttl: int | str  # seconds until it is forgotten unless it ran; "" for never


class Interruptions:
	"""Each act can be repeated: by whoever got no answer, or by whoever finishes it for someone who died."""

	def __init__(self, connection: Redis, unreadable: Unreadable | None = None) -> None:
		self.connection, self.unreadable = connection, unreadable or Unreadable()
		self._requeue = connection.register_script(REQUEUE)

	def fail(self, ids: Iterable[str], reason: str) -> None:
		for job in self._jobs(ids):
			failures = self._failures(job)
			if failures is not None and reason in failures.values():
				continue
			if job.status != JobStatus.FAILED:  # its worker is gone as well, and recorded nothing
				self._move_to_failed(job)
			if failures is not None:
				self._record(job, reason)

	def requeue(self, ids: Iterable[str], reason: str) -> list[str]:
		"""The last one pushed stands first, so they go in backwards."""
		returned = []
		for job in reversed(self._jobs(ids)):
			entry, why = next(iter((self._failures(job) or {}).items()), (b"", None))
			if why == reason and job.origin:
				if self._push(job, entry) >= 0:
					returned.append(job.id)
				else:
					self.unreadable.note("list of a queue", job.origin, ODD_TYPE)
		return returned[::-1]

	def _push(self, job: KilledJob, failure: bytes) -> int:
		"""Negative where its queue is no list: the job stays failed."""
		failed = keys.registry_key(FailedJobRegistry, job.origin)
		names = [keys.job_key(job.id), keys.queue_key(job.origin), failed, keys.QUEUES, results_key(job)]
		return self._requeue(keys=names, args=[raw(job.id), utcformat(now()), job.ttl, failure])

	def _move_to_failed(self, job: KilledJob) -> None:
		"""As rq's FailedJobRegistry.add, which would read and write the whole job."""
		pipe = self.connection.pipeline()
		pipe.hset(keys.job_key(job.id), "status", JobStatus.FAILED.value)
		if job.failure_ttl > 0:
			for ending in ("", *OTHERS_OF_RQ):
				pipe.expire(keys.job_key(job.id + ending), job.failure_ttl)
		if job.origin:
			self._move_between_registries(job, pipe)
		for answer in pipe.execute(raise_on_error=False):
			of_its_type(answer)

	def _move_between_registries(self, job: KilledJob, pipe: Pipeline) -> None:
		started = keys.registry_key(StartedJobRegistry, job.origin)
		for member in self._read("zrange", started, 0, -1) or ():
			if keys.started_id(text(member)) == job.id:
				pipe.zrem(started, member)
		until = time.time() + job.failure_ttl if job.failure_ttl > 0 else job.failure_ttl
		pipe.zadd(keys.registry_key(FailedJobRegistry, job.origin), {raw(job.id): until})

	def _record(self, job: KilledJob, reason: str) -> None:
		"""As rq's Result.save, which knows no ids but texts."""
		key, failure = (
			results_key(job),
			Result(job.id, Result.Type.FAILED, self.connection, exc_string=reason),
		)
		pipe = self.connection.pipeline()
		pipe.xadd(key, failure.serialize(), maxlen=10)
		if job.failure_ttl > 0:
			pipe.expire(key, job.failure_ttl)
		else:
			pipe.persist(key)
		pipe.execute()

	def _failures(self, job: KilledJob) -> dict[bytes, str] | None:
		"""
		Why it failed each time that is still known, by the entry of its results, the last one first; "" where it ended well.
		None where that cannot be read. Not by Result.all, which would build what a job returned, and run whatever code that takes.
		"""
		entries = self._read("xrevrange", results_key(job))
		if entries is None:
			self.unreadable.note("results of a job", job.id, ODD_TYPE)
			return None
		return {id: reason_in(entry.get(b"exc_string")) for id, entry in entries}

	def _read(self, command: str, *arguments: object) -> list | None:
		"""None for a key of another type."""
		pipe = self.connection.pipeline(transaction=False)
		getattr(pipe, command)(*arguments)
		[answer] = pipe.execute(raise_on_error=False)
		return of_its_type(answer)

	def _jobs(self, ids: Iterable[str]) -> list[KilledJob]:
		"""Those whose hash is there."""
		records = hashes(self.connection, ids, FIELDS, self.unreadable)
		return [self._job(id, fields) for id, fields in records if fields and any(fields)]

	def _job(self, id: str, fields: list[bytes | None]) -> KilledJob:
		status, origin, failure_ttl, ttl = map(text, fields)
		if not origin:
			Record(self.unreadable, "job", id).note("it does not say to which queue it belongs")
		seconds = whole_number(ttl) or 0
		return KilledJob(
			id, status, origin, whole_number(failure_ttl) or YEAR, seconds if seconds > 0 else ""
		)


def results_key(job: KilledJob) -> bytes:
	"""The stream in which RQ keeps the job's results."""
	return raw(Result.get_key(job.id))


def reason_in(recorded: bytes | None) -> str:
	"""Empty for one that ended well, and for what is none of RQ's records."""
	try:
		return zlib.decompressobj().decompress(b64decode(recorded or b""), LONGEST).decode()
	except (ValueError, zlib.error):
		return ""
