"""An operation whose bench another one took touches nothing any more. What it had begun is finished after the other one."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import crashed_operation_of
from fmx_restart.engine.errors import BenchBusy, LockLost
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import NoOtherOperations, OtherOperation, ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import Script
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITE = "a.localhost"
CLOSED = frozenset({Phase.DRAIN, Phase.MIGRATE, Phase.RESTART})
STALL = 40.0  # seconds, longer than a lease


class LockLostTest(unittest.TestCase):
	"""Two machines with one bench: neither sees the other one's processes, only the lock."""

	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.bench.settings.files[SITE] = {"maintenance_mode": 0}
		self.first = Run(self.bench, self.options())

	def options(self, *, migrates: bool = True) -> Options:
		return Options(
			sites=(SITE,),
			migration=MigrationOptions() if migrates else None,
			maintenance=CLOSED,
			requested_by="anna",
		)

	def lose(self, what: Phase | type) -> None:
		"""The lock is another one's, from that moment on for as long as the test wants."""

		def take():
			self.bench.lock_slot.value, self.bench.lock_slot.expires = "operation-2 ben", None
			self.bench.queue.suspension.value = "fmx_restart:in-memory:operation-2 ben"
			self.bench.queue.suspension.expires = None
			self.first.operation._next_beat = 0.0

		self.first.when(what, take)

	def crashed(self, run: Run):
		return crashed_operation_of((0.0, fact) for fact in run.facts)


class TestTouchesNothing(LockLostTest):
	def test_it_leaves_settings_programs_migration_and_fence_as_they_are(self):
		moments = (
			Phase.DRAIN,
			events.Drained,
			Phase.MIGRATE,
			events.ProcessStopping,
			events.MigrationStarted,
		)
		for what in moments:
			with self.subTest(what=what):
				self.setUp()
				self.lose(what)
				with self.assertRaises(LockLost) as raised:
					self.first.go()
				at_the_loss = self.first.facts[-1]
				self.assertIsInstance(at_the_loss, events.Ended)
				self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 1)
				self.assertEqual([r.signals for r in self.bench.migrations.runs.values() if r.signals], [])
				self.assertIn("operation-2", self.bench.queue.suspension.value)
				self.assertIn("operation-2", self.bench.lock_slot.value)
				starts = [name for order, name in self.bench.processes.orders if order == "start"]
				self.assertEqual(starts, [])
				self.assertEqual(raised.exception.exit_code, 4)
				self.assertIn("operation-2 ben", str(raised.exception))

	def test_its_journal_stays_open_for_the_recovery(self):
		self.lose(events.MigrationStarted)
		with self.assertRaises(LockLost):
			self.first.go()
		crashed = self.crashed(self.first)
		self.assertEqual((crashed.is_closed, crashed.phase), (False, Phase.MIGRATE))
		self.assertTrue(crashed.needs_new_workers and crashed.settings and crashed.migrating)
		self.assertEqual(self.first.operation.report.outcome, Phase.FAILED)

	def test_one_that_had_changed_nothing_leaves_nothing_open(self):
		self.lose(events.Planned)
		with self.assertRaisesRegex(LockLost, "Nothing was changed"):
			self.first.go()
		self.assertTrue(self.crashed(self.first).is_closed)
		self.assertEqual(self.first.operation.report.outcome, Phase.ABORTED)


class TestIsAdopted(LockLostTest):
	def test_the_second_one_works_undisturbed_and_the_recovery_puts_the_settings_back_after_it(self):
		# Given a site that the first one put into maintenance mode before it was stopped
		second = Run(self.bench, self.options(migrates=False), id="operation-2")
		meanwhile: list[int] = []

		def second_takes_the_bench():
			self.bench.clock.sleep(STALL)
			second.when(Phase.RESTART, self.first_goes_on)
			second.when(
				Phase.LIFT, lambda: meanwhile.append(self.bench.settings.files[SITE]["maintenance_mode"])
			)
			second.go()

		self.first.when(events.Drained, second_takes_the_bench)
		with self.assertRaises(LockLost):
			self.first.go()
		# Then the second one ended well, and its site was closed as long as it wanted
		self.assertEqual((second.operation.report.outcome, meanwhile), (Phase.DONE, [1]))
		# When the first one's guardian puts right what is left
		self.assertEqual(self.first.recovery(self.bench).run().outcome, Phase.RECOVERED)
		# Then the setting is as it was found at first, and nobody is missing
		self.assertEqual(self.bench.settings.files, {SITE: {"maintenance_mode": 0}})
		self.assertEqual({p.state for p in self.bench.processes.list()}, {ProcessState.RUNNING})
		self.assertTrue(self.crashed(self.first).is_closed)

	def first_goes_on(self) -> None:
		"""It looks at its lock, in the middle of the second one's work."""
		with self.assertRaises(LockLost):
			self.first.operation.keep_alive(now=True)

	def test_a_recovery_touches_nothing_while_the_second_one_is_at_work(self):
		self.lose(events.Drained)
		with self.assertRaises(LockLost):
			self.first.go()
		before = list(self.bench.processes.orders)
		with self.assertRaises(BenchBusy):
			self.first.recovery(self.bench).run()
		self.assertEqual(self.bench.settings.files[SITE]["maintenance_mode"], 1)
		self.assertEqual(self.bench.processes.orders, before)

	def test_workers_that_it_had_stopped_for_its_migration_are_started(self):
		# Given an operation that loses the bench in the middle of a migration that goes on
		self.bench.migrations.scripts[SITE] = Script(seconds=20)
		self.lose(events.MigrationStarted)
		with self.assertRaises(LockLost):
			self.first.go()
		self.assertIs(self.bench.processes["long"].state, ProcessState.STOPPED)
		# When the other one has ended
		self.bench.lock_slot.value = self.bench.queue.suspension.value = None
		began = self.bench.clock.now()
		ups: list[float] = []
		recovery = self.first.recovery(self.bench)
		recovery.listen(
			lambda fact: isinstance(fact, events.ProcessUp) and ups.append(self.bench.clock.now())
		)
		self.assertEqual(recovery.run().outcome, Phase.RECOVERED)
		# Then they start when the migration has ended, not before
		self.assertGreaterEqual(min(ups), began + 15)
		self.assertEqual({p.state for p in self.bench.processes.list()}, {ProcessState.RUNNING})
		self.assertEqual(self.bench.settings.files, {SITE: {"maintenance_mode": 0}})


class Neighbours(NoOtherOperations):
	"""Operations of this machine that are alive."""

	def __init__(self, alive: OtherOperation | None = None) -> None:
		self.alive = alive

	def at_work(self) -> OtherOperation | None:
		return self.alive


class TestAliveButNotRunning(LockLostTest):
	def second_beside_the_first(self, host: str = "") -> tuple[Run, Neighbours]:
		first = OtherOperation("operation-1", 4711, host)
		second, others = Run(self.bench, id="operation-2"), Neighbours(first)
		second.operation.bench = replace(second.operation.bench, others=others)
		return second, others

	def test_a_second_one_on_this_machine_is_refused_as_long_as_the_process_lives(self):
		second, _ = self.second_beside_the_first()
		with self.assertRaisesRegex(BenchBusy, "operation-1.*4711.*Nothing was changed") as raised:
			second.go()
		self.assertIn("kill -CONT 4711", raised.exception.hint)
		self.assertEqual((raised.exception.exit_code, second.phases), (75, [Phase.PREFLIGHT]))
		self.assertIsNone(self.bench.lock_slot.value)

	def test_on_another_machine_that_shows_its_locks_nothing_is_said_to_kill_here(self):
		second, _ = self.second_beside_the_first("app1")
		with self.assertRaisesRegex(BenchBusy, "its process 4711 on app1 is alive") as raised:
			second.go()
		self.assertRegex(
			raised.exception.hint, "^On app1, type: kill -CONT 4711.*Here that pid is of another"
		)

	def test_one_that_is_about_to_end_is_waited_for(self):
		second, others = self.second_beside_the_first()
		self.bench.clock.at(1, lambda: setattr(others, "alive", None))
		self.assertEqual(second.go().outcome, Phase.DONE)


if __name__ == "__main__":
	unittest.main()
