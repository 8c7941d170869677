"""What an operation holds: the lock of the bench and the fence of its queues, both leases, renewed while it waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	BenchBusy,
	Interrupted,
	LockLost,
	OperationError,
	QueueUnreachable,
)
from fmx_restart.engine.identity import Holder, describe, is_strangers
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Hold, OtherOperation
from fmx_restart.engine.report import Lapse
from fmx_restart.engine.requests import PendingRequests, how_to_wait
from fmx_restart.engine.state import State
from fmx_restart.engine.waiting import Outage, Patience, wait_until

T = TypeVar("T")
REDIS_RETURNS = Patience(timeout=Outage.LONGEST, poll=0.2)
#: for another operation of this machine that gave its lock back just now, and is about to end
OTHER_ENDS = Patience(timeout=3.0, poll=0.1)
LEASE = 30.0  # seconds that lock and fence outlive the last renewal
BEATS_PER_LEASE = 8  # a lease is renewed this many times before it would expire
STRANGER_BEAT = 0.2  # seconds between two renewals while a stranger's suspension stands in place of ours: it may be lifted


class Held(State):
	"""Lock and fence of an operation. Whatever waits does so with `wait`, which renews both."""

	def __init__(self, bench: Bench, options: Options, emit: Callable[[events.Event], None], id: str) -> None:
		super().__init__(bench, options, emit, id)
		self.requests = PendingRequests(self)
		self.is_fenced = False
		self.lock_stood = True  # since the beginning
		self.has_lost_lock = False  # another operation has the bench: nothing may be touched any more
		self.fence_stood = True  # since the last time that every worker was seen parked or at work
		self._last_beat = self._next_beat = 0.0
		self._stranger_reported = self._neighbour_reported = False

	def wait(self, condition: Callable[[], bool], patience: Patience) -> bool:
		"""
		wait_until that keeps lock and fence alive, heeds a request to stop, and outlasts a Redis restart. While all can
		still be undone no time limit runs out because of Redis: raises QueueUnreachable when it stays away.
		"""
		outage = Outage(self.bench.clock, lambda error: self.emit(events.QueueAway(str(error))))

		def look() -> bool:
			outage.outlast(self.requests.heed)
			self.heed_stop_request()
			outage.outlast(self.keep_alive)
			self.report_web()
			return outage.look(condition)  # also without Redis: whoever was stopped must be started

		done = wait_until(look, patience, self.bench.clock)
		while not done and self.phase.can_be_undone and (more := outage.owed()):
			done = wait_until(look, Patience(more, patience.poll), self.bench.clock)
		if not done and self.phase.can_be_undone and outage.error:
			raise outage.error
		return done

	def heed_stop_request(self) -> None:
		"""
		Raises Interrupted while the bench can still be left as it was; later the restart is finished first, and while jobs are being
		killed their end is written down first.
		"""
		if self.stop_requested.is_set() and self.phase.can_be_undone and not self.is_killing:
			raise Interrupted(
				f"{self.requests.who_stopped()} during {self.phase.time}. {self.undone}",
				hint="Type the same command to try again.",
			)

	def each(self, items: Iterable[T], *, heeds_stop: bool = True) -> Iterator[T]:
		"""
		Yield one item after the other, and renew lock and fence between two: the work for one site may take a second, and
		there may be hundreds of sites. Raises LockLost, and Interrupted while all can still be undone.
		"""
		for item in items:
			if heeds_stop:
				self.heed_stop_request()
			self.renew(now=False)
			yield item

	def renew(self, now: bool = True) -> None:
		"""keep_alive, for which Redis may be away. Raises LockLost."""
		Outage(self.bench.clock, lambda error: self.emit(events.QueueAway(str(error)))).outlast(
			lambda: self.keep_alive(now)
		)

	def keep_alive(self, now: bool = False, phase: Phase | None = None) -> bool:
		"""
		Renew lock and fence, a few times per lease. False when the fence had lapsed before. Raises LockLost when
		another operation has the bench: then nothing of ours may be touched any more, also when the other one has ended.
		"""
		clock, lock, fence = self.bench.clock, self.bench.lock, self.bench.fence
		if clock.now() < self._next_beat and not now:
			return True
		note = self.note(phase)
		lock_state = Hold.FOREIGN if self.has_lost_lock else lock.hold(note)
		if lock_state is Hold.FOREIGN:
			self.has_lost_lock = True
			raise self._lock_lost(describe(lock.holder() or "it has ended since"))
		self.lock_stood &= lock_state is Hold.KEPT
		fence_state = self._hold_fence(note) if self.is_fenced else None
		if fence_state is Hold.TAKEN:
			self._note_lapse(clock.now() - self._last_beat)
		beat = min(lock.seconds, fence.seconds) / BEATS_PER_LEASE
		self._last_beat = clock.now()
		self._next_beat = self._last_beat + (STRANGER_BEAT if fence_state is Hold.FOREIGN else beat)
		return fence_state is not Hold.TAKEN

	def _note_lapse(self, seconds: float) -> None:
		self.fence_stood = False
		if not self.phase.can_be_undone:  # before, whoever took a job meanwhile is waited for
			self.report.lapses.append(Lapse(self.phase, seconds))
		self.emit(events.FenceLapsed(self.phase, seconds))

	def _lock_lost(self, holder: str) -> LockLost:
		message = (
			f"Another operation took the bench: {holder}. This one did not renew its lock within"
			f" {self.bench.lock.seconds:.0f} s. It stopped at once, during {self.phase.time}."
		)
		if not self.has_changed_anything:
			return LockLost(f"{message} Nothing was changed.", hint="Type the same command again later.")
		return LockLost(
			f"{message} What it had begun stays as it is until the other one has ended; then it is undone or finished.",
			hint="Watch the other one: bench safe-restart attach. If this one is not recovered afterwards, type:"
			" bench safe-restart recover",
		)

	def note(self, phase: Phase | None = None) -> str:
		"""The text that stands in Redis beside the lock and the fence: who we are, and in which phase."""
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

	def insist(self, act: Callable[[], None]) -> None:
		"""Act as soon as Redis answers. For what must not be skipped because Redis restarts just now. Raises QueueUnreachable."""
		done: list[None] = []
		if not self.wait(lambda: done.append(act()) or True, REDIS_RETURNS):
			raise QueueUnreachable(
				f"Redis did not answer for {REDIS_RETURNS.timeout:.0f} s during {self.phase.time}.",
				hint="All processes got the order to start. The fence expires by itself; run bench doctor.",
			)

	@contextmanager
	def fenced(self) -> Iterator[None]:
		"""Workers start no job inside the block. However it ends, our own fence does not outlive it."""
		self.is_fenced = True
		try:
			self._hold_fence(self.note())
			self._report_neighbour()
			self._report_holds()
			yield
		finally:
			self.unfence()

	def _hold_fence(self, note: str) -> Hold:
		state = self.bench.fence.hold(note)
		if state is Hold.FOREIGN and not self._stranger_reported:
			self.emit(events.ForeignSuspension(describe(self.bench.fence.holder() or "")))
		self._stranger_reported = state is Hold.FOREIGN
		return state

	def _report_neighbour(self) -> None:
		"""Emit once that another bench's operation fences the queue too: it runs again only when both have released it."""
		holder = Holder.parse(self.bench.fence.holder())
		if holder and holder.operation != self.id and not self._neighbour_reported:
			self._neighbour_reported = True
			self.emit(events.FenceShared(str(holder)))

	def _report_holds(self) -> None:
		"""Emit that people hold the queue, too: that stays as it is."""
		with suppress(OperationError):  # the next renewal asks Redis again
			self.note_holds()
		if self.report.held:
			self.emit(events.QueueHeld(tuple(self.report.held)))

	def note_holds(self) -> None:
		"""Who else stops the queue now, for the report. Raises QueueUnreachable; what was known before stays then."""
		self.report.held = [hold for hold in self.bench.holds.standing() if not hold.is_beginning]
		self.report.is_suspended = is_strangers(self.bench.fence.holder())

	def unfence(self) -> None:
		"""Lift our own fence. Where Redis is away it expires by itself, and the error that brought us here must stay visible."""
		if not self.is_fenced or self.has_lost_lock:
			return
		self.is_fenced = False
		for give_back in (
			self.bench.queue.recall,
			self.bench.fence.release,
			self._report_neighbour,
			self.note_holds,
		):
			try:
				give_back()
			except OperationError as error:
				self.emit(events.QueueAway(str(error)))

	@contextmanager
	def locked(self) -> Iterator[None]:
		"""The bench is ours inside the block. Raises BenchBusy where another operation holds it."""
		if self.bench.lock.hold(self.note()) is Hold.FOREIGN:
			note = self.bench.lock.holder() or ""
			raise BenchBusy(
				f"Another operation holds this bench: {describe(note)}. Nothing was changed.",
				hint=f"{how_to_wait(Holder.parse(note))} If its process died on another machine, its lock ends by itself"
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
		Raises BenchBusy where an operation is alive that has begun something. One that was stopped for longer than its lock
		lasts may go on at any moment, with whatever it was about to do.
		"""
		others = self.bench.others
		if wait_until(lambda: others.at_work() is None, OTHER_ENDS, self.bench.clock):
			return
		if other := others.at_work():
			there = f" on {other.host}" if other.host else ""
			raise BenchBusy(
				f"Operation {other.operation} is under way: its process {other.pid}{there} is alive, but it does not renew"
				" its lock. It is stopped, or it hangs. Nothing was changed.",
				hint=how_to_go_on(other),
			)


def how_to_go_on(other: OtherOperation) -> str:
	"""What to type about an operation that is alive and does not renew its lock, and where."""
	go_on, end = f"kill -CONT {other.pid}", f"kill -9 {other.pid}"
	undone = "what it had begun is undone or finished then."
	if not other.host:
		return f"{go_on} lets it continue. {end} ends it; {undone}"
	return (
		f"On {other.host}, type: {go_on}, which lets it continue, or {end}, which ends it; {undone} Here that pid is of"
		f" another process. If {other.host} is gone, try again when the file server has dropped its lock on the journal"
		" (NFSv4: after 90 s)."
	)
