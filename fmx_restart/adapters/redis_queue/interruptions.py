"""Jobs that were killed on purpose: recorded as RQ's own failures, with the reason, and put back if wanted."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.look import text

YEAR = 31_536_000  # seconds; RQ's own default for failures (rq/defaults.py DEFAULT_FAILURE_TTL)


class Interruptions:
	def __init__(self, connection: Redis) -> None:
		self.connection = connection

	def fail(self, ids: Iterable[str], reason: str) -> None:
		for job in self._jobs(ids):
			if job.get_status() != JobStatus.FAILED:  # its worker is gone as well, and recorded nothing
				self._move_to_failed(job, reason)
			Result.create_failure(job, job.failure_ttl or YEAR, exc_string=reason)

	def requeue(self, ids: Iterable[str]) -> list[str]:
		"""The last one pushed stands first, so they go in backwards."""
		returned = []
		for job in reversed(self._jobs(ids)):
			try:
				FailedJobRegistry(job.origin, self.connection).requeue(job, at_front=True)
				returned.append(job.id)
			except InvalidJobOperation:  # somebody else put it back, or deleted it, just now
				continue
		return returned[::-1]

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

	def _jobs(self, ids: Iterable[str]) -> list[Job]:
		found = Job.fetch_many(list(ids), connection=self.connection)
		return [job for job in found if job is not None]
