"""--nginx: bad news comes before anything is touched, and nothing is reloaded before new web answers."""

from __future__ import annotations

import unittest

from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import NginxFault, OperationError, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

BROKEN = NginxFault(
	"The configuration of nginx does not pass its test: unknown directive.", hint="Repair it."
)


class NginxCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short",)})
		self.nginx = self.bench.nginx

	def run_with(self, strategy: Strategy = Strategy.WAIT_WORKERS) -> Run:
		return Run(self.bench, Options(strategy, nginx=True))

	def fails(self, run: Run, kind: type[OperationError]) -> OperationError:
		with self.assertRaises(kind) as raised:
			run.go()
		return raised.exception


class TestReload(NginxCase):
	def test_with_every_strategy_it_is_reloaded_once_after_new_web_is_up(self):
		for strategy in Strategy:
			with self.subTest(strategy=strategy):
				self.setUp()
				run, up = self.run_with(strategy), []
				run.when(events.NginxReloaded, lambda up=up: up.append(self.bench.processes["web"].state))
				old = self.bench.processes["web"].pid
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual(up, [ProcessState.RUNNING])
				self.assertNotEqual(self.bench.processes["web"].pid, old)
				self.assertEqual(len(self.nginx.reloads), 1)

	def test_without_the_option_nobody_asks_it(self):
		self.nginx.fault = BROKEN
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)
		self.assertEqual(self.nginx.reloads, [])


class TestBadNews(NginxCase):
	def test_a_configuration_that_does_not_pass_ends_it_before_anything_is_touched(self):
		self.nginx.fault = BROKEN
		run = self.run_with()
		error = self.fails(run, NginxFault)
		self.assertEqual((error.exit_code, error.hint), (4, "Repair it."))
		self.assertTrue(str(error).endswith("unknown directive. Nothing was changed."), error)
		self.assertEqual(run.operation.report.outcome, Phase.ABORTED)
		self.assertEqual((self.bench.processes.orders, self.nginx.reloads), ([], []))
		with self.assertRaises(NginxFault):
			plan_of(self.bench.port(), Options(nginx=True))

	def test_so_does_a_sudo_that_refuses(self):
		self.nginx.fault = WrongEnvironment("sudo does not let frappe run nginx.", hint="Type: sudo bench …")
		error = self.fails(self.run_with(), WrongEnvironment)
		self.assertEqual((error.exit_code, error.hint), (7, "Type: sudo bench …"))
		self.assertIn("Nothing was changed", str(error))
		self.assertEqual(self.bench.processes.orders, [])

	def test_one_that_is_broken_meanwhile_is_not_reloaded_while_all_else_is_restarted(self):
		run = self.run_with()
		run.when(Phase.RESTART, lambda: setattr(self.nginx, "fault", BROKEN))
		error = self.fails(run, NginxFault)
		self.assertIn("Everything else was restarted", str(error))
		(told,) = run.of(events.NginxNotReloaded)
		self.assertIn(
			"Error: nginx was not reloaded: The configuration of nginx does not pass", sentence(told)
		)
		self.assertEqual(self.nginx.reloads, [])
		self.assertEqual(len(run.of(events.ProcessUp)), 2)

	def test_one_that_does_not_follow_the_order_is_told(self):
		self.nginx.refusal = NginxFault("nginx cannot be reloaded: no such process.")
		self.assertIn("no such process", str(self.fails(self.run_with(), NginxFault)))

	def test_it_is_not_reloaded_in_front_of_web_that_does_not_answer(self):
		self.bench.web.broken = "HTTP 500"
		run = self.run_with()
		self.fails(run, ProcessFault)
		(told,) = run.of(events.NginxNotReloaded)
		self.assertEqual(told.reason, "new web does not answer")
		self.assertEqual(self.nginx.reloads, [])
