"""What fails in the middle of a restart must not leave the bench stopped."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import FenceFault, OperationError, ProcessFault, QueueUnreachable
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}


class TestHalfWay(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		self.pids = {process.name: process.pid for process in self.bench.processes.list()}
		for process in self.bench.processes.list():
			self.bench.processes[process.name].stop_takes = 1.0

	def at_entry(self, run: Run, phase: Phase, act) -> None:
		def watch(fact):
			if fact == events.PhaseEntered(phase):
				act()

		run.operation.listen(watch)

	def refuse(self, order: str, name: str) -> None:
		act = getattr(self.bench.processes, order)

		def refused(asked: str) -> None:
			if asked == name:
				raise ProcessFault(f"supervisor refused to {order} {name}: NO_FILE")
			act(asked)

		setattr(self.bench.processes, order, refused)

	def assert_all_new(self, names: tuple[str, ...] = ("web", "short", "long")):
		self.bench.clock.sleep(10)
		for process in self.bench.processes.list():
			if process.name in names:
				self.assertEqual(process.state, ProcessState.RUNNING, process.name)
				self.assertNotEqual(process.pid, self.pids[process.name], process.name)

	def test_redis_that_goes_away_for_good_keeps_no_process_down(self):
		run = Run(self.bench)

		def unreachable(note=""):
			raise QueueUnreachable("Redis does not answer")

		def go_away():
			self.bench.queue.is_away = True
			run.operation.bench.lock.hold = unreachable

		self.bench.processes["web"].stop_takes = 8.0  # longer than the time between two renewals
		self.at_entry(run, Phase.RESTART, go_away)
		with self.assertRaises(QueueUnreachable):
			run.go()
		self.assert_all_new()

	def test_redis_that_is_away_when_the_restart_would_begin_leaves_everything_as_it_was(self):
		run = Run(self.bench)
		run.operation.listen(
			lambda fact: isinstance(fact, events.Drained) and setattr(self.bench.queue, "is_away", True)
		)
		with self.assertRaises(QueueUnreachable):
			run.go()
		self.assertEqual((run.operation.report.outcome, self.bench.processes.orders), (Phase.ABORTED, []))

	def test_a_manager_that_does_not_answer_for_a_while_is_asked_again(self):
		run = Run(self.bench)
		names = self.bench.processes.list

		def away():
			raise ProcessFault("supervisor did not answer")

		def hang():
			self.bench.clock.after(0.5, lambda: setattr(self.bench.processes, "list", away))
			self.bench.clock.after(30, lambda: setattr(self.bench.processes, "list", names))

		self.at_entry(run, Phase.RESTART, hang)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(len(run.of(events.ManagerAway)), 1)
		self.assert_all_new()

	def test_one_process_that_the_manager_will_not_start_keeps_no_other_one_down(self):
		self.refuse("start", "web")
		with self.assertRaisesRegex(ProcessFault, "web") as raised:
			Run(self.bench).go()
		self.assertEqual(raised.exception.exit_code, 4)
		self.assert_all_new(("short", "long"))

	def test_one_process_that_the_manager_will_not_stop_keeps_no_other_one_down(self):
		self.refuse("stop", "short")
		with self.assertRaisesRegex(ProcessFault, "short"):
			Run(self.bench).go()
		self.assert_all_new(("web", "long"))

	def test_an_order_that_got_lost_once_is_given_again(self):
		start, lost = self.bench.processes.start, []

		def lose_the_first(name):
			if not lost:
				lost.append(name)
				raise ProcessFault("supervisor did not answer")
			start(name)

		self.bench.processes.start = lose_the_first
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)
		self.assert_all_new()

	def test_after_a_fence_that_lapsed_nothing_is_put_back_that_may_be_starting(self):
		# Given a fence that is gone for a moment, and a worker that pops a job and takes seconds to note it
		run = Run(self.bench)
		tasks = []

		def pop():
			self.bench.queue.suspension.value = None
			tasks.append(self.bench.queue.enqueue("popped", queue="nobody"))
			self.bench.queue.lose("popped")
			self.bench.clock.after(5, lambda: setattr(tasks[0], "status", "finished"))

		self.bench.processes["web"].stop_takes = 3.0
		self.at_entry(run, Phase.RESTART, lambda: self.bench.clock.after(0.5, pop))
		with self.assertRaises(FenceFault) as raised:
			run.go()
		# Then it is not put back beside it: it would run twice
		report = run.operation.report
		self.assertEqual((run.of(events.JobsPutBack), report.account.lost), ([], []))
		# And the lapse is a fault, also where nothing came of it
		self.assertRegex(str(raised.exception), "Jobs may have started while workers were being replaced")
		self.assertEqual((raised.exception.exit_code, report.outcome), (4, Phase.FAILED))
		self.assertEqual(self.bench.queue.lists["nobody"], [])

	def test_a_fault_while_jobs_are_killed_keeps_no_process_down(self):
		self.bench.queue.enqueue("endless", queue="short", seconds=100)

		def away(ids, reason):
			raise QueueUnreachable("Redis does not answer")

		self.bench.queue.fail = away
		options = Options(Strategy.SUSPEND_RQ, on_timeout=OnTimeout.KILL, force_kill_timeout=5)
		with self.assertRaises(OperationError):
			Run(self.bench, options).go()
		self.assert_all_new()

	def test_a_worker_that_came_back_by_itself_during_the_drain_is_replaced_too(self):
		# Given a worker that crashes while another one is waited for, and is brought back by the manager
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.clock.at(5, lambda: self.bench.processes.end("long", ProcessState.FAILED))
		self.bench.clock.at(6, lambda: self.bench.processes.start("long"))
		report = Run(self.bench).go()
		# Then it is restarted as all others, and not taken for its own successor
		self.assertEqual(report.outcome, Phase.DONE)
		self.assert_all_new()
		self.assertIn(("stop", "long"), self.bench.processes.orders)

	def test_one_that_somebody_stopped_during_the_drain_is_left_so(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.clock.at(5, lambda: self.bench.processes.end("long"))
		report = Run(self.bench).go()
		self.assertEqual((report.outcome, report.left_alone), (Phase.DONE, ["long"]))
		self.assertNotIn(("start", "long"), self.bench.processes.orders)
