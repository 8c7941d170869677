"""What becomes of a process that does not come back as it should, and of a manager that answers slowly."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.replacement import RETRIES_TAKE
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SLOW = 8.0  # seconds for one answer


class TestReplacement(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		self.run_ = Run(self.bench)

	def crash(self, name: str, attempts: int) -> None:
		self.bench.processes[name].crashes_at_start = True
		self.bench.processes[name].attempts = attempts

	def failed(self) -> events.ProcessFailed:
		with self.assertRaises(ProcessFault) as raised:
			self.run_.go()
		self.assertEqual(raised.exception.exit_code, 4)
		(fact,) = self.run_.of(events.ProcessFailed)
		return fact

	def test_one_that_comes_up_at_the_second_attempt_is_up(self):
		self.crash("long", attempts=5)
		self.bench.clock.after(3.5, lambda: setattr(self.bench.processes["long"], "crashes_at_start", False))
		self.assertEqual(self.run_.go().outcome, Phase.DONE)
		self.assertEqual([fact.name for fact in self.run_.of(events.ProcessRetried)], ["long"])
		self.assertEqual(self.run_.of(events.ProcessFailed), [])

	def test_one_that_is_tried_again_and_again_has_failed_after_a_while_and_its_log_is_shown(self):
		self.crash("long", attempts=1000)
		self.bench.processes["long"].log = "ImportError: no such app"
		fact = self.failed()
		self.assertIn("keeps being restarted", fact.reason)
		self.assertIn("ImportError: no such app", fact.log_tail)
		self.assertLess(self.run_.operation.report.seconds, RETRIES_TAKE + 15)

	def test_what_the_old_process_wrote_is_not_shown(self):
		self.crash("long", attempts=1000)
		self.bench.processes["long"].written = "execute_job(kwargs={'password': 'old'})"
		self.bench.processes["long"].log = "ImportError: no such app"
		fact = self.failed()
		self.assertTrue(fact.log_tail.startswith("ImportError"), fact.log_tail)

	def test_one_that_had_failed_before_is_told_so_and_gets_its_chance(self):
		self.bench.processes.end("long", ProcessState.FAILED, "Exited too quickly")
		report = self.run_.go()
		self.assertEqual(report.outcome, Phase.DONE)
		states = {change.name: change.old_state for change in report.processes}
		self.assertEqual((states["long"], states["web"]), (ProcessState.FAILED, ProcessState.RUNNING))

	def test_one_that_failed_before_and_fails_again_says_both(self):
		self.bench.processes.end("long", ProcessState.FAILED, "Exited too quickly")
		self.crash("long", attempts=1)
		self.assertIn("it was already down before the restart: Exited too quickly", self.failed().reason)
		running = [p.name for p in self.bench.processes.list() if p.state is ProcessState.RUNNING]
		self.assertEqual(running, ["web", "short"])

	def test_a_manager_that_takes_seconds_for_each_answer_takes_them_once_for_all_processes(self):
		# Given a bench of many programs and a manager whose every answer takes long
		self.bench = InMemoryBench({f"worker-{number}": ("short",) for number in range(20)})
		self.run_ = Run(self.bench)
		for verb in ("list", "order"):
			self.make_slow(verb)
		# When it is restarted
		report = self.run_.go()
		# Then that is a matter of a few answers, and the fence has stood all the time
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertLess(max(change.seconds_down for change in report.processes), 4 * SLOW)
		self.assertLess(report.seconds, 15 * SLOW)
		self.assertEqual(self.run_.of(events.FenceLapsed), [])

	def make_slow(self, verb: str) -> None:
		answer = getattr(self.bench.processes, verb)

		def slowly(**given):
			self.bench.clock.sleep(SLOW)
			return answer(**given)

		setattr(self.bench.processes, verb, slowly)
