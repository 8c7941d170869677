"""Web that someone stopped on purpose: left alone, unless the person wants it started; never passed over in silence."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, ProcessState
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.processes import InMemoryProcesses
from fmx_restart.tests.engine.support import Run

STRATEGIES = list(Strategy)


class TestStoppedWeb(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short",), "long": ("long",)})
		self.bench.processes.end("web")

	@property
	def processes(self) -> InMemoryProcesses:
		return self.bench.processes

	def test_it_is_left_alone_named_with_its_start_command_and_no_success(self):
		for strategy in STRATEGIES:
			with self.subTest(strategy.value):
				run = Run(self.bench, Options(strategy))
				with self.assertRaises(ProcessFault) as raised:
					run.go()
				self.assertEqual(raised.exception.exit_code, 4)
				self.assertRegex(str(raised.exception), "web is stopped, and was left alone")
				self.assertIn("0 of 0 jobs were lost", str(raised.exception))
				self.assertIn("in-memory start web", raised.exception.hint)
				self.assertIn("--no-web", raised.exception.hint)
				# Then web is as it was, and everything else is new
				self.assertIs(self.processes["web"].state, ProcessState.STOPPED)
				self.assertEqual({fact.name for fact in run.of(events.ProcessUp)}, {"short", "long"})
				self.assertEqual(run.operation.report.left_alone, ["web"])

	def test_it_is_started_when_the_person_wants_that(self):
		for strategy in STRATEGIES:
			with self.subTest(strategy.value):
				run = Run(self.bench, Options(strategy, start_stopped_web=True))
				report = run.go()
				self.assertIs(report.outcome, Phase.DONE)
				self.assertIs(self.processes["web"].state, ProcessState.RUNNING)
				self.assertEqual(report.left_alone, [])
				self.processes.end("web")

	def test_web_that_does_not_come_up_then_is_a_failure(self):
		self.processes["web"].crashes_at_start = True
		with self.assertRaisesRegex(ProcessFault, "1 of 3 processes failed: web"):
			Run(self.bench, Options(start_stopped_web=True)).go()

	def test_a_restart_without_web_asks_for_none(self):
		self.assertIs(Run(self.bench, Options(web=False)).go().outcome, Phase.DONE)

	def test_another_program_that_was_stopped_on_purpose_is_left_alone_as_ever(self):
		self.processes.start("web")
		self.bench.clock.sleep(10)
		self.processes.end("short")
		report = Run(self.bench, Options(start_stopped_web=True)).go()
		self.assertEqual((report.outcome, report.left_alone), (Phase.DONE, ["short"]))

	def test_web_that_is_stopped_while_the_operation_waits_is_no_success_either(self):
		self.processes.start("web")
		self.bench.clock.sleep(10)
		self.bench.queue.enqueue("running", queue="long", seconds=20)
		self.bench.clock.after(10, lambda: self.processes.end("web"))
		with self.assertRaisesRegex(ProcessFault, "web is stopped, and was left alone"):
			Run(self.bench).go()

	def test_web_that_answers_from_elsewhere_is_not_missed(self):
		# Given an address at which someone answers of whom nothing can be seen: another container
		self.bench.web.hidden = "its sockets are in another container"
		self.bench.web.orphan = self.bench.host.me()
		self.assertIs(Run(self.bench).go().outcome, Phase.DONE)

	def test_who_serves_in_its_place_is_named_and_nobody_says_that_web_does_not_answer(self):
		# Given web that was stopped, and someone who serves the sites by hand
		self.bench.web.orphan = HostProcess(77, "by hand")
		# When the bench is restarted
		with self.assertRaises(ProcessFault) as raised:
			Run(self.bench).go()
		# Then the sentence is about who answers
		self.assertRegex(str(raised.exception), "web is stopped.*Another process has its address.*pid 77")
		self.assertNotIn("does not answer", str(raised.exception))
		for command in ("kill 77", "in-memory start web", "--no-web"):
			self.assertIn(command, raised.exception.hint)

	def test_where_nothing_else_is_to_be_restarted_it_is_refused_with_what_to_type(self):
		web_alone = Options(workers=False)
		with self.assertRaisesRegex(WrongEnvironment, "stopped before: web. Nothing was changed") as raised:
			Run(self.bench, web_alone).go()
		self.assertIn("in-memory start web", raised.exception.hint)
		# But it can be planned, so that the person can be asked, and be started
		self.assertEqual(plan_of(self.bench.port(), web_alone).stopped_web, ("web",))
		report = Run(self.bench, Options(workers=False, start_stopped_web=True)).go()
		self.assertIs(report.outcome, Phase.DONE)
