"""
The start and the end of a job, written down once Redis answers again: RQ takes a connection that breaks there for a failure
of the job, or writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from redis.exceptions import ConnectionError, TimeoutError
from rq.job import Job, JobStatus
from rq.worker import Worker

Answer = TypeVar("Answer")
AWAY = (ConnectionError, TimeoutError)  # Redis may come back
PATIENCE = 60.0  # seconds for that
SHORTEST, LONGEST = 0.05, 1.0  # seconds between two attempts


class Persistent(Worker):
	execution: Any = None  # of RQ 2

	def prepare_job_execution(self, job: Job, *args: Any, **kwargs: Any) -> None:
		job.heartbeat = insistent(job.heartbeat)  # RQ's first word when the job has ended
		Beginning(job)
		persistently(lambda: super(Persistent, self).prepare_job_execution(job, *args, **kwargs))

	def handle_job_success(self, job: Job, *args: Any, **kwargs: Any) -> None:
		self.write_down(job, lambda: super(Persistent, self).handle_job_success(job, *args, **kwargs))

	def handle_job_failure(self, job: Job, *args: Any, **kwargs: Any) -> None:
		def fail() -> None:
			super(Persistent, self).handle_job_failure(job, *args, **kwargs)
			if not self.is_over(job):
				raise ConnectionError("RQ could not write down that the job failed")

		self.write_down(job, fail)

	def write_down(self, job: Job, act: Callable[[], None]) -> None:
		"""Raises what AWAY names where Redis stays away; the next pop then says what becomes of the job."""
		before = self.execution, self._stopped_job_id, job.retries_left

		def act_again() -> None:
			self.execution, self._stopped_job_id, job.retries_left = before
			if not self.is_over(job):
				act()

		try:
			act()
		except AWAY:
			persistently(act_again)

	def is_over(self, job: Job) -> bool:
		"""Whether the end of a job that was started is written down."""
		return self.connection.hget(job.key, "status") != JobStatus.STARTED.value.encode()


class Beginning:
	"""RQ's last word to Redis before a job begins may be said once more; the job itself may not be begun once more."""

	def __init__(self, job: Job) -> None:
		self._perform, self._execute, self._has_begun = job.perform, job._execute, False
		job.perform, job._execute = self.perform, self.execute

	def perform(self) -> Any:
		return persistently(self._perform, unless=lambda: self._has_begun)

	def execute(self) -> Any:
		self._has_begun = True
		return self._execute()


def insistent(act: Callable[..., Answer]) -> Callable[..., Answer]:
	"""The same, but it goes on while Redis is away."""
	return lambda *args, **kwargs: persistently(lambda: act(*args, **kwargs))


def persistently(act: Callable[[], Answer], unless: Callable[[], bool] = lambda: False) -> Answer:
	"""
	Once more while Redis is away; raises what AWAY names after that, or at once where `unless` says so. What is done has to
	stand being done twice.
	"""
	until, pause = time.monotonic() + PATIENCE, SHORTEST
	while True:
		try:
			return act()
		except AWAY:
			if time.monotonic() > until or unless():
				raise
		time.sleep(pause)
		pause = min(pause * 2, LONGEST)
