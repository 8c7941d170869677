"""Where an operation stands: its bench and options, its phase, its report, and who listens."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fmx_restart.engine import events
from fmx_restart.engine.errors import JournalFault
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench
from fmx_restart.engine.queue_hold import clock_time
from fmx_restart.engine.report import GroupResult, KeptSetting, Report
from fmx_restart.engine.undone import what_was_done

SILENCE = 1.0  # seconds without an answer from web after which that is told at once


class State:
	"""`emit`: called with each fact, the journal first. `id`: of the operation."""

	is_recovery = False

	def __init__(self, bench: Bench, options: Options, emit: Callable[[events.Event], None], id: str) -> None:
		self.bench, self.options, self.id = bench, options, id
		self._emit = emit
		self.phase = Phase.PREFLIGHT
		self.stop_requested = threading.Event()
		self.is_killing = False  # jobs whose time is over
		#: by site and key: on now, to be put back
		self.changed_settings: dict[tuple[str, str], KeptSetting] = {}
		self.report = Report(id, bench.id, options.strategy.value, bench.clock.time(), options.requested_by)
		self._troubles_reported = False
		#: addresses where web does not answer, as was told → seconds without an answer before that
		self._silent: dict[str, float] = {}

	def listen(self, listener: Callable[[events.Event], None]) -> None:
		"""Add a listener; it hears each fact after all others."""
		others = self._emit

		def emit(event: events.Event) -> None:
			others(event)
			listener(event)

		self._emit = emit

	def emit(self, event: events.Event, *, undoable: bool = False) -> None:
		"""
		Hand the fact to all listeners. Raises JournalFault when the journal cannot be written while everything can still be
		undone; later that fault is only reported, and what was begun is finished without a journal.
		"""
		if event.level is events.Level.ERROR and self.report.failed_in is None:
			self.report.failed_in = self.phase
		try:
			self._emit(event)
		except JournalFault as fault:
			self._emit(events.JournalLost(str(fault)))
			if not self.is_recovery and (undoable or self.phase.can_be_undone):
				raise JournalFault(f"{fault} {self.undone}", hint=fault.hint) from fault

	def report_troubles(self) -> None:
		"""Emit what the doctor found: once, as soon as it has answered. No phase waits for that."""
		if self._troubles_reported or (troubles := self.bench.health.troubles()) is None:
			return
		self._troubles_reported = True
		for trouble in troubles:
			self.emit(events.TroubleFound(trouble))

	def report_web(self) -> None:
		"""Emit where users get no answer from web, when that lasts for more than a moment, and where they get one again."""
		for answers in self.bench.web.answers():
			at, told = answers.address, answers.address in self._silent
			if answers.silence >= SILENCE and not told:
				self._silent[at] = answers.unanswered - answers.silence
				self.emit(events.WebSilent(at, answers.through, answers.reason))
			elif told and not answers.silence:
				seconds = answers.unanswered - self._silent.pop(at)
				self.emit(events.WebAnswersAgain(at, answers.through, seconds))

	def report_unreadable(self) -> None:
		"""Emit how many records cannot be read: at most once in a phase, and only when there are more than before."""
		records, reported = self.bench.queue.unreadable(), self.report.unreadable
		if records.count > (reported.count if reported else 0):
			self.report.unreadable = records
			self.emit(events.RecordsUnreadable(records))

	@property
	def undone(self) -> str:
		"""
		What is said where an operation ends before its restart, or between two hosts: killed jobs, what runs as another
		process all the same, and what the queue does. Sentences.
		"""
		self.report.restarted, down = self.changed_early()
		return " ".join(what_was_done(self.report, down, self.hosts_done, self.queue_goes_on))

	def changed_early(self, *, asks: bool = True) -> tuple[list[str], list[str]]:
		"""
		Names of programs that run as another process than at the beginning, and of those that went down since. `asks`: their
		managers once more.
		"""
		return [], []

	@property
	def hosts_done(self) -> list[str]:
		"""Names of hosts that are new, where hosts are restarted in groups."""
		done = [group for group in self.report.hosts if group.result is GroupResult.REPLACED]
		return [name for group in done for name in group.hosts]

	@property
	def queue_goes_on(self) -> str:
		"""What the queue does once this operation has lifted its fence: others may stop it. Follows "the queue"."""
		held = [hold for hold in self.report.held if hold.until > self.bench.clock.time()]
		if self.report.is_suspended:
			return "stays suspended by someone else"
		return f"stays held until {clock_time(held[-1].until)}" if held else "keeps running"

	@property
	def has_changed_anything(self) -> bool:
		"""Past the preflight, or a setting of a site is changed."""
		return self.phase is not Phase.PREFLIGHT or bool(self.changed_settings)
