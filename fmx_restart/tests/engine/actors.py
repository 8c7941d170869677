"""
Operations as processes of their own, on a bench that exists only in memory: each runs in a thread that goes on only when
the test lets it, from one look at the outside to the next. One that is never let go on again was killed by kill -9: no
`finally` of it runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import CrashedOperation, crashed_operation_of
from fmx_restart.engine.errors import OperationError, QueueUnreachable
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, NoOtherOperations, OtherOperation
from fmx_restart.engine.recovery import Recovery
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import FENCE_OWNER, InMemoryBench
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.leases import InMemoryFence, InMemoryLease

AGAIN_AFTER = 5.0  # seconds until a recovery that could not end is tried again
PORTS = ("queue", "processes", "web", "lock", "fence", "settings", "migrations")


#: what changes anything outside, but for taking back one's own pills
TOUCHES = {"order", "stop", "start", "replace", "release", "hold", "put_back", "fail", "requeue", "wake"}


class TestIsOver(BaseException):
	"""Ends the thread of an actor that nobody needs any more."""

	__test__ = False


class HandedClock(FakeClock):
	"""Who sleeps in an actor's thread hands control back to the test."""

	def sleep(self, seconds: float) -> None:
		actor = threading.current_thread()
		if isinstance(actor, Actor):
			actor.hand_back(seconds)
		else:
			super().sleep(seconds)

	def next_moment(self) -> float | None:
		"""When the next thing happens that was scheduled."""
		return self._scheduled[0][0] if self._scheduled else None


class Interleaved:
	"""A port at whose every call the rest of the world may do something first. `watch`: called with each call's name."""

	def __init__(
		self, port: object, clock: HandedClock, watch: Callable[[str], object] = lambda name: None
	) -> None:
		self._port, self._clock, self._watch = port, clock, watch

	def __getattr__(self, name: str):
		found = getattr(self._port, name)
		if not callable(found):
			return found

		def call(*arguments, **named):
			self._clock.sleep(0.0)
			self._watch(name)
			return found(*arguments, **named)

		return call


class Actor(threading.Thread):
	"""`facts` is its journal: written before what it tells of, and all that is left of it when it was killed."""

	def __init__(self, bench: InMemoryBench) -> None:
		super().__init__(daemon=True)
		self.bench, self.clock = bench, bench.clock
		self.facts: list[tuple[float, events.Event]] = []
		self.error: OperationError | None = None
		self.bug: BaseException | None = None
		self.wakes_at: float = bench.clock.now()
		self.is_over = self.is_killed = self.is_discarded = False
		self.holds_journal = True  # of an operation all its life, of a recovery while it tries
		self._go, self._yielded = threading.Lock(), threading.Lock()  # released by one thread for the other
		self._go.acquire()
		self._yielded.acquire()
		self.start()

	def act(self) -> None:
		raise NotImplementedError

	def run(self) -> None:
		self._go.acquire()
		try:
			self.act()
		except OperationError as error:
			self.error = error
		except TestIsOver:
			pass
		except Exception as bug:  # noqa: BLE001 (raised again in the thread of the test)
			self.bug = bug
		self.is_over = True
		self._yielded.release()

	def hand_back(self, seconds: float) -> None:
		"""In its own thread."""
		if self.is_discarded:
			raise TestIsOver
		self.wakes_at = self.clock.now() + seconds
		self._yielded.release()
		self._go.acquire()
		if self.is_discarded:
			raise TestIsOver

	def stall(self, seconds: float) -> None:
		"""In the test's thread: as SIGSTOP, or a machine that is paused. Everybody else goes on."""
		self.wakes_at = max(self.wakes_at, self.clock.now()) + seconds

	def step(self) -> None:
		"""In the test's thread: until it looks at the outside again."""
		assert not self.is_over, "there is nothing left that it could do"
		self._go.release()
		self._yielded.acquire()
		if self.bug:
			raise self.bug

	def discard(self) -> None:
		"""The test is over: what it does while it ends concerns nobody."""
		self.is_discarded = True
		if not self.is_over:
			self._go.release()
		self.join(timeout=10)

	@property
	def is_alive_still(self) -> bool:
		return not self.is_over and not self.is_killed

	def tell(self, event: events.Event) -> None:
		self.facts.append((self.clock.time(), event))
		self.hand_back(0.0)  # it may be killed right after it was told, before it is done

	def of(self, kind: type) -> list:
		return [fact for _, fact in self.facts if isinstance(fact, kind)]

	def has_just_told(self, what: object) -> bool:
		fact = self.facts[-1][1] if self.facts else None
		return fact == events.PhaseEntered(what) or (isinstance(what, type) and isinstance(fact, what))

	def interleaved(self, bench: Bench) -> Bench:
		ports = {name: Interleaved(getattr(bench, name), self.clock, self.watch) for name in PORTS}
		return replace(bench, **ports)

	def watch(self, call: str) -> None:
		"""What it does to the outside, before it does it."""


class OthersAlive(NoOtherOperations):
	"""What the kernel knows of journals that are worked on: the actors that live and have begun something, but for one."""

	def __init__(self, me: Actor, actors: Callable[[], list[Actor]]) -> None:
		self.me, self.actors = me, actors

	def at_work(self) -> OtherOperation | None:
		others = [a for a in self.actors() if a is not self.me and a.is_alive_still and a.holds_journal]
		begun = [a for a in others if a.crashed.has_changed_anything and not a.crashed.is_closed]
		return OtherOperation(begun[0].id, 1) if begun else None


class OperationActor(Actor):
	"""`actors`: all that there are on this machine."""

	def __init__(
		self, bench: InMemoryBench, options: Options, id: str, actors: Callable[[], list[Actor]] = list
	) -> None:
		self.id = id
		self.report = None
		super().__init__(bench)
		self.strategy = options.strategy
		port = replace(bench.port(id), others=OthersAlive(self, actors))
		self.operation = operation_for(self.interleaved(port), options, self.tell, id)

	def act(self) -> None:
		self.report = self.operation.run()

	def watch(self, call: str) -> None:
		assert not (self.operation.has_lost_lock and call in TOUCHES), f"{call} by one that lost the bench"

	@property
	def crashed(self) -> CrashedOperation:
		return crashed_operation_of(self.facts)


class RecoveryActor(Actor):
	"""The guardian, or whoever comes later: again and again, until nothing is left to do."""

	def __init__(self, dead: OperationActor, actors: Callable[[], list[Actor]] = list) -> None:
		self.dead, self.number, self.id = dead, 0, dead.id
		super().__init__(dead.bench)
		self.facts = dead.facts  # it writes on in the same journal
		self.others = OthersAlive(self, actors)

	@property
	def crashed(self) -> CrashedOperation:
		return self.dead.crashed

	def act(self) -> None:
		while not self.dead.crashed.is_closed:
			recovery = Recovery(self.interleaved(self.port()), self.dead.crashed, self.tell)
			self.holds_journal = True
			try:
				recovery.run()
			except QueueUnreachable:
				recovery.start_what_is_down()
			except OperationError:
				if self.dead.crashed.is_closed:
					raise
			self.holds_journal = False
			self.clock.sleep(AGAIN_AFTER)

	def port(self) -> Bench:
		"""As this_bench: its leases may replace those of the dead."""
		self.number += 1
		id, clock = self.dead.id, self.clock
		owner = f"{id}/{id_of(self)}-{self.number}"
		lock = InMemoryLease(clock, self.bench.lock_slot, owner, replaces=id)
		fence = InMemoryFence(self.bench.queue.suspension, FENCE_OWNER + owner, replaces=FENCE_OWNER)
		return replace(self.bench.port(id), lock=lock, fence=fence, others=self.others)


def id_of(actor: Actor) -> str:
	return actor.name.replace(" ", "")


def run_until(
	clock: HandedClock, actors: Callable[[], list[Actor]], end: float, after_each: Callable[[], None]
) -> None:
	"""Time passes: whoever is due goes on, everything that was scheduled happens, in the order of their moments."""
	while True:
		due = [actor for actor in actors() if actor.wakes_at <= clock.now()]
		if due:
			due[0].step()
			after_each()
			continue
		moments = [actor.wakes_at for actor in actors()] + [end]
		if (scheduled := clock.next_moment()) is not None:
			moments.append(max(scheduled, clock.now()))
		moment = min(moments)
		if moment >= end and clock.now() >= end:
			return
		clock.sleep(max(0.0, min(moment, end) - clock.now()))
		after_each()
