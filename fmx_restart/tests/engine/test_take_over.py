"""An operation whose machine is gone for good, seen to by another one: what that can know, and what it must not claim."""

from __future__ import annotations

import unittest
from contextlib import suppress
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import crashed_operation_of
from fmx_restart.engine.errors import BenchBusy, ProcessFault, QueueUnreachable
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, ProcessKind, ProcessManagers, ProcessState
from fmx_restart.engine.recovery import TakeOver
from fmx_restart.testing.bench import FENCE_OWNER, InMemoryBench
from fmx_restart.testing.leases import InMemoryLease
from fmx_restart.testing.processes import InMemoryHost, InMemoryProcesses, Program
from fmx_restart.tests.engine.actors import HandedClock, OperationActor, run_until

SITE = "one.localhost"


class TestTakeOver(unittest.TestCase):
	def setUp(self):
		self.clock = HandedClock()
		self.bench = InMemoryBench({"short": ("short", "default")}, clock=self.clock)
		self.bench.settings.files[SITE] = {"maintenance_mode": 0}
		self.facts: list[tuple[float, events.Event]] = []
		web = Program("web", ProcessKind.WEB)
		self.here = InMemoryProcesses(self.clock, web, Program("short", ProcessKind.WORKER))

	def die_at(self, fact: type | Phase, **options) -> None:
		"""An operation on host-1, killed as soon as it has told that."""
		closed = frozenset({Phase.DRAIN, Phase.MIGRATE, Phase.RESTART})
		wanted = Options(sites=(SITE,), maintenance=closed, **options)
		actor = OperationActor(self.bench, wanted, "operation-1")
		self.addCleanup(actor.discard)
		while not actor.has_just_told(fact):
			run_until(self.clock, list, actor.wakes_at, lambda: None)
			actor.step()
			self.assertFalse(actor.is_over, actor.error)
		self.facts = actor.facts
		self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 1)

	def other_machine(self) -> Bench:
		"""It shares Redis, the sites' files and the journal with host-1, and nothing else."""
		clock, owner = self.clock, "operation-1/other"
		return replace(
			self.bench.port(),
			host=InMemoryHost("host-2"),
			processes=ProcessManagers({"": self.here}),
			lock=InMemoryLease(clock, self.bench.lock_slot, owner),
			fence=InMemoryLease(
				clock, self.bench.queue.suspension, FENCE_OWNER + owner, replaces=FENCE_OWNER
			),
		)

	def take_over(self) -> TakeOver:
		return TakeOver(
			self.other_machine(),
			crashed_operation_of(self.facts),
			lambda event: self.facts.append((self.clock.time(), event)),
		)

	def test_it_is_refused_as_long_as_the_dead_one_holds_the_bench(self):
		self.die_at(Phase.RESTART)
		before = len(self.facts)
		with self.assertRaises(BenchBusy):
			self.take_over().run()
		self.assertEqual(len(self.facts), before)
		self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 1)

	def test_it_is_refused_where_redis_does_not_say_whether_the_other_one_lives(self):
		self.die_at(Phase.RESTART)
		self.bench.queue.is_away = True
		with self.assertRaises(QueueUnreachable):
			self.take_over().run()
		self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 1)

	def test_it_opens_the_sites_and_never_says_that_programs_are_up_which_it_cannot_see(self):
		self.die_at(events.ProcessDown)
		self.clock.sleep(LEASE)
		take_over = self.take_over()
		with self.assertRaises(ProcessFault) as raised:
			take_over.run()
		# Then what belongs to the bench is as it was
		self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 0)
		self.assertIsNone(self.bench.port().fence.holder())
		# And programs of the same names on this machine were neither touched nor taken for those of the other
		self.assertEqual(self.here.orders, [])
		self.assertEqual(take_over.report.processes, [])
		self.assertEqual((take_over.report.outcome, raised.exception.exit_code), (Phase.FAILED, 4))
		self.assertIn("Not examined, and perhaps down on host-1: web, short", str(raised.exception))
		self.assertIn("a restart leaves it stopped", raised.exception.hint)

	def take_over_of_two_hosts(self, other: str = "host-2") -> TakeOver:
		"""The dead one had stopped its own web, and a worker of that host through its manager."""
		self.die_at(events.ProcessDown)
		self.clock.sleep(LEASE)
		take_over = self.take_over()
		plan = take_over.original.plan
		far = [replace(it, host=other) if it.name == "short" else it for it in plan.restart]
		take_over.original.plan = replace(plan, restart=tuple(far))
		return take_over

	def test_what_it_stopped_on_another_host_is_started_and_its_own_programs_are_named(self):
		web = Program("web", ProcessKind.WEB)
		#: it registers nowhere
		self.here = InMemoryProcesses(self.clock, web, Program("short", ProcessKind.SOCKETIO))
		self.here["web"].state = self.here["short"].state = ProcessState.STOPPED
		take_over = self.take_over_of_two_hosts()
		with self.assertRaisesRegex(ProcessFault, "Started: short. Not examined, .* on host-1: web.$"):
			take_over.run()
		self.assertIs(self.here["short"].state, ProcessState.RUNNING)
		self.assertIs(self.here["web"].state, ProcessState.STOPPED)

	def test_a_program_of_the_same_name_on_a_third_host_is_not_started(self):
		self.here["short"].state = ProcessState.STOPPED
		take_over = self.take_over_of_two_hosts("host-3")
		with self.assertRaisesRegex(ProcessFault, "perhaps down on host-1: web; on host-3: short.$"):
			take_over.run()
		self.assertEqual(self.here.orders, [])

	def test_what_runs_on_another_host_is_left_alone(self):
		take_over = self.take_over_of_two_hosts()
		with self.assertRaisesRegex(ProcessFault, "perhaps down on host-1: web.$"):
			take_over.run()
		self.assertEqual(self.here.orders, [])

	def test_one_that_had_touched_no_program_is_recovered(self):
		self.die_at(events.Drained)
		self.clock.sleep(LEASE)
		take_over = self.take_over()
		self.assertEqual(take_over.run().outcome, Phase.RECOVERED)
		self.assertIn("host-2 took it over", take_over.report.failure.message)
		self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 0)

	def test_a_migration_that_was_broken_off_is_named_and_nothing_is_replaced_for_it(self):
		self.die_at(events.MigrationStarted, migration=MigrationOptions())
		self.clock.sleep(LEASE)
		take_over = self.take_over()
		with suppress(ProcessFault):  # where its workers were stopped for the migration
			take_over.run()
		self.assertIn(f"The migration of {SITE} may have been interrupted", take_over.report.failure.message)
		self.assertIn("--resume", take_over.report.failure.hint)
		self.assertEqual(self.here.orders, [])
		self.assertTrue(all(process.state is ProcessState.RUNNING for process in self.here.list()))
