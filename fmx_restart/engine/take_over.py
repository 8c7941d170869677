"""
What another machine can do for a dead operation whose own machine is gone for good: settings, fence, wake-ups and jobs are
the bench's, wherever it runs. Programs are their machine's: none is looked at, none is reported as up.
"""

from __future__ import annotations

from collections.abc import Callable

from fmx_restart.engine import events
from fmx_restart.engine.ports import Bench
from fmx_restart.engine.recovery import Recovery
from fmx_restart.engine.relay import Relay
from fmx_restart.engine.remains import Remains
from fmx_restart.engine.report import Failure, Report


class TakeOver(Recovery):
	"""Its bench's lock must not replace that of the dead operation: one that still renews it is not dead."""

	def __init__(self, bench: Bench, remains: Remains, emit: Callable[[events.Event], None]) -> None:
		super().__init__(bench, remains.without_programs(), emit)
		self.found = remains

	def run(self) -> Report:
		"""
		Raises BenchBusy where the operation still holds the bench, QueueUnreachable where that cannot be known: nothing
		was changed then. A ProcessFault names what has to be looked at on the other machine.
		"""
		with self._locked():
			self.emit(events.TakenOver(self.id, self.found.host, self.bench.host.name))
			return super().run()

	def start_what_is_down(self) -> None:
		"""Nothing of this machine is."""

	def _not_up(self, relays: list[Relay]) -> list[str]:
		return list(self.found.stopping)

	def _what_happened(self, failed: list[str]) -> Failure:
		host, this = self.found.host, self.bench.host.name
		parts = [
			f"The process of this operation died in {self.found.phase.value} on {host}; {this} took it over."
		]
		parts.append("Settings of sites are as they were found; the queue goes on.")
		parts.append(f"Not looked at, and perhaps down on {host}: {', '.join(failed)}." if failed else "")
		hints = [f"Start them on {host}, e.g. type there: bench safe-restart."] if failed else []
		if migrating := self.found.migrating:
			parts.append(f"The migration of {migrating.site} may have been broken off.")
			hints.append(f"Look at {migrating.log}. To go on, type: bench safe-restart --migrate --resume")
		return Failure("ProcessDied", " ".join(filter(None, parts)), " ".join(hints))
