"""
Whatever happens, in whatever order: jobs come and end, workers and operations are killed, Redis goes and comes, other
people suspend the queue or want a restart too. After each step every promise of the engine is looked at.

FMX_INTERLEAVINGS=2000 tries that many histories, other ones each time; without it a few, always the same, and 500 in
`bin/test --long`.
"""

from __future__ import annotations

import os
import unittest
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from fmx_restart.engine import events
from fmx_restart.engine.errors import BenchBusy, Interrupted
from fmx_restart.engine.held import BEATS_PER_LEASE, LEASE
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import DRAINING, OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Hold, ProcessState
from fmx_restart.testing.bench import FENCE_OWNER
from fmx_restart.testing.leases import InMemoryFence, InMemoryLease
from fmx_restart.testing.workers import Task
from fmx_restart.tests.engine.actors import Actor, OperationActor, RecoveryActor, run_until
from fmx_restart.tests.engine.world import BEAT, ELSEWHERE, NEIGHBOUR, SITE, WORKERS, World, phases_of
from fmx_restart.tests.repetitions import repetitions

QUEUES = ("short", "default", "long")
RETRY = 1.0  # seconds until the manager starts a program again that died
CLOSED = frozenset({Phase.DRAIN, Phase.MIGRATE, Phase.RESTART})
MOST_JOBS = 30
EVERYTHING_ENDS = 900.0  # seconds

some_options = {
	"drain_timeout": st.sampled_from((2.0, 15.0)),
	"on_timeout": st.sampled_from(OnTimeout),
	"force_kill_timeout": st.just(5.0),
	"sites": st.just((SITE,)),
	"maintenance": st.sampled_from((frozenset(), CLOSED)),
}
migrations = st.builds(MigrationOptions, timeout=st.sampled_from((4.0, 60.0)), backup=st.booleans())
options = st.one_of(
	st.builds(Options, strategy=st.sampled_from(Strategy), **some_options),
	st.builds(Options, strategy=st.sampled_from(sorted(DRAINING)), migration=migrations, **some_options),
)
TURNS = (
	Phase.PARK,
	Phase.RESTART,
	Phase.LIFT,
	Phase.VERIFY,
	Phase.HANDOVER,
	events.SettingChanged,
	events.JobsCondemned,
	events.JobsInterrupted,
	events.Drained,
	events.ProcessStopping,
	events.ProcessDown,
	events.BackupStarted,
	Phase.MIGRATE,
	events.MigrationsPlanned,
	events.MigrationStarted,
	events.MigrationEnded,
)
NOW = (None, 0)
UNSEEN = "unseen"  # a worker, and the queue that it alone listens to
moments = st.sampled_from((0.3, 1.0, 4.0, 12.0, 40.0))
#: when something happens: so many acts of operations later (a restart without running jobs takes about 400), counted
#: from now or from when one of them has told this, before it does what it told
acts = st.one_of(
	st.tuples(st.none(), st.integers(0, 500)), st.tuples(st.sampled_from(TURNS), st.integers(0, 20))
)
#: the moments at which an operation may least of all be stopped
DELICATE = (events.Drained, events.BackupStarted, Phase.MIGRATE, events.MigrationStarted, Phase.RESTART)
delicate = st.tuples(st.sampled_from(DELICATE), st.integers(0, 20))
jobs = st.tuples(st.sampled_from(QUEUES), st.sampled_from((0.0, 0.1, 1.0, 5.0, 20.0, 60.0)))


class Interleavings(World):
	# what happens

	@initialize(
		many=st.lists(jobs, max_size=4),
		options=options,
		mishap=st.none() | st.sampled_from(("killed", "stopped", "robbed", "rivalled")),
		later=acts | delicate,
	)
	def a_restart_begins_under_load(
		self, many: list[tuple[str, float]], options: Options, mishap: str | None, later: tuple
	) -> None:
		self.jobs_come(many)
		self.somebody_wants_a_restart(options)
		if mishap == "killed":
			self.an_operation_is_killed(later)
		elif mishap == "stopped":
			self.one_of_us_is_stopped_for_a_while(LEASE + 10, later)
			self.jobs_come([("short", 20.0), ("long", 60.0)])
		elif mishap == "robbed":
			self.another_machine_takes_the_bench_from_one_that_is_stopped(later, 20.0)
		elif mishap == "rivalled":
			self.another_restart_is_wanted_when_one_is_stopped(later, options)

	@rule(many=st.lists(jobs, min_size=1, max_size=4), later=acts)
	def jobs_come(self, many: list[tuple[str, float]], later: tuple = NOW) -> None:
		self.go_on(later)
		for queue, seconds in many:
			id = f"job-{len(self.tasks)}"
			if not self.queue.is_away and len(self.tasks) < MOST_JOBS:
				self.tasks[id] = self.queue.enqueue(id, queue=queue, seconds=seconds)

	@rule(seconds=moments)
	def time_passes(self, seconds: float) -> None:
		run_until(self.clock, self.living, self.clock.now() + seconds, self.look)

	@rule(name=st.sampled_from(sorted(WORKERS)), later=acts)
	def a_worker_is_killed(self, name: str, later: tuple) -> None:
		"""With the job it runs. Its manager starts another one."""
		self.go_on(later)
		program = self.programs[name]
		worker = self.queue.workers.get(self.bench.worker_of(program))
		if program.state is not ProcessState.RUNNING or worker is None or worker.is_dead:
			return
		if worker.task:
			self.crashed.add(worker.task.id)
		self.queue.kill_worker(worker.name)
		self.programs.end(name, ProcessState.FAILED, "killed")
		self.clock.after(RETRY, lambda: self.start_again(name))

	@rule(
		shares_pid=st.sampled_from((None, *sorted(WORKERS))),
		seconds=st.sampled_from((0.0, 5.0, 60.0)),
		later=acts,
	)
	@precondition(lambda self: UNSEEN not in self.queue.workers)
	def a_worker_comes_that_nobody_sees(self, shares_pid: str | None, seconds: float, later: tuple) -> None:
		"""In another pid namespace, with our host name, perhaps with the pid of a worker of ours; and a job for it."""
		self.go_on(later)
		pid = self.programs[shares_pid].pid if shares_pid else None
		if not self.queue.is_away and UNSEEN not in self.queue.workers:
			self.queue.add_worker(UNSEEN, pid or 7, [UNSEEN], is_unseen=True)
		self.jobs_come([(UNSEEN, seconds)])

	@rule(seconds=st.sampled_from((0.2, 3.0, 12.0, 35.0, 100.0)), later=acts)
	def redis_is_away(self, seconds: float, later: tuple) -> None:
		self.go_on(later)
		if not self.queue.is_away:
			self.queue.is_away = True
			self.longest_outage = max(self.longest_outage, seconds)
			self.clock.after(seconds, lambda: setattr(self.queue, "is_away", False))

	@rule(seconds=st.sampled_from((3.0, 40.0)), later=acts)
	def redis_is_full(self, seconds: float, later: tuple) -> None:
		self.go_on(later)
		self.queue.server.is_full = True
		self.clock.after(seconds, lambda: setattr(self.queue.server, "is_full", False))

	@rule(later=acts)
	def the_fence_is_gone_before_its_time(self, later: tuple) -> None:
		self.go_on(later)
		if not self.is_foreign and not self.queue.is_away:
			self.queue.suspension.value = None

	@rule(later=acts)
	@precondition(lambda self: not self.is_foreign)
	def somebody_suspends_the_queue(self, later: tuple) -> None:
		"""As rq suspend does: over whatever is there."""
		self.go_on(later)
		if not self.queue.is_away:
			self.queue.suspension.value, self.queue.suspension.expires = "1", None
			self.is_foreign = True

	@rule(later=acts)
	@precondition(lambda self: self.is_foreign)
	def somebody_lifts_their_suspension(self, later: tuple) -> None:
		self.go_on(later)
		if not self.queue.is_away:
			self.queue.suspension.value = None
			self.is_foreign = False

	@rule(later=acts)
	@precondition(lambda self: not self.is_neighbour_there)
	def a_neighbour_suspends_the_queue(self, later: tuple) -> None:
		"""An operation of another bench on the same Redis."""
		self.go_on(later)
		if not self.queue.is_away and not self.queue.server.is_full:
			self.neighbour.hold()
			self.is_neighbour_there = True
			self.clock.after(BEAT, self.neighbour_renews)

	@rule(later=acts, dies=st.booleans())
	@precondition(lambda self: self.is_neighbour_there)
	def a_neighbour_ends(self, later: tuple, dies: bool) -> None:
		"""Whatever it does, the queue stays suspended for whoever else holds it, and for nobody else."""
		self.go_on(later)
		if self.queue.is_away:
			return
		self.is_neighbour_there = False
		if dies:
			return
		self.neighbour.release()
		others = self.queue.suspension.living().keys() - {NEIGHBOUR}
		is_suspended = self.queue.suspension.standing() is not None
		assert is_suspended == bool(others or self.is_foreign), self.queue.suspension.owners

	@rule(seconds=st.sampled_from((20.0, 36.0, 70.0)), later=acts)
	@precondition(lambda self: self.living())
	def one_of_us_is_stopped_for_a_while(self, seconds: float, later: tuple) -> None:
		"""It is alive and does not run, for longer than its leases last; then it goes on with what it was about to do."""
		self.go_on(later)
		for actor in self.living()[:1]:
			actor.stall(seconds)

	@rule(later=acts, options=options)
	@precondition(lambda self: self.operations())
	def another_restart_is_wanted_when_one_is_stopped(self, later: tuple, options: Options) -> None:
		"""Its lock has expired, and its process is alive."""
		self.one_of_us_is_stopped_for_a_while(LEASE + 10, later)
		self.time_passes(LEASE + 1)
		self.somebody_wants_a_restart(options)

	@rule(later=acts, seconds=st.sampled_from((20.0, 60.0)))
	@precondition(lambda self: self.operations())
	def another_machine_takes_the_bench_from_one_that_is_stopped(self, later: tuple, seconds: float) -> None:
		self.one_of_us_is_stopped_for_a_while(LEASE + 10, later)
		self.time_passes(LEASE + 1)
		self.another_machine_takes_the_bench(seconds)

	@rule(seconds=st.sampled_from((3.0, 20.0)), later=acts)
	def another_machine_takes_the_bench(self, seconds: float, later: tuple = NOW) -> None:
		"""As soon as it is free, as a restart of that machine's own programs does."""
		self.go_on(later)
		if self.queue.is_away or self.queue.server.is_full:
			return
		lock = InMemoryLease(self.clock, self.bench.lock_slot, ELSEWHERE, seconds=seconds)
		if lock.hold() is not Hold.FOREIGN:
			InMemoryFence(
				self.queue.suspension, FENCE_OWNER + ELSEWHERE, seconds=seconds, replaces=FENCE_OWNER
			).hold()

	# what people do

	@rule(options=options)
	@precondition(lambda self: len(self.actors) < 6)
	def somebody_wants_a_restart(self, options: Options) -> None:
		"""What a dead one left is put right before, as the command does."""
		if not self.left_over():
			id = f"operation-{len(self.actors)}"
			self.actors.append(OperationActor(self.bench, options, id, lambda: self.actors))
		elif not self.recoveries():
			self.somebody_puts_right_what_is_left()

	@rule(later=acts)
	@precondition(lambda self: self.operations())
	def somebody_asks_it_to_stop(self, later: tuple) -> None:
		self.go_on(later)
		for actor in self.operations()[:1]:
			actor.operation.stop_requested.set()

	@rule(later=acts)
	@precondition(lambda self: self.operations())
	def an_operation_is_killed(self, later: tuple) -> None:
		self.go_on(later)
		for actor in self.operations()[:1]:
			self.kill(actor)

	@rule(later=acts)
	@precondition(lambda self: self.recoveries())
	def a_guardian_is_killed_too(self, later: tuple) -> None:
		self.go_on(later)
		for actor in self.recoveries():
			self.kill(actor)

	@rule()
	@precondition(lambda self: self.left_over() and not self.recoveries())
	def somebody_puts_right_what_is_left(self) -> None:
		self.actors.append(RecoveryActor(self.left_over()[0], lambda: self.actors))

	# what is promised

	@invariant()
	def nothing_was_violated(self) -> None:
		self.look()

	@invariant()
	def no_job_runs_more_often_than_it_was_put_back_on_purpose(self) -> None:
		for task in self.tasks.values():
			assert task.runs <= 1 + self.put_back_on_purpose(task.id), task

	@invariant()
	def a_suspension_of_somebody_else_is_never_lifted(self) -> None:
		assert not self.is_foreign or self.queue.suspension.value == "1"

	@invariant()
	def one_operation_at_a_time(self) -> None:
		"""But for one that could not renew its lock for longer than that lasts: it notices as soon as Redis is back."""
		if self.longest_outage < LEASE - LEASE / BEATS_PER_LEASE:
			at_work = [actor for actor in self.operations() if actor.of(events.PhaseEntered)]
			assert len(at_work) <= 1, [actor.id for actor in at_work]

	@invariant()
	def whoever_ended_by_himself_leaves_no_fence(self) -> None:
		"""Where Redis was there to take it back."""
		if self.is_held_elsewhere():
			return
		if not self.living() and not self.left_over() and not self.longest_outage and not self.is_foreign:
			assert self.queue.suspension.living().keys() <= {NEIGHBOUR}
			assert (
				self.is_neighbour_there or self.neighbour_may_linger() or not self.queue.suspension.standing()
			)

	@invariant()
	def after_a_kill_the_queue_moves_within_one_lease(self) -> None:
		"""Also after one that ended while Redis was away, and could not take its fence back."""
		if self.killed_at is None or self.living() or self.is_foreign or self.queue.is_away:
			return
		if self.is_held_elsewhere():
			return
		if self.clock.now() > self.lived_at + LEASE and not self.neighbour_may_linger():
			assert self.queue.suspension.standing() is None, self.queue.suspension.value

	def teardown(self) -> None:
		try:
			self.let_everything_end()
			self.check_the_end()
		finally:
			for actor in self.actors:
				actor.discard()

	def let_everything_end(self) -> None:
		self.time_passes(100.0)  # Redis is back, and has room
		if self.is_foreign:
			self.queue.suspension.value, self.is_foreign = None, False
		self.is_neighbour_there = False
		self.wait_until(lambda: not self.living() and not self.left_over())
		self.bring_back_who_was_left_to_people()
		self.wait_until(lambda: not any(self.queue.lists.values()) and not self.at_work())
		self.time_passes(LEASE)

	def wait_until(self, condition: Callable[[], bool]) -> None:
		end = self.clock.now() + EVERYTHING_ENDS
		while not condition():
			assert self.clock.now() < end, (
				self.living(),
				self.queue.lists,
				self.queue.workers,
				self.programs.list(),
			)
			if not self.living() and self.left_over():
				self.somebody_puts_right_what_is_left()
			self.time_passes(5.0)

	def bring_back_who_was_left_to_people(self) -> None:
		"""Who stops an operation while busy workers leave one by one is told that nobody watches them any more."""
		for actor in self.actors:
			if isinstance(actor.error, Interrupted) and Phase.HANDOVER in phases_of(actor):
				self.wait_until(lambda: not any(worker.is_dead for worker in self.at_work()))
				for name in WORKERS:
					if self.programs[name].state is ProcessState.EXITED:
						self.programs.start(name)

	def check_the_end(self) -> None:
		self.look()
		self.no_job_runs_more_often_than_it_was_put_back_on_purpose()
		for name in ("web", *WORKERS):
			assert self.programs[name].state is ProcessState.RUNNING, self.programs[name]
		found = {site: dict(file) for site, file in self.bench.settings.files.items()}
		assert found == self.settings_found, found
		assert self.bench.port().fence.holder() is None
		for task in self.tasks.values():
			self.check_task(task)
		for actor in self.actors:
			self.check_report(actor)

	def check_task(self, task: Task) -> None:
		"""Each has finished, but for those that were killed: by a stranger, or because someone asked for it."""
		if task.id not in self.crashed | self.condemned():
			assert task.status == "finished", task
		assert task.runs >= 1, task

	def check_report(self, actor: Actor) -> None:
		if isinstance(actor, OperationActor) and actor.report and actor.report.account:
			assert actor.report.account.is_balanced, actor.report.account
			assert not actor.report.account.lost, actor.report.account
		if isinstance(actor.error, BenchBusy):
			assert not actor.of(events.PhaseEntered), "who was refused has begun nothing"


class InterleavingsOfBothKinds(Interleavings):
	"""One of the workers reloads in place where others of its kind are restarted."""

	lossless = ("long",)


TestInterleavings = Interleavings.TestCase
TestInterleavingsOfBothKinds = InterleavingsOfBothKinds.TestCase
HISTORIES = int(os.environ.get("FMX_INTERLEAVINGS", 0))
TestInterleavings.settings = TestInterleavingsOfBothKinds.settings = settings(
	max_examples=HISTORIES or repetitions("interleavings", 10, long=500),
	stateful_step_count=30,
	deadline=None,
	derandomize=not HISTORIES,
	database=None,
	suppress_health_check=list(HealthCheck),
)

if __name__ == "__main__":
	unittest.main()
