"""Jobs that an operation waits for, as rows: running as long as it waits, and afterwards those for which it did wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fmx_restart.engine import events
from fmx_restart.engine.ports import Job
from fmx_restart.engine.report import WORTH_TELLING

Row = dict[str, Any]
MOST_WAITED = 200  # jobs that are named, of those that run and of those that were waited for; all are counted
RUNNING, WAITED_FOR = "Running", "Waited For"


class AwaitedJobs:
	"""What StillRunning tells, one after the other. Seconds are those of the wait so far."""

	def __init__(self) -> None:
		self._since: dict[str, float] = {}
		self._running: dict[str, Row] = {}
		self._ended: list[Row] = []

	@property
	def rows(self) -> list[Row]:
		"""Those that were waited for, then those that still run."""
		return [*self._ended[:MOST_WAITED], *list(self._running.values())[:MOST_WAITED]]

	@property
	def ended(self) -> int:
		"""How many were waited for, and ended."""
		return len(self._ended)

	@property
	def running(self) -> int:
		"""How many are waited for now."""
		return len(self._running)

	def note(self, fact: events.StillRunning, time: float) -> None:
		"""These run now; any other has ended since."""
		jobs = {running.job.id: running.job for running in fact.jobs}
		self._end(self._running.keys() - jobs.keys(), time)
		for id, job in jobs.items():
			since = self._since.setdefault(id, time)
			self._running[id] = {**job_row(job, RUNNING), "seconds": time - since}

	def all_ended(self, time: float) -> None:
		"""No job runs any more."""
		self._end(set(self._running), time)

	def leave(self, ids: Iterable[str]) -> None:
		"""Something else became of them: they were killed."""
		for id in ids:
			self._running.pop(id, None)

	def _end(self, ids: Iterable[str], time: float) -> None:
		for id in sorted(ids, key=self._since.__getitem__):
			seconds = time - self._since[id]
			row = self._running.pop(id)
			if seconds >= WORTH_TELLING:
				self._ended.append({**row, "part": WAITED_FOR, "seconds": seconds})


def job_row(job: Job, part: str) -> Row:
	"""A job, without its arguments."""
	return {"part": part, "site": job.site, "method": job.method, "queue": job.queue, "job_id": job.id}
