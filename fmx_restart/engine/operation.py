"""One safe restart of one bench: who holds what, in which phase it stands, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from fmx_restart.engine import events
from fmx_restart.engine.emitter import FORMAT
from fmx_restart.engine.errors import (
	BenchBusy,
	Interrupted,
	JournalFault,
	LockLost,
	OperationError,
	ProcessFault,
	QueueUnreachable,
)
from fmx_restart.engine.identity import Holder, describe
from fmx_restart.engine.ledger import Ledger
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase, check_move
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Bench, CodeFault, Hold, HostProcess, Job, Look, Process
from fmx_restart.engine.replacement import Replacement
from fmx_restart.engine.report import Failure, Lapse, PhaseTime, Report
from fmx_restart.engine.requests import PendingRequests, how_to_wait
from fmx_restart.engine.settings import KeptSettings
from fmx_restart.engine.steps.drain import pass_gate
from fmx_restart.engine.strategies import story_of
from fmx_restart.engine.waiting import ClockSteps, Outage, Patience, wait_until
from fmx_restart.engine.workers import Locator

T = TypeVar("T")
REDIS_RETURNS = Patience(timeout=Outage.LONGEST, poll=0.2)
#: for another operation of this machine that gave its lock back just now, and is about to end
OTHER_ENDS = Patience(timeout=3.0, poll=0.1)
BEATS_PER_LEASE = 8  # a lease is renewed this many times before it would expire
STRANGER_BEAT = 0.2  # seconds between two renewals while a stranger's suspension stands in place of ours: it may be lifted


class Operation:
	"""
	Holds the lock and the fence, moves through the phases, and keeps the report. What is done in a phase
	stands in steps/, in which order in strategies/.
	"""

	is_recovery = False

	def __init__(self, bench: Bench, options: Options, emit: Callable[[events.Event], None], id: str) -> None:
		self.bench, self.options, self.id = bench, options, id
		self._emit = emit
		self.phase = Phase.PREFLIGHT
		self.plan: Plan | None = None
		self.ledger: Ledger | None = None
		self.ledger_opened = 0.0  # on the clock that nobody can set
		self.running: dict[str, Job] = {}  # every job seen running since the fence went up
		self.held: list[
			Replacement
		] = []  # programs that were stopped for a migration, down until the restart
		self.migration_begun = False
		self.endings = 0  # how often jobs were killed whose time was over
		self.is_fenced = False
		self.lock_stood = True  # since the beginning
		self.has_lost_lock = False  # another operation has the bench: nothing may be touched any more
		self.fence_stood = True  # since the last time that every worker was seen parked or at work
		self.unmanaged_since: float | None = None  # when the process manager stopped answering
		self.code_faults: list[CodeFault] = []  # told already
		self.code_seen_at = bench.clock.now()
		self.managed: Sequence[Process] = ()  # as the process manager told last
		self.locator = Locator(bench.host, bench.queue, bench.clock)
		self.registered: set[HostProcess] = set()  # workers of this machine that Redis knew at any look
		self.clock_steps = ClockSteps()
		self.unanswering: set[str] = set()  # names of workers elsewhere that took no wake-up
		self.stop_requested = threading.Event()
		self.wishes = PendingRequests(self)
		self.settings = KeptSettings(self)
		self.report = Report(id, bench.id, options.strategy.value, bench.clock.time(), options.requested_by)
		self._began = self._phase_began = bench.clock.now()
		self._last_beat = self._next_beat = 0.0
		self._troubles_told = self._stranger_told = self._neighbour_told = False

	def run(self) -> Report:
		"""Raises an OperationError when it does not end as Done. The report is complete either way."""
		try:
			self.emit(self._beginning())
			self._tell_troubles()  # nothing yet: it sets the doctor going
			with self._locked(), self.settings:
				story_of(self.options)(self)
			self._end(Phase.DONE)
		except BaseException as error:
			self.report.is_left_open = self.has_lost_lock and self._has_changed_anything
			is_undone = self.phase.can_be_undone and not self.report.is_left_open
			self._end(Phase.ABORTED if is_undone else Phase.FAILED, error)
			raise
		return self.report

	@property
	def _has_changed_anything(self) -> bool:
		return self.phase is not Phase.PREFLIGHT or bool(self.settings.changed)

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
					f"{fault} Nothing was restarted; the queue goes on.", hint=fault.hint
				) from fault

	def enter(self, phase: Phase) -> None:
		"""The only way from one phase to the next: checked, stamped, told before the act it announces."""
		check_move(self.phase, phase)
		self.settings.follow(phase)
		self._tell_troubles()
		self._tell_unreadable()
		before = self.phase
		if before.can_be_undone and not phase.can_be_undone:
			pass_gate(self)
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
		"""So that whoever looks at the lock sees the phase that begins now."""
		try:
			self.keep_alive(now=True, phase=phase)
		except OperationError as error:
			if self.phase.can_be_undone or isinstance(error, LockLost):
				raise
			self.emit(events.QueueAway(str(error)))

	def _tell_troubles(self) -> None:
		"""Once, as soon as the doctor knows; the phases do not wait for him."""
		health = self.bench.health
		if health is None or self._troubles_told or (troubles := health.troubles()) is None:
			return
		self._troubles_told = True
		for trouble in troubles:
			self.emit(events.TroubleFound(trouble))

	def _tell_unreadable(self) -> None:
		"""At most once in a phase, and only when there are more than were told."""
		found, told = self.bench.queue.unreadable(), self.report.unreadable
		if found.count > (told.count if told else 0):
			self.report.unreadable = found
			self.emit(events.RecordsUnreadable(found))

	def wait(self, condition: Callable[[], bool], patience: Patience) -> bool:
		"""
		wait_until that keeps lock and fence alive, heeds a request to stop, and outlasts a Redis restart. While all can
		still be undone nobody's time runs out because of Redis: raises QueueUnreachable when it stays away.
		"""
		outage = Outage(self.bench.clock, lambda error: self.emit(events.QueueAway(str(error))))

		def look() -> bool:
			outage.outlast(self.wishes.heed)
			self.heed_stop_request()
			outage.outlast(self.keep_alive)
			return outage.look(condition)  # also without Redis: whoever was stopped must be started

		done = wait_until(look, patience, self.bench.clock)
		while not done and self.phase.can_be_undone and (more := outage.owed()):
			done = wait_until(look, Patience(more, patience.poll), self.bench.clock)
		if not done and self.phase.can_be_undone and outage.error:
			raise outage.error
		return done

	def heed_stop_request(self) -> None:
		"""Raises Interrupted while the bench can still be left as it was; later the restart is finished first."""
		if self.stop_requested.is_set() and self.phase.can_be_undone:
			raise Interrupted(
				f"{self.wishes.who_stopped()} during {self.phase.value}. Nothing was restarted; the queue goes on.",
				hint="Type the same command to try again.",
			)

	def each(self, items: Iterable[T], *, heeds_stop: bool = True) -> Iterator[T]:
		"""
		One after the other, with lock and fence renewed between two: what is done for one site may take a second, and
		there may be hundreds. Raises LockLost, and Interrupted while all can still be undone.
		"""
		for item in items:
			if heeds_stop:
				self.heed_stop_request()
			self.renew(now=False)
			yield item

	def renew(self, now: bool = True) -> None:
		"""keep_alive where Redis answers. Raises LockLost."""
		Outage(self.bench.clock, lambda error: self.emit(events.QueueAway(str(error)))).outlast(
			lambda: self.keep_alive(now)
		)

	def keep_alive(self, now: bool = False, phase: Phase | None = None) -> bool:
		"""
		Renew what we hold, a few times per lease. False when the fence had lapsed before. Raises LockLost when
		another operation has the bench: then nothing of ours may be touched any more, also when the other one has ended.
		"""
		clock, lock, fence = self.bench.clock, self.bench.lock, self.bench.fence
		if clock.now() < self._next_beat and not now:
			return True
		note = self.note(phase)
		held = Hold.FOREIGN if self.has_lost_lock else lock.hold(note)
		if held is Hold.FOREIGN:
			self.has_lost_lock = True
			raise self._lock_lost(describe(lock.holder() or "it has ended since"))
		self.lock_stood &= held is Hold.KEPT
		fence_is = self._hold_fence(note) if self.is_fenced else None
		if fence_is is Hold.TAKEN:
			self._note_lapse(clock.now() - self._last_beat)
		beat = min(lock.seconds, fence.seconds) / BEATS_PER_LEASE
		self._last_beat = clock.now()
		self._next_beat = self._last_beat + (STRANGER_BEAT if fence_is is Hold.FOREIGN else beat)
		return fence_is is not Hold.TAKEN

	def _note_lapse(self, seconds: float) -> None:
		self.fence_stood = False
		if not self.phase.can_be_undone:  # before, whoever took a job meanwhile is waited for
			self.report.lapses.append(Lapse(self.phase, seconds))
		self.emit(events.FenceLapsed(self.phase, seconds))

	def _lock_lost(self, holder: str) -> LockLost:
		message = (
			f"Another operation took the bench: {holder}. This one did not renew its lock within"
			f" {self.bench.lock.seconds:.0f} s. It stopped at once, in {self.phase.value}."
		)
		if not self._has_changed_anything:
			return LockLost(f"{message} Nothing was changed.", hint="Type the same command again later.")
		return LockLost(
			f"{message} What it had begun stays as it is until the other one has ended; then it is undone or finished.",
			hint="Watch the other one: bench safe-restart --attach. Where nobody finishes this one afterwards, type:"
			" bench safe-restart --recover",
		)

	def note(self, phase: Phase | None = None) -> str:
		"""What stands in Redis beside the lock and the fence."""
		me, options = self.bench.host.me(), self.options
		return Holder(
			operation=self.id,
			requested_by=options.requested_by,
			host=self.bench.host.name,
			pid=me.pid,
			phase=(phase or self.phase).value,
			since=self.report.started,
			is_recovery=self.is_recovery,
			identity=me.identity,
		).note()

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
		"""`time`: Redis' own, read since `before`."""
		if step := self.clock_steps.note(time, before, self.bench.clock.now()):
			self.emit(events.ClockSet(step))

	def located(self, look: Look) -> Look:
		return self.locator.locate(look, lambda: self.managed)

	def orphans(self, look: Look) -> tuple[HostProcess, ...]:
		"""Job processes without a worker. Reading the process table takes milliseconds: not for every look."""
		managed = {process.pid for process in self.managed_now() if process.pid}
		return tuple(self.bench.host.orphan_horses(look.local.pids | managed))

	def managed_now(self) -> Sequence[Process]:
		"""What the process manager runs, or ran when it answered last."""
		with suppress(ProcessFault):
			self.managed = self.as_planned(self.bench.processes.list())
		return self.managed

	def as_planned(self, processes: Iterable[Process]) -> list[Process]:
		"""With what the plan found out about them: the manager does not know who has workers."""
		plan = (*self.plan.restart, *self.plan.left_alone) if self.plan else ()
		have = {process.name for process in plan if process.has_workers}
		return [replace(it, has_workers=it.has_workers or it.name in have) for it in processes]

	def insist(self, act: Callable[[], None]) -> None:
		"""Do it as soon as Redis answers: an act that must not be skipped because Redis restarts just now."""
		done: list[None] = []
		if not self.wait(lambda: done.append(act()) or True, REDIS_RETURNS):
			raise QueueUnreachable(
				f"Redis did not answer for {REDIS_RETURNS.timeout:.0f} s during {self.phase.value}.",
				hint="All processes were told to start. The fence ends by itself; look at bench doctor.",
			)

	@contextmanager
	def fenced(self) -> Iterator[None]:
		"""Workers start no job inside the block. However it ends, our own fence does not outlive it."""
		self.is_fenced = True
		try:
			self._hold_fence(self.note())
			self._tell_neighbour()
			yield
		finally:
			self.unfence()

	def _hold_fence(self, note: str) -> Hold:
		held = self.bench.fence.hold(note)
		if held is Hold.FOREIGN and not self._stranger_told:
			self.emit(events.ForeignSuspension(describe(self.bench.fence.holder() or "")))
		self._stranger_told = held is Hold.FOREIGN
		return held

	def _tell_neighbour(self) -> None:
		"""Once: the queue runs again only when that operation has released it as well."""
		holder = Holder.parse(self.bench.fence.holder())
		if holder and holder.operation != self.id and not self._neighbour_told:
			self._neighbour_told = True
			self.emit(events.FenceShared(str(holder)))

	def unfence(self) -> None:
		"""When Redis is away the fence ends by itself: that must not hide why we are here."""
		if not self.is_fenced or self.has_lost_lock:
			return
		self.is_fenced = False
		for give_back in (self.bench.queue.recall, self.bench.fence.release, self._tell_neighbour):
			try:
				give_back()
			except OperationError as error:
				self.emit(events.QueueAway(str(error)))

	@contextmanager
	def _locked(self) -> Iterator[None]:
		if self.bench.lock.hold(self.note()) is Hold.FOREIGN:
			held = self.bench.lock.holder() or ""
			raise BenchBusy(
				f"Another operation holds this bench: {describe(held)}. Nothing was changed.",
				hint=f"{how_to_wait(Holder.parse(held))} If its process died on another machine, its lock ends by itself"
				f" within {self.bench.lock.seconds:.0f} seconds.",
			)
		self._last_beat = self.bench.clock.now()
		try:
			self._check_alone()
			yield
		finally:
			if not self.has_lost_lock:
				with suppress(OperationError):  # then it ends by itself
					self.bench.lock.release()

	def _check_alone(self) -> None:
		"""
		Raises BenchBusy where an operation of this machine is alive that has begun something. One that was stopped for
		longer than its lock lasts may go on at any moment, with whatever it was about to do.
		"""
		others = self.bench.others
		if others is None or wait_until(lambda: others.at_work() is None, OTHER_ENDS, self.bench.clock):
			return
		if other := others.at_work():
			raise BenchBusy(
				f"Operation {other.operation} is under way: its process {other.pid} is alive, but it does not renew its"
				" lock. It is stopped, or it hangs. Nothing was changed.",
				hint=f"kill -CONT {other.pid} lets it go on. kill -9 {other.pid} ends it; what it had begun is undone or"
				" finished then.",
			)

	def _end(self, outcome: Phase, error: BaseException | None = None) -> None:
		if not self.is_recovery:  # that one ends wherever the dead one stood
			check_move(self.phase, outcome)
		self._stamp(self.phase)
		self.phase = self.report.outcome = outcome
		self._tell_unreadable()
		self.report.seconds = self.bench.clock.now() - self._began
		if error is not None:
			hint = error.hint if isinstance(error, OperationError) else ""
			self.report.failure = Failure(type(error).__name__, str(error), hint)
		self.emit(events.Ended(self.report))

	def _stamp(self, ended: Phase) -> None:
		now = self.bench.clock.now()
		self.report.phases.append(PhaseTime(ended, now - self._phase_began))
		self._phase_began = now
