"""Where an operation stands: its bench and options, its phase, its report, and who listens."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	JournalFault,
)
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench
from fmx_restart.engine.report import KeptSetting, Report


class State:
	is_recovery = False

	def __init__(self, bench: Bench, options: Options, emit: Callable[[events.Event], None], id: str) -> None:
		self.bench, self.options, self.id = bench, options, id
		self._emit = emit
		self.phase = Phase.PREFLIGHT
		self.stop_requested = threading.Event()
		self.changed_settings: dict[
			tuple[str, str], KeptSetting
		] = {}  # by site and key: on now, to be put back
		self.report = Report(id, bench.id, options.strategy.value, bench.clock.time(), options.requested_by)
		self._troubles_told = False

	def listen(self, listener: Callable[[events.Event], None]) -> None:
		"""One more, after all others."""
		others = self._emit

		def emit(event: events.Event) -> None:
			others(event)
			listener(event)

		self._emit = emit

	def emit(self, event: events.Event, *, undoable: bool = False) -> None:
		"""
		Tell all listeners. Raises JournalFault when the journal cannot be written while all can still be undone; later
		that is told, and what was begun is finished without it.
		"""
		try:
			self._emit(event)
		except JournalFault as fault:
			self._emit(events.JournalLost(str(fault)))
			if not self.is_recovery and (undoable or self.phase.can_be_undone):
				raise JournalFault(
					f"{fault} Nothing was restarted; the queue keeps running.", hint=fault.hint
				) from fault

	def tell_troubles(self) -> None:
		"""Once, as soon as the doctor knows; the phases do not wait for him."""
		health = self.bench.health
		if health is None or self._troubles_told or (troubles := health.troubles()) is None:
			return
		self._troubles_told = True
		for trouble in troubles:
			self.emit(events.TroubleFound(trouble))

	def tell_unreadable(self) -> None:
		"""At most once in a phase, and only when there are more than were told."""
		found, told = self.bench.queue.unreadable(), self.report.unreadable
		if found.count > (told.count if told else 0):
			self.report.unreadable = found
			self.emit(events.RecordsUnreadable(found))

	@property
	def has_changed_anything(self) -> bool:
		return self.phase is not Phase.PREFLIGHT or bool(self.changed_settings)
