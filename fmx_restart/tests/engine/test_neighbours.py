"""Not alone on this Redis: operations of other benches, and people who suspend the queue themselves."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import FenceFault
from fmx_restart.engine.identity import Holder
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.leases import InMemoryFence
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
NOTE = Holder("operation-of-ben", "ben", "erp-2", 1, "Drain", 1.0).note()


class NeighbourTest(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		self.queue, self.clock = self.bench.queue, self.bench.clock
		self.suspension = self.queue.suspension
		self.neighbour = InMemoryFence(self.suspension, "fmx_restart:bench-of-ben:operation-of-ben")
		self.held: list[bool] = []

	def neighbour_holds(self, begin: float, end: float) -> None:
		"""As an operation does: it renews every few seconds, then releases."""
		moment = begin
		while moment < end:
			self.clock.at(moment, lambda: self.neighbour.hold(NOTE))
			moment += 5.0
		self.clock.at(end, self.neighbour.release)

	def note_whether_it_is_suspended(self, begin: float, end: float) -> None:
		"""Ten times a second."""
		for tenth in range(int(begin * 10), int(end * 10)):
			self.clock.at(tenth / 10 + 0.05, lambda: self.held.append(self.suspension.standing() is not None))

	def suspends(self) -> None:
		self.suspension.value, self.suspension.expires = "1", None

	def lifts(self) -> None:
		self.suspension.value = None


class TestNeighbours(NeighbourTest):
	def test_a_neighbours_release_leaves_no_moment_in_which_a_job_could_start(self):
		# Given a job that runs, jobs that wait, and a neighbour that had suspended the queue before and releases it meanwhile
		self.queue.enqueue("running", queue="short", seconds=30)
		self.neighbour.hold(NOTE)
		self.neighbour_holds(3, 20)
		for second in range(1, 30):
			self.clock.at(second + 0.01, lambda second=second: self.queue.enqueue(f"waits-{second}"))
		self.note_whether_it_is_suspended(1, 29)
		run = Run(self.bench)
		# When the bench is restarted
		self.assertEqual(run.go().outcome, Phase.DONE)
		# Then the queue was suspended all the time, and that was no stranger
		self.assertEqual((set(self.held), run.of(events.FenceLapsed)), ({True}, []))
		self.assertEqual(run.of(events.ForeignSuspension), [])
		self.assertIn("operation-of-ben by ben", run.of(events.FenceShared)[0].holder)

	def test_a_neighbour_that_comes_later_keeps_the_queue_after_us_and_that_is_told(self):
		self.queue.enqueue("running", queue="short", seconds=20)
		self.neighbour_holds(10, 60)
		self.clock.at(12, lambda: self.queue.enqueue("waits"))
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertLess(self.clock.now(), 50)
		self.assertIn(NOTE, self.suspension.standing() or "")
		self.assertEqual((len(run.of(events.FenceShared)), self.queue.tasks["waits"].runs), (1, 0))
		self.clock.sleep(60)
		self.assertEqual((self.suspension.standing(), self.queue.tasks["waits"].runs), (None, 1))

	def test_a_neighbour_that_dies_frees_the_queue_one_lease_later_and_not_before_us(self):
		self.queue.enqueue("running", queue="short", seconds=60)
		self.clock.at(1, lambda: self.neighbour.hold(NOTE))
		self.note_whether_it_is_suspended(1, 59)
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((set(self.held), run.of(events.FenceLapsed)), ({True}, []))
		self.assertIsNone(self.suspension.standing())


class TestStrangers(NeighbourTest):
	def test_a_suspension_that_is_lifted_during_the_drain_is_ours_at_the_next_look(self):
		# Given a stranger's suspension that is lifted while a job runs
		self.queue.enqueue("running", queue="short", seconds=30)
		self.suspends()
		self.clock.at(10, self.lifts)
		self.clock.at(11, lambda: self.queue.enqueue("waits"))
		self.clock.at(10.1, lambda: self.held.append(self.suspension.standing() is not None))
		run = Run(self.bench)
		# When the bench is restarted
		self.assertEqual(run.go().outcome, Phase.DONE)
		# Then the queue stays suspended, and the drain has looked once more
		self.assertEqual((self.held, len(run.of(events.FenceLapsed))), ([True], 1))
		self.assertGreater(self.queue.tasks["waits"].started, self.clock.epoch + 30)

	def test_our_own_suspension_that_someone_lifts_is_put_up_again_at_the_next_look(self):
		self.queue.enqueue("running", queue="short", seconds=30)
		self.clock.at(10, self.lifts)
		self.clock.at(10.1, lambda: self.held.append(self.suspension.standing() is not None))
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((self.held, len(run.of(events.FenceLapsed))), ([True], 1))

	def test_it_is_ours_a_moment_after_it_was_lifted_also_where_nobody_looks_at_the_queue(self):
		# Given a stranger's suspension that is lifted in the middle of a migration
		self.suspends()
		run = Run(self.bench, Options(sites=("a.localhost",), migration=MigrationOptions()))

		def lift_soon(fact) -> None:
			if isinstance(fact, events.MigrationStarted):
				self.clock.after(1.0, self.lifts)
				self.clock.after(1.3, lambda: self.held.append(self.suspension.standing() is not None))

		run.operation.listen(lift_soon)
		with self.assertRaises(FenceFault):
			run.go()
		# Then it was put up again within the pause of a suspended worker
		self.assertEqual((self.held, len(run.of(events.FenceLapsed))), ([True], 1))

	def test_one_that_comes_in_the_middle_is_told_once_and_stays(self):
		self.queue.enqueue("running", queue="short", seconds=30)
		self.clock.at(10, self.suspends)
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(run.of(events.ForeignSuspension), [events.ForeignSuspension("rq suspend")])
		self.assertEqual((run.of(events.FenceLapsed), self.suspension.standing()), ([], "1"))


if __name__ == "__main__":
	unittest.main()
