"""One safe restart of one bench: in which phase it stands, what it has seen, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from fmx_restart.engine import events
from fmx_restart.engine.emitter import FORMAT
from fmx_restart.engine.errors import JournalFault, LockLost, NginxFault, OperationError, ProcessFault
from fmx_restart.engine.frozen import changed
from fmx_restart.engine.group_updates import GroupUpdates
from fmx_restart.engine.held import Held
from fmx_restart.engine.ledger import Ledger
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase, check_move
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Bench, CodeFault, HostProcess, Job, Look, Process, Survey
from fmx_restart.engine.replacement import Replacement, give_orders
from fmx_restart.engine.report import Failure, PhaseTime, Report
from fmx_restart.engine.request_hold import RequestHold
from fmx_restart.engine.settings import KeptSettings
from fmx_restart.engine.starts import Starts
from fmx_restart.engine.waiting import ClockSteps
from fmx_restart.engine.workers import Locator


class Story(Protocol):
	"""What an operation does, in which order: see strategies.py."""

	def run(self, operation: Operation) -> None:
		"""Carry out all steps. Raises an OperationError where they do not end well."""

	def pass_gate(self, operation: Operation) -> None:
		"""Before the first act that cannot be undone: nothing may have run since every worker was seen parked or at work."""


class Operation(Held):
	"""
	Moves through the phases, and keeps the report. What is done in a phase stands in steps/, in which order in
	strategies.py.
	"""

	def __init__(
		self, bench: Bench, options: Options, emit: Callable[[events.Event], None], id: str, story: Story
	) -> None:
		super().__init__(bench, options, emit, id)
		self._story = story
		self.settings = KeptSettings(self)
		self.plan: Plan | None = None  # where hosts are restarted in groups: for those whose turn it is
		self.whole_plan: Plan | None = None  # for all of them
		self.hosts: frozenset[str] | None = None  # whose turn it is; None: all
		self.is_last_group = True
		self.ledger: Ledger | None = None
		self.ledger_opened = 0.0  # on the clock that nobody can set
		self.running: dict[str, Job] = {}  # every job seen running since the fence went up
		#: programs that were stopped for a migration, down until the restart
		self.held: list[Replacement] = []
		self.starts = Starts(bench)
		self.request_hold = RequestHold(bench, self.emit)
		self.updates = GroupUpdates(bench, self.emit, self.report)
		self.migration_begun = False
		self.endings = 0  # how often jobs were killed whose time was over
		self.killed: list[Process] = []  # programs that were killed with their jobs
		self.left_down: list[str] = []  # names of those of them that are not known to have been started again
		self.away_since: dict[str, float] = {}  # by process manager: when it stopped answering
		self.away_faults: dict[str, ProcessFault] = {}  # by process manager: why it does not answer
		self.code_faults: list[CodeFault] = []  # reported already
		self.code_seen_at = bench.clock.now()
		self.managed: Sequence[Process] = ()  # by the process manager's last answer
		self.locator = Locator(bench.host, bench.queue, bench.clock)
		self.registered: set[HostProcess] = set()  # workers of this machine that Redis knew at any look
		self.clock_steps = ClockSteps()
		self.launch_notes: Sequence[events.Event] = ()  # of whoever launched it; the journal has them first
		self.nginx_fault: NginxFault | None = None  # raised once all else is done
		self.unanswering: set[str] = set()  # names of workers elsewhere that took no wake-up
		self._began = self._phase_began = bench.clock.now()

	def run(self) -> Report:
		"""Raises an OperationError when it does not end as Done. The report is complete either way."""
		try:
			self.emit(self._beginning())
			for note in self.launch_notes:
				self.emit(note)
			self.report_troubles()  # none yet: the first question starts the doctor
			with self.locked(), self.settings:
				self._story.run(self)
			self._end(Phase.DONE)
		except BaseException as error:
			self._start_held_back()
			self.report.is_left_open = self.has_lost_lock and self.has_changed_anything
			is_undone = self.phase.can_be_undone and not (
				self.report.is_left_open or self.hosts_done or self.left_down
			)
			self._end(Phase.ABORTED if is_undone else Phase.FAILED, error)
			raise
		finally:
			self.bench.code.end_check()  # nobody asks for its answer any more
		return self.report

	def _start_held_back(self) -> None:
		"""Nobody gives these orders any more. A manager that does not take them now is told by the report."""
		if not self.has_lost_lock:
			self.starts.let_all()
			with suppress(OperationError):
				give_orders(self.bench, self.starts.held_back)

	def _beginning(self) -> events.OperationStarted:
		bench, options = self.bench, self.options
		me = bench.host.me()
		return events.OperationStarted(
			self.id,
			bench.id,
			options.strategy.value,
			bench.host.name,
			me,
			options,
			bench.host.machine,
			FORMAT,
		)

	def enter(self, phase: Phase) -> None:
		"""The only way from one phase to the next: checked, timed, and emitted before the act it announces."""
		check_move(self.phase, phase)
		self.settings.follow(phase)
		self.report_troubles()
		self.report_unreadable()
		before = self.phase
		if before.can_be_undone and not phase.can_be_undone:
			self._story.pass_gate(self)
			self._next_beat = 0.0  # the next renewal says which phase it is
		else:
			self._renew_for(phase)
		self.phase = phase
		try:
			self.emit(events.PhaseEntered(phase), undoable=before.can_be_undone)
		except JournalFault:
			self.phase = before  # one that is not in the journal does not begin where that can be helped
			raise
		self._stamp(before)

	def _renew_for(self, phase: Phase) -> None:
		"""Renew the lock, so that whoever reads its note sees the phase that begins now."""
		try:
			self.keep_alive(now=True, phase=phase)
		except OperationError as error:
			if self.phase.can_be_undone or isinstance(error, LockLost):
				raise
			self.emit(events.QueueAway(str(error)))

	@property
	def drain_option(self) -> str:
		"""With which running jobs get longer."""
		waits = self.options.strategy is Strategy.WAIT_WORKERS
		return "--wait-workers-timeout" if waits else "--force-kill-timeout"

	def look(self) -> Look:
		"""
		One look at the queue; remembers which jobs were ever seen running. A suspension that someone lifted is put up again
		at once.
		"""
		before = self.bench.clock.now()
		look = self.located(self.bench.queue.look())
		self.note_time(look.time, before)
		self.registered |= set(look.local.running.values())
		if self.is_fenced and look.suspension is None:
			self.keep_alive(now=True)
		new = {job.id for job in look.started} - self.running.keys()
		if new:
			self.running.update(self.bench.queue.describe(new))
		return look

	def note_time(self, time: float, before: float) -> None:
		"""Emit when Redis' clock was set. `time`: that clock's; `before`: ours, when the question was asked."""
		if step := self.clock_steps.note(time, before, self.bench.clock.now()):
			self.emit(events.ClockSet(step))

	def located(self, look: Look) -> Look:
		"""The same look, with where its workers are."""
		return self.locator.locate(look, lambda: self.managed)

	def orphans(self, look: Look) -> tuple[HostProcess, ...]:
		"""Job processes without a worker. Reading the process table takes milliseconds: not for every look."""
		managed = {process.local_pid for process in self.managed_now() if process.local_pid}
		return tuple(self.bench.host.orphan_horses(look.local.pids | managed))

	def managed_now(self) -> Sequence[Process]:
		"""What the process manager runs, or ran when it answered last."""
		self.note_managed(self.bench.processes.survey())
		return self.managed

	def changed_early(self, *, asks: bool = True) -> tuple[list[str], list[str]]:
		"""Of the programs that were to be restarted, whoever ended them: their job may have been killed."""
		before = {it.name: it for it in (self.plan.restart if self.plan else ()) if it.pid}
		listed = self.managed_now() if before and asks else self.managed
		now = [it for it in listed if it.name in before]
		changed = [it for it in now if not it.is_same_as(before[it.name])]
		down = [it.name for it in changed if it.is_down]
		return [it.name for it in changed if it.name not in down], down

	def note_managed(self, survey: Survey) -> None:
		"""Remember the survey. For a manager that does not answer, its last answer stays."""
		known = [process for process in self.managed if process.manager in survey.away]
		self.managed = [*self.as_planned(survey.processes), *known]

	def as_planned(self, processes: Iterable[Process]) -> list[Process]:
		"""Add what the plan knows of them: a manager does not know which of its programs have workers."""
		whole = self.whole_plan or self.plan
		plan = (*whole.replaced, *whole.left_alone, *whole.stays) if whole else ()
		with_workers = {process.name for process in plan if process.has_workers}
		return [
			changed(process, has_workers=True)
			if process.name in with_workers and not process.has_workers
			else process
			for process in processes
		]

	def _end(self, outcome: Phase, error: BaseException | None = None) -> None:
		if not self.is_recovery:  # a recovery ends in whatever phase the dead operation stood
			check_move(self.phase, outcome)
		self._stamp(self.phase)
		self.report.failed_in = (self.report.failed_in or self.phase) if outcome is Phase.FAILED else None
		if outcome is Phase.ABORTED:
			self.report.restarted, _down = self.changed_early(asks=False)
		self.phase = self.report.outcome = outcome
		self.report_unreadable()
		self.request_hold.end()
		self.report.web = list(self.bench.web.end())
		self.report.seconds = self.bench.clock.now() - self._began
		if error is not None:
			hint = error.hint if isinstance(error, OperationError) else ""
			self.report.failure = Failure(type(error).__name__, str(error), hint)
		self.emit(events.Ended(self.report))

	def _stamp(self, ended: Phase) -> None:
		now = self.bench.clock.now()
		self.report.phases.append(PhaseTime(ended, now - self._phase_began))
		self._phase_began = now
