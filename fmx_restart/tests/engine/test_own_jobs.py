"""Jobs of this app itself: never killed or lost, and never told as someone's."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.plan import OWN_JOBS_TAKE
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

OWN = {"is_own": True, "method": "fmx_restart.desk.samples.tick", "queue": "short"}


class TestOwnJobs(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short", "default"), "long": ("long",)})

	def test_a_short_one_is_waited_for_and_not_told(self):
		task = self.bench.queue.enqueue("own", seconds=4, **OWN)
		run = Run(self.bench)
		report = run.go()
		self.assertEqual((task.runs, task.status), (1, "finished"))
		self.assertGreater(report.seconds, 4)
		self.assertEqual((run.of(events.StillRunning), report.waited_for), ([], []))
		self.assertEqual(run.of(events.Drained)[0].jobs, 0)

	def test_neither_does_a_preview_tell_it(self):
		self.bench.queue.enqueue("own", seconds=4, **OWN)
		self.bench.queue.enqueue("job-1", queue="long", seconds=4)
		self.bench.clock.sleep(1)
		plan = plan_of(self.bench.port(), Options())
		self.assertEqual([job.id for job in plan.jobs], ["job-1"])
		self.assertEqual(len(plan.busy), 2)

	def test_jobs_of_people_beside_it_are_told_alone(self):
		self.bench.queue.enqueue("own", seconds=8, **OWN)
		self.bench.queue.enqueue("job-1", queue="long", seconds=4)
		run = Run(self.bench)
		report = run.go()
		self.assertEqual([wait.job.id for wait in report.waited_for], ["job-1"])
		told = {running.job.id for fact in run.of(events.StillRunning) for running in fact.jobs}
		self.assertEqual(told, {"job-1"})

	def test_one_that_takes_longer_than_such_jobs_do_is_told_like_any_other(self):
		self.bench.queue.enqueue("own", seconds=60, **OWN)
		run = Run(self.bench)
		report = run.go()
		self.assertEqual([wait.job.id for wait in report.waited_for], ["own"])
		first = run.of(events.StillRunning)[0].jobs[0]
		self.assertAlmostEqual(first.elapsed, OWN_JOBS_TAKE, delta=1)

	def test_one_that_does_not_end_in_time_keeps_everything_as_it_was(self):
		task = self.bench.queue.enqueue("own", seconds=60, **OWN)
		run = Run(self.bench, Options(drain_timeout=5))
		with self.assertRaises(DrainTimeout):
			run.go()
		self.assertEqual(self.bench.processes.orders, [])
		self.bench.clock.sleep(100)
		self.assertEqual((task.runs, task.status), (1, "finished"))

	def test_a_handover_does_not_name_it(self):
		self.bench.queue.enqueue("own", seconds=4, **OWN)
		run = Run(self.bench, Options(strategy=Strategy.NO_WAIT_WORKERS))
		run.go()
		self.assertEqual(run.of(events.HandedOver)[0].jobs, ())
