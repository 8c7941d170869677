"""The scheduler that reloads in place: between two ticks, so that none is left out."""

from __future__ import annotations

from fmx_restart.engine.ports import Look, Scheduler
from fmx_restart.engine.reload import Reload


class SchedulerReload(Reload):
	"""`worker`: its record. It serves no queue, so no worker has to wait for it."""

	worker: Scheduler
	MISSING = "its record is not in Redis any more"
	is_missing = False

	def is_trying(self, look: Look) -> bool:
		return self.worker.is_trying

	def records(self, look: Look) -> list[Scheduler]:
		return [look.scheduler] if look.scheduler else []
