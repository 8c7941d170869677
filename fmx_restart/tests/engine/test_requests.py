"""What is asked of an operation under way, and what others put into its mailbox."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Request, RequestKind
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}


class TestRequests(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)

	def test_what_cannot_be_read_is_told_in_every_phase_and_ends_nothing(self):
		# Given a mailbox into which someone puts garbage every quarter of a second
		for quarter in range(400):
			self.bench.clock.at(quarter / 4, lambda: self.bench.requests.unreadable.append("it is not JSON"))
		self.bench.queue.enqueue("running", queue="short", seconds=5)
		run = Run(self.bench)
		# When the bench is restarted, then it is, and that was told
		self.assertEqual(run.go().outcome, Phase.DONE)
		ignored = run.of(events.RequestsIgnored)
		self.assertGreater(len(ignored), 5)
		self.assertEqual({fact.reasons for fact in ignored}, {("it is not JSON",)})

	def test_a_request_behind_garbage_is_granted(self):
		self.bench.queue.enqueue("running", queue="short", seconds=100)
		self.bench.clock.at(5, lambda: self.bench.requests.unreadable.extend(["x", "y", "x"]))
		self.bench.clock.at(5, lambda: self.bench.requests.put(Request(RequestKind.CANCEL, "anna")))
		run = Run(self.bench)
		with self.assertRaisesRegex(Interrupted, "Cancelled by anna"):
			run.go()
		self.assertEqual(run.of(events.RequestsIgnored), [events.RequestsIgnored(3, ("x", "y"))])

	def test_more_time_is_given_to_running_jobs(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.clock.at(5, lambda: self.bench.requests.put(Request(RequestKind.EXTEND, "anna", 60.0)))
		self.assertEqual(Run(self.bench, Options(drain_timeout=10)).go().outcome, Phase.DONE)


if __name__ == "__main__":
	unittest.main()
