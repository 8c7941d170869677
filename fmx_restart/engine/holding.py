"""How the queue is brought to be held: fenced, parked, drained where that is wanted, and then left so without a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted, WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.held import LEASE, REDIS_RETURNS
from fmx_restart.engine.identity import describe
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Hold
from fmx_restart.engine.queue_hold import USUAL_HOLD, QueueHold
from fmx_restart.engine.steps.drain import wait_until_drained, wait_until_parked
from fmx_restart.engine.strategies import StrategyStory

TAKEN_BACK = "The hold was taken back."


@frozen
class HoldOptions:
	"""What somebody wants. Durations are seconds."""

	owner: str
	seconds: float = USUAL_HOLD  # from the moment on in which the command succeeds
	reason: str = ""
	by: str = ""  # who typed it, and where
	drain_timeout: float | None = None  # that running jobs get to finish; None: they are not waited for
	queue_limit: int | None = None  # depth at which frappe.enqueue begins to raise; None: never


class NoLock:
	"""In place of the bench's lock: a hold may come while an operation runs, and the other way round."""

	seconds = LEASE

	def hold(self, note: str = "") -> Hold:
		"""It is always there."""
		return Hold.KEPT

	def release(self) -> bool:
		"""Nobody waits for it."""
		return True

	def holder(self) -> str | None:
		"""Nobody."""
		return None


class Holding(Operation):
	"""
	Not an operation that anybody sees: it has no journal and no phases. Until it succeeds its fence is a lease like that of any
	operation, so that a command that dies, or hangs, holds nothing for longer. `bench.fence`: of this command alone.
	"""

	def __init__(
		self, bench: Bench, options: HoldOptions, emit: Callable[[events.Event], None], id: str
	) -> None:
		own = Options(
			strategy=Strategy.WAIT_WORKERS,
			drain_timeout=options.drain_timeout or 0.0,
			on_timeout=OnTimeout.ABORT,
			queue_limit=options.queue_limit,
			requested_by=options.by,
		)
		super().__init__(replace(bench, lock=NoLock()), own, emit, id, StrategyStory())
		self.wanted = options

	def run(self) -> QueueHold:
		"""
		The hold as it stands. Raises DrainTimeout where jobs still run, Interrupted, QueueUnreachable, WrongEnvironment where
		someone else has suspended the queue: then nothing is held by this command.
		"""
		self.managed_now()
		with self.fenced():
			while True:
				self.fence_stood = True
				if self.wanted.drain_timeout is None:
					wait_until_parked(self)
				else:
					wait_until_drained(self)
				if hold := self._made():
					return hold
				self.wait(lambda: self.keep_alive(now=True) or True, REDIS_RETURNS)

	def _made(self) -> QueueHold | None:
		"""None where the fence lapsed meanwhile: then a worker may have taken a job."""
		wanted, made = self.wanted, []

		def make() -> bool:
			hold = self.bench.holds.make(
				wanted.owner, wanted.seconds, self.bench.fence, reason=wanted.reason, by=wanted.by
			)
			made.append(hold)
			return True

		if self.fence_stood:
			self.wait(make, REDIS_RETURNS)
		return made[-1] if made else None

	@property
	def undone(self) -> str:
		"""Whoever else holds the queue is told beside this."""
		return TAKEN_BACK

	@property
	def drain_option(self) -> str:
		"""With which running jobs get longer."""
		return "--drain-timeout"

	def heed_stop_request(self) -> None:
		"""Raises Interrupted."""
		if self.stop_requested.is_set():
			raise Interrupted(f"Stopped on request. {TAKEN_BACK}", hint="Type the same command to try again.")

	def note(self, phase: Phase | None = None) -> str:
		"""The text beside the fence while the command waits."""
		wanted, now = self.wanted, self.bench.clock.time()
		hold = QueueHold(self.bench.id, wanted.owner, wanted.reason, wanted.by, now, now, is_beginning=True)
		return hold.note()

	def _hold_fence(self, note: str) -> Hold:
		state = self.bench.fence.hold(note)
		if state is Hold.FOREIGN:
			raise WrongEnvironment(
				f"Someone else has suspended the queue ({describe(self.bench.fence.holder() or '')}), and may lift that at any"
				f" time, during a hold as well. {TAKEN_BACK}",
				hint="Once you know who suspended it, type what this shows: bench doctor --check queue-suspended. Then type the same command again.",
			)
		return state

	def _report_holds(self) -> None:
		"""The command tells who else holds it."""
