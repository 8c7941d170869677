from __future__ import annotations

import unittest

from fmx_restart.adapters.in_memory.bench import InMemoryBench
from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.tests.engine.support import Run

FOUR_WORKERS = {f"worker-{number}": ("default",) for number in range(4)}
ROLLING = Options(Strategy.ROLLING)


class TestRolling(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(FOUR_WORKERS)
		self.most_away = 0

	def watch(self, until: float):
		"""Note every tenth of a second how many workers are away."""
		programs = [self.bench.processes[name] for name in FOUR_WORKERS]
		away = sum(program.state is not ProcessState.RUNNING for program in programs)
		self.most_away = max(self.most_away, away)
		if self.bench.clock.now() < until:
			self.bench.clock.after(0.1, lambda: self.watch(until))

	def test_every_worker_is_replaced_one_at_a_time(self):
		# Given four idle workers
		self.watch(until=60)
		# When they are rolled
		run = Run(self.bench, ROLLING)
		report = run.go()
		# Then each is another process, and never was more than one away
		self.assertEqual(report.outcome, Phase.DONE)
		for change in report.processes:
			self.assertNotIn(change.new_pid, (None, change.old_pid))
		self.assertEqual(self.most_away, 1)

	def test_a_share_of_them_may_be_away_at_once(self):
		self.watch(until=60)
		Run(self.bench, Options(Strategy.ROLLING, rolling_share=0.5)).go()
		self.assertEqual(self.most_away, 2)

	def test_even_with_a_share_of_everything_one_stays(self):
		self.watch(until=60)
		Run(self.bench, Options(Strategy.ROLLING, rolling_share=1.0)).go()
		self.assertEqual(self.most_away, 3)

	def test_nothing_is_fenced_and_jobs_run_all_the_time(self):
		# Given a job every fifth of a second
		for number in range(150):
			self.bench.clock.at(
				number / 5, lambda number=number: self.bench.queue.enqueue(f"job-{number}", seconds=0.1)
			)
		run = Run(self.bench, ROLLING)
		# When the workers are rolled
		report = run.go()
		self.bench.clock.sleep(30)
		# Then every job ran once, soon after it came, and nothing was suspended
		tasks = list(self.bench.queue.tasks.values())
		self.assertEqual({task.runs for task in tasks}, {1})
		self.assertLess(max(task.started - task.enqueued for task in tasks), 1)
		self.assertNotIn(Phase.FENCE, run.phases)
		self.assertTrue(report.account.is_balanced)
		self.assertEqual(report.account.lost, [])

	def test_a_busy_worker_is_replaced_when_its_own_job_ends(self):
		task = self.bench.queue.enqueue("long", seconds=300)
		run = Run(self.bench, ROLLING)
		report = run.go()
		ups = [fact.name for fact in run.of(events.ProcessUp)]
		self.assertEqual(ups[-1], task.worker.partition("@")[0])
		self.assertGreater(report.seconds, 300)
		self.assertEqual((task.status, task.runs), ("finished", 1))

	def test_with_a_time_limit_it_stops_there_and_says_who_is_left(self):
		task = self.bench.queue.enqueue("endless", seconds=1e9)
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_timeout=60))
		with self.assertRaisesRegex(DrainTimeout, task.worker.partition("@")[0]):
			run.go()
		self.assertEqual(task.status, "started")

	def test_a_single_worker_is_replaced_too(self):
		bench = InMemoryBench({"only": ("default",)})
		self.assertEqual(Run(bench, ROLLING).go().outcome, Phase.DONE)

	def test_a_pool_is_refused_before_anything_is_touched(self):
		self.bench.queue.workers.clear()
		with self.assertRaisesRegex(WrongEnvironment, "worker-0"):
			Run(self.bench, ROLLING).go()
		self.assertEqual(self.bench.processes.orders, [])

	def test_no_pill_is_left_behind(self):
		Run(self.bench, ROLLING).go()
		self.assertEqual(self.bench.queue.tasks, {})

	def test_nor_when_it_is_given_up_while_a_pill_waits(self):
		# Given pills that nobody takes, and a worker that takes one and cannot run it
		run = Run(self.bench, ROLLING)
		for worker in self.bench.queue.workers.values():
			worker.is_hung = True
		statuses = self.bench.queue.statuses
		self.bench.queue.statuses = lambda ids: dict.fromkeys(statuses(ids), "failed")
		# When the operation ends, then none of them makes a worker leave later
		with self.assertRaisesRegex(ProcessFault, "pill"):
			run.go()
		self.assertEqual(self.bench.queue.tasks, {})
