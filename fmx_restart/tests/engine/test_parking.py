from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run


class TestParking(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short",), "long": ("long",)})
		self.run_once = Run(self.bench)

	def test_a_worker_of_this_machine_that_hangs_ends_it_before_anything_is_touched(self):
		# Given a worker that takes nothing, but could wake up at any time
		worker = next(iter(self.bench.queue.workers.values()))
		worker.is_hung = True
		# When the bench is to be restarted
		with self.assertRaisesRegex(DrainTimeout, f"pid {worker.pid}, idle") as raised:
			self.run_once.go()
		# Then it is named, no process was touched, and no wake-up is left
		self.assertIn("Nothing was restarted", str(raised.exception))
		self.assertEqual(self.bench.processes.orders, [])
		self.assertEqual(sum(self.bench.queue.look().depths.values()), 0)
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_a_worker_of_another_machine_that_does_not_answer_is_told_and_not_waited_for(self):
		# Given a worker whose machine went away a minute ago
		self.bench.queue.add_worker("far", 7, ("default",), host="host-2", is_hung=True)
		self.bench.clock.sleep(60)
		# When the bench is restarted
		report = self.run_once.go()
		# Then it was told once, and the restart was done
		facts = self.run_once.of(events.WorkerDoesNotAnswer)
		self.assertEqual(facts, [events.WorkerDoesNotAnswer("far", "host-2", 7)])
		self.assertIs(report.outcome, Phase.DONE)

	def test_a_worker_that_dies_while_it_is_being_parked_is_not_waited_for(self):
		# Given a worker that hangs, and is killed two seconds later
		worker = next(iter(self.bench.queue.workers.values()))
		worker.is_hung = True
		self.bench.clock.at(2, lambda: self.bench.host.remove(worker.pid))
		# Then the restart goes on
		self.assertIs(self.run_once.go().outcome, Phase.DONE)

	def test_how_many_were_parked_and_how_many_are_at_work_is_told(self):
		self.bench.queue.enqueue("job-1", queue="long", seconds=5)
		self.run_once.go()
		[parked] = self.run_once.of(events.WorkersParked)
		self.assertEqual((parked.idle, parked.busy), (1, 1))


class TestParkingWorkersOfThisApp(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short",), "long": ("long",)}, lossless=("short", "long"))
		self.run_once = Run(self.bench)

	def parked_in(self) -> float:
		self.assertIs(self.run_once.go().outcome, Phase.DONE)
		[parked] = self.run_once.of(events.WorkersParked)
		self.assertEqual(parked.idle, 2)
		return parked.seconds

	def test_no_job_is_pushed_for_them(self):
		self.assertLess(self.parked_in(), 0.1)
		self.assertEqual(next(self.bench.queue._wakes), 1)

	def test_where_no_bell_can_be_rung_they_see_the_fence_within_a_second(self):
		self.bench.queue.wake = lambda workers: None
		self.assertLess(self.parked_in(), 1.2)
