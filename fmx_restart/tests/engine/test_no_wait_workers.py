from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
NO_WAIT = Options(Strategy.NO_WAIT_WORKERS)


class TestNoWaitWorkers(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def test_idle_workers_are_replaced_at_once_and_a_busy_one_when_its_own_job_ends(self):
		# Given a job of a hundred seconds
		task = self.bench.queue.enqueue("running", queue="long", seconds=100)
		run = Run(self.bench, NO_WAIT)
		# When the bench is restarted without waiting
		report = run.go()
		# Then the others were new within seconds, the busy one after its job, and the job ran once
		up = {fact.name: fact for fact in run.of(events.ProcessUp)}
		self.assertEqual(set(up), {"web", "short", "long"})
		self.assertGreater(report.seconds, 100)
		self.assertEqual((task.status, task.runs), ("finished", 1))
		self.assertEqual((report.outcome, report.interrupted), (Phase.DONE, []))

	def test_the_handover_comes_while_the_job_still_runs(self):
		task = self.bench.queue.enqueue("running", queue="long", seconds=100)
		run = Run(self.bench, NO_WAIT)
		seen = []

		def note(fact: events.Event) -> None:
			if isinstance(fact, events.HandedOver):
				seen.append((self.bench.clock.now(), task.status))

		run.operation.listen(note)
		run.go()
		(handed_over_at, status), *others = seen
		self.assertLess(handed_over_at, 10)
		self.assertEqual((status, others), ("started", []))
		handed_over = run.of(events.HandedOver)[0]
		self.assertEqual([job.id for job in handed_over.jobs], ["running"])
		self.assertEqual(handed_over.exit_code, 0)

	def test_the_handover_has_the_exit_code_of_what_did_not_come_back(self):
		self.bench.queue.enqueue("running", queue="long", seconds=100)
		self.bench.processes["short"].crashes_at_start = True
		run = Run(self.bench, NO_WAIT)
		with self.assertRaises(ProcessFault):
			run.go()
		self.assertEqual([fact.exit_code for fact in run.of(events.HandedOver)], [4])

	def test_the_queue_moves_while_the_busy_worker_finishes(self):
		self.bench.queue.enqueue("running", queue="long", seconds=100)
		self.bench.clock.at(20, lambda: self.bench.queue.enqueue("later", queue="short"))
		Run(self.bench, NO_WAIT).go()
		later = self.bench.queue.tasks["later"]
		self.assertLess(later.started - self.bench.clock.epoch, 25)

	def test_a_worker_that_was_asked_to_leave_starts_no_other_job(self):
		# Given a busy worker, and jobs for it behind that one
		self.bench.queue.enqueue("running", queue="long", seconds=30)
		old = next(w for w in self.bench.queue.workers.values() if w.task)
		for number in range(5):
			self.bench.queue.enqueue(f"next-{number}", queue="long")
		# When it is replaced
		Run(self.bench, NO_WAIT).go()
		self.bench.clock.sleep(10)
		# Then the jobs behind were run by others, once
		tasks = [self.bench.queue.tasks[f"next-{number}"] for number in range(5)]
		self.assertEqual([task.runs for task in tasks], [1] * 5)
		self.assertNotIn(old.name, {task.worker for task in tasks})

	def test_on_an_idle_bench_nothing_is_left_for_the_background(self):
		run = Run(self.bench, NO_WAIT)
		run.go()
		self.assertNotIn(Phase.HANDOVER, run.phases)
		self.assertEqual(run.of(events.HandedOver), [])
