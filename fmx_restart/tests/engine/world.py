"""A bench and all who act on it, under the eyes of someone who knows what was promised."""

from __future__ import annotations

from contextlib import suppress

from hypothesis.stateful import RuleBasedStateMachine

from fmx_restart.engine import events
from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import DRAINING, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.leases import InMemoryFence
from fmx_restart.testing.migrations import InMemoryRun, Script
from fmx_restart.testing.workers import WAKE, SimulatedWorker, Task
from fmx_restart.tests.engine.actors import Actor, HandedClock, OperationActor, RecoveryActor, run_until

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITE = "one.localhost"
ELSEWHERE = "operation-elsewhere"  # an operation of another machine
MIGRATING = 8.0  # seconds that a migration takes
MOST_ACTS = 600  # of operations, until whatever one waits for has been told
NEIGHBOUR = "fmx_restart:another-bench:operation-1"
BEAT = 5.0  # seconds between two renewals of the neighbour
NOT_DRAINED = {Strategy.SUSPEND_RQ, Strategy.NO_WAIT_WORKERS}


class World(RuleBasedStateMachine):
	lossless: tuple[str, ...] = ()  # programs whose worker is one of this app

	def __init__(self) -> None:
		super().__init__()
		self.clock = HandedClock()
		self.bench = InMemoryBench(WORKERS, clock=self.clock, lossless=self.lossless)
		self.queue, self.programs = self.bench.queue, self.bench.processes
		self.settings_found = {SITE: {"maintenance_mode": 0, "db_name": "one"}}
		self.bench.settings.files.update({SITE: dict(self.settings_found[SITE])})
		self.actors: list[Actor] = []
		self.tasks: dict[str, Task] = {}
		self.crashed: set[str] = set()  # jobs whose worker was killed by a stranger
		self.is_foreign = False
		self.neighbour = InMemoryFence(self.queue.suspension, NEIGHBOUR)
		self.is_neighbour_there = False
		self.bench.migrations.scripts[SITE] = Script(seconds=MIGRATING)
		self.drained_by: OperationActor | None = None  # since then its fence has stood
		self.judged: set[int] = set()  # facts whose moment was looked at already
		self.killed_at: float | None = None
		self.longest_outage = 0.0
		self.lived_at = 0.0  # when an operation or a recovery was seen alive last
		self.violations: list[str] = []
		self.watch_starts()
		self.watch_stops()
		self.watch_migrations()

	def watch_starts(self) -> None:
		run = self.queue._run

		def watched(worker: SimulatedWorker, task: Task) -> None:
			self.note_fence()
			if not task.id.startswith(WAKE) and self.drained_by:
				self.violations.append(f"{task.id} starts between drained and lifted")
			if not task.id.startswith(WAKE) and self.is_migrating():
				self.violations.append(f"{task.id} starts while a schema changes")
			run(worker, task)

		self.queue._run = watched

	def watch_stops(self) -> None:
		stop = self.programs.stop

		def watched(name: str) -> None:
			"""A TERM to a worker in its pop loses the job that it is just popping (rq #2236)."""
			program = self.programs[name]
			worker = self.queue.workers.get(self.bench.worker_of(program)) if name in WORKERS else None
			self.note_fence()
			if worker in self.queue.blocked and self.drained_by:
				self.violations.append(f"{name} is told to stop while it waits for a job")
			stop(name)

		self.programs.stop = watched

	def watch_migrations(self) -> None:
		"""Not even one that does nothing may be alive when a schema changes: nothing depends on the fence then."""
		start = self.bench.migrations.start

		def watched(site: str, options: MigrationOptions) -> InMemoryRun:
			alive = [name for name in WORKERS if self.programs[name].pid is not None]
			if alive:
				self.violations.append(f"{alive} are alive when the schema begins to change")
			return start(site, options)

		self.bench.migrations.start = watched

	# who acts

	def go_on(self, later: tuple[Phase | type | None, int]) -> None:
		turn, more = later
		if turn is not None:
			self.step(MOST_ACTS, until=turn)
		self.step(more)

	def step(self, acts: int, until: Phase | type | None = None) -> None:
		for _ in range(acts):
			if not (living := self.living()):
				return
			first = min(living, key=lambda actor: actor.wakes_at)
			run_until(self.clock, list, first.wakes_at, self.look)
			first.step()
			self.look()
			if until is not None and first.has_just_told(until):
				return

	def kill(self, actor: Actor) -> None:
		actor.is_killed = True
		self.killed_at = self.clock.now()

	def neighbour_renews(self) -> None:
		if self.is_neighbour_there:
			with suppress(QueueUnreachable):
				self.neighbour.hold()
			self.clock.after(BEAT, self.neighbour_renews)

	def neighbour_may_linger(self) -> bool:
		"""It is there, or was so lately that its fence may not have ended yet."""
		return self.is_neighbour_there or NEIGHBOUR in self.queue.suspension.living()

	def start_again(self, name: str) -> None:
		if self.programs[name].state is ProcessState.FAILED:
			self.programs.start(name)

	def living(self) -> list[Actor]:
		return [actor for actor in self.actors if actor.is_alive_still]

	def operations(self) -> list[OperationActor]:
		return [actor for actor in self.living() if isinstance(actor, OperationActor)]

	def recoveries(self) -> list[Actor]:
		return [actor for actor in self.living() if isinstance(actor, RecoveryActor)]

	def left_over(self) -> list[OperationActor]:
		"""Those that were killed, or lost the bench to another machine, and that nobody has put right yet."""
		dead = [a for a in self.actors if isinstance(a, OperationActor) and not a.is_alive_still and a.facts]
		return [actor for actor in dead if not actor.crashed.is_closed]

	def at_work(self) -> list[SimulatedWorker]:
		return [worker for worker in self.queue.workers.values() if worker.task]

	def is_migrating(self) -> bool:
		"""Whoever watches it, or nobody."""
		run = self.bench.migrations.runs.get(SITE)
		return run is not None and not run.is_gone()

	def is_held_elsewhere(self) -> bool:
		slot = self.bench.lock_slot
		is_theirs = slot.value is not None and slot.value.startswith(ELSEWHERE)
		return is_theirs and slot.expires > self.clock.now()

	# what is seen

	def look(self) -> None:
		"""After each act of anybody."""
		if self.living():
			self.lived_at = self.clock.now()
		self.note_drained()
		self.note_point_of_no_return()
		self.note_fence()
		assert not self.violations, self.violations

	def note_drained(self) -> None:
		"""Where nothing is drained, workers are parked: from then on they start nothing either."""
		for actor in self.operations():
			last = actor.facts[-1][1] if actor.facts else None
			is_parked = isinstance(last, events.WorkersParked) and actor.strategy in NOT_DRAINED
			if is_parked or isinstance(last, events.Drained):
				self.drained_by = actor
			if isinstance(last, events.Drained) and self.is_new(last) and self.at_work():
				self.violations.append(f"{self.at_work()} work after the drain")
			elif actor is self.drained_by and isinstance(last, events.FenceLapsed | events.Ended):
				self.drained_by = None

	def note_point_of_no_return(self) -> None:
		"""Whoever drains passes it with no job at work, also when it was stopped for a while after its drain."""
		for actor in self.operations():
			last = actor.facts[-1][1] if actor.facts else None
			is_passed = isinstance(last, events.PhaseEntered) and not last.phase.can_be_undone
			is_judged = is_passed and not self.has_passed_before(actor) and self.is_new(last)
			if is_judged and actor.strategy in DRAINING and self.at_work():
				self.violations.append(f"{self.at_work()} work when {last.phase} begins")

	def is_new(self, fact: events.Event) -> bool:
		"""The world is judged as it was when the fact was told: it may change before the next one."""
		is_new = id(fact) not in self.judged
		self.judged.add(id(fact))
		return is_new

	def has_passed_before(self, actor: OperationActor) -> bool:
		return sum(not phase.can_be_undone for phase in phases_of(actor)) > 1

	def note_fence(self) -> None:
		"""Once it is not there any more, for whatever reason, nobody promises anything until the next drain."""
		slot = self.queue.suspension
		has_expired = slot.expires is not None and self.clock.now() >= slot.expires
		if slot.value is None or has_expired:
			self.drained_by = None

	def put_back_on_purpose(self, id: str) -> int:
		facts = [
			fact for a in self.actors if isinstance(a, OperationActor) for fact in a.of(events.JobsCondemned)
		]
		return sum(id in fact.ids and fact.requeue for fact in facts)

	def condemned(self) -> set[str]:
		facts = [
			fact for a in self.actors if isinstance(a, OperationActor) for fact in a.of(events.JobsCondemned)
		]
		return {id for fact in facts for id in fact.ids if not fact.requeue}


def phases_of(actor: Actor) -> list[Phase]:
	return [fact.phase for fact in actor.of(events.PhaseEntered)]
