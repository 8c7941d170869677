"""Jobs that were killed on purpose: recorded as RQ's own failures, with the reason, and put back if wanted."""

from __future__ import annotations

import zlib
from base64 import b64decode
from collections.abc import Iterable

from redis import Redis
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.utils import now, utcformat

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.look import text

YEAR = 31_536_000  # seconds; RQ's own default for failures (rq/defaults.py DEFAULT_FAILURE_TTL)

#: What FailedJobRegistry.requeue does, in one piece: whoever is broken off in the middle has done all or nothing.
#: KEYS: the job's hash, its queue, its queue's failed registry, rq:queues. ARGV: the job's id, now, its ttl or "".
REQUEUE = """
if redis.call('HGET', KEYS[1], 'status') ~= 'failed' then return 0 end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'status', 'queued', 'enqueued_at', ARGV[2], 'started_at', '', 'ended_at', '')
redis.call('HDEL', KEYS[1], 'exc_info')
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('EXPIRE', KEYS[1], ARGV[3]) end
redis.call('SADD', KEYS[4], KEYS[2])
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""


class Interruptions:
	"""Each act can be repeated: by whoever got no answer, or by whoever finishes it for somebody who died."""

	def __init__(self, connection: Redis) -> None:
		self.connection = connection
		self._requeue = connection.register_script(REQUEUE)

	def fail(self, ids: Iterable[str], reason: str) -> None:
		for job in self._jobs(ids):
			if self._reasons(job).count(reason):
				continue
			if job.get_status() != JobStatus.FAILED:  # its worker is gone as well, and recorded nothing
				self._move_to_failed(job, reason)
			Result.create_failure(job, job.failure_ttl or YEAR, exc_string=reason)

	def requeue(self, ids: Iterable[str], reason: str) -> list[str]:
		"""The last one pushed stands first, so they go in backwards."""
		returned = []
		for job in reversed(self._jobs(ids)):
			if self._reasons(job)[:1] == [reason]:
				self._push(job)
				returned.append(job.id)
		return returned[::-1]

	def _push(self, job: Job) -> None:
		queue = keys.QUEUE_PREFIX + job.origin
		failed = FailedJobRegistry.key_template.format(job.origin)
		names = [keys.job_key(job.id), queue, failed, keys.QUEUES]
		self._requeue(keys=names, args=[job.id, utcformat(now()), job.ttl or ""])

	def _move_to_failed(self, job: Job, reason: str) -> None:
		started = StartedJobRegistry(job.origin, self.connection)
		pipe = self.connection.pipeline()
		for member in self.connection.zrange(started.key, 0, -1):
			if keys.started_id(text(member)) == job.id:
				pipe.zrem(started.key, member)
		job.set_status(JobStatus.FAILED, pipeline=pipe)
		FailedJobRegistry(job.origin, self.connection).add(
			job, job.failure_ttl or YEAR, reason, pipeline=pipe
		)
		pipe.execute()

	def _reasons(self, job: Job) -> list[str | None]:
		"""
		Why it failed each time that is still known, the last one first; None where it ended well. Not by Result.all, which
		would build what a job returned, and run whatever code that takes.
		"""
		entries = self.connection.xrevrange(Result.get_key(job.id))
		reasons = (entry.get(b"exc_string") for _, entry in entries)
		return [zlib.decompress(b64decode(reason)).decode() if reason else None for reason in reasons]

	def _jobs(self, ids: Iterable[str]) -> list[Job]:
		found = Job.fetch_many(list(ids), connection=self.connection)
		return [job for job in found if job is not None]
