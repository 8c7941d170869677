"""The count of a million jobs takes longer than a lease lasts, and others act in the middle of it."""

from __future__ import annotations

import unittest
from itertools import pairwise

from fmx_restart.engine import events
from fmx_restart.engine.errors import JobsLost
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.leases import InMemoryFence
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
LONGEST_PAUSE = 5.0  # seconds between two renewals


class LongCountTest(unittest.TestCase):
	"""A queue that nobody serves, whose pages take so long that a count lasts longer than a lease."""

	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		self.queue, self.clock = self.bench.queue, self.bench.clock
		for number in range(2000):
			self.queue.enqueue(f"waits-{number}", queue="nobody")
		self.queue.page_takes = 1.0
		self.renewed: list[tuple[float, str]] = []

	def run_with(self, options: Options | None = None) -> Run:
		"""Whose renewals are noted."""
		run = Run(self.bench, options)
		for lease in ("lock", "fence"):
			self.note_renewals(lease, getattr(run.operation.bench, lease))
		return run

	def note_renewals(self, name: str, lease) -> None:
		hold = lease.hold

		def noted(note: str = ""):
			self.renewed.append((self.clock.now(), name))
			return hold(note)

		lease.hold = noted

	def longest_pause(self, name: str) -> float:
		moments = [moment for moment, lease in self.renewed if lease == name]
		return max(later - moment for moment, later in pairwise(moments))

	def at_lift(self, run: Run, after: float, act) -> None:
		"""So many seconds into the last count."""
		run.operation.listen(
			lambda fact: fact == events.PhaseEntered(Phase.LIFT) and self.clock.after(after, act)
		)


class TestRenewal(LongCountTest):
	def test_lock_and_fence_are_renewed_while_jobs_are_counted(self):
		for strategy in (Strategy.WAIT_WORKERS, Strategy.SUSPEND_RQ, Strategy.NO_WAIT_WORKERS):
			with self.subTest(strategy=strategy):
				self.setUp()
				run = self.run_with(Options(strategy))
				report = run.go()
				self.assertEqual((report.outcome, run.of(events.FenceLapsed)), (Phase.DONE, []))
				self.assertEqual((report.account.before, report.account.waiting), (2000, 2000))
				self.assertGreater(report.seconds, 60)
				self.assertLessEqual(max(map(self.longest_pause, ("lock", "fence"))), LONGEST_PAUSE)

	def test_the_lock_is_renewed_where_nothing_is_fenced(self):
		run = self.run_with(Options(Strategy.ROLLING))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertLessEqual(self.longest_pause("lock"), LONGEST_PAUSE)

	def test_jobs_that_come_and_end_meanwhile_are_counted_once(self):
		# Given jobs that arrive all the time, while nothing is fenced and behind the fence
		for second in range(0, 60, 3):
			self.clock.at(second, lambda second=second: self.queue.enqueue(f"new-{second}", seconds=1))
		account = self.run_with().go().account
		self.clock.sleep(60)
		self.assertTrue(account.is_balanced)
		self.assertEqual((account.lost, account.requeued, account.interrupted), ([], 0, []))
		self.assertEqual({task.runs for task in self.queue.tasks.values() if task.queue == "default"}, {1})


class TestLapse(LongCountTest):
	def lift(self) -> None:
		self.queue.suspension.value = None

	def pop(self) -> None:
		"""A worker takes a job, and will note it a little later."""
		self.queue.enqueue("popped", queue="elsewhere")
		self.queue.lose("popped")
		self.clock.after(3.0, lambda: setattr(self.queue.tasks["popped"], "status", "finished"))

	def test_where_the_fence_lapses_in_the_middle_of_the_count_nothing_is_put_back(self):
		for after in (1.0, 10.0, 25.0, 35.0):
			with self.subTest(after=after):
				self.setUp()
				run = self.run_with()
				self.at_lift(run, after, self.lift)
				self.at_lift(run, after + 0.5, self.pop)
				account = run.go_to_lapse().account
				self.assertEqual(
					(run.of(events.JobsPutBack), account.lost, account.is_balanced), ([], [], True)
				)
				self.assertEqual(self.queue.lists["elsewhere"], [])
				self.assertEqual(len(run.of(events.FenceLapsed)), 1)

	def put_back_after(self, act) -> Run:
		"""The operation has counted, and finds ghosts; `act` happens before they are put back."""
		ghosts = [self.queue.enqueue(f"ghost-{number}", queue="elsewhere").id for number in range(5)]
		run, put_back = self.run_with(), self.queue.put_back
		run.operation.listen(
			lambda fact: fact == events.PhaseEntered(Phase.DRAIN) and [self.queue.lose(id) for id in ghosts]
		)

		def late(*arguments):
			act()
			return put_back(*arguments)

		self.queue.put_back = late
		return run

	def test_a_fence_that_lapses_right_before_ghosts_are_put_back_keeps_them_where_they_are(self):
		run = self.put_back_after(self.lift)
		with self.assertRaises(JobsLost) as raised:
			run.go()
		self.assertEqual((run.of(events.JobsPutBack), self.queue.lists["elsewhere"]), ([], []))
		self.assertEqual(len(run.of(events.JobsNotPutBack)[0].ids), 5)
		account = run.operation.report.account
		self.assertEqual((len(account.lost), account.is_balanced), (5, True))
		self.assertIn("bench doctor --fix", raised.exception.hint)

	def test_one_that_is_put_up_again_in_between_is_not_taken_for_one_that_stood(self):
		# Given a fence that is lifted after the first ghost was put back, and renewed before the next one is
		def lift_and_renew() -> None:
			self.lift()
			run.operation._next_beat = 0.0

		run = self.put_back_after(lambda: self.clock.after(1.5, lift_and_renew))
		# Then that one alone was put back
		with self.assertRaises(JobsLost):
			run.go()
		self.assertEqual(len(run.of(events.FenceLapsed)), 1)
		self.assertEqual([fact.ids for fact in run.of(events.JobsPutBack)], [("ghost-4",)])
		self.assertEqual(len(run.of(events.JobsNotPutBack)[0].ids), 4)
		account = run.operation.report.account
		self.assertEqual((account.requeued, len(account.lost), account.is_balanced), (1, 4, True))

	def test_one_that_turns_out_to_run_is_not_lost(self):
		def lift_and_pop() -> None:
			self.lift()
			for number in range(5):
				self.clock.after(3.0, lambda number=number: self.start(f"ghost-{number}"))

		run = self.put_back_after(lift_and_pop)
		self.queue.page_takes = 0.1
		report = run.go_to_lapse()
		self.assertEqual((report.account.lost, report.account.running), ([], 5))
		self.assertTrue(report.account.is_balanced)

	def start(self, id: str) -> None:
		self.queue.tasks[id].status = "started"

	def test_a_neighbours_fence_alone_is_none_of_ours(self):
		# Given a neighbour that suspended the queue before us, and an operation that slept too long
		neighbour = InMemoryFence(self.queue.suspension, "fmx_restart:bench-of-ben:operation-1", seconds=1e6)
		neighbour.hold()

		def ours_has_ended() -> None:
			for name, owner in self.queue.suspension.owners.items():
				owner.expires = owner.expires if "ben" in name else 0.0

		run = self.put_back_after(ours_has_ended)
		with self.assertRaises(JobsLost):
			run.go()
		self.assertEqual(self.queue.lists["elsewhere"], [])


if __name__ == "__main__":
	unittest.main()
