"""What the command asks on a terminal before it begins, with an in-memory bench."""

from __future__ import annotations

import unittest

import click
from click.testing import CliRunner, Result

from fmx_restart.commands.restart import confirmed
from fmx_restart.engine.options import Options, Strategy, restart_options
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench


class TestQuestions(unittest.TestCase):
	def setUp(self) -> None:
		self.bench = InMemoryBench({"short": ("short",)})

	def ask(self, options: Options, answers: str) -> Result:
		"""`return_value` are the options with which the operation would begin."""

		@click.command()
		def command() -> Options:
			return confirmed(options, lambda wanted: plan_of(self.bench.port(), wanted))

		return CliRunner().invoke(command, input=answers, standalone_mode=False)

	def test_where_web_runs_there_is_one_question(self):
		asked = self.ask(Options(), "\n")
		self.assertEqual(asked.return_value, Options())
		self.assertIn("2 processes to restart: web, worker.", asked.output)
		self.assertEqual(asked.output.count("?"), 1)

	def test_stopped_web_is_started_by_a_yes(self):
		self.bench.processes.end("web")
		for answers in ("y\ny\n", "\n\n"):
			asked = self.ask(Options(), answers)
			self.assertIn("Web is stopped (web). Start it too? [Y/n]", asked.output)
			self.assertIn("2 processes to restart: web, worker.", asked.output)
			self.assertEqual(asked.return_value, Options(start_stopped_web=True))

	def test_a_no_leaves_it_and_says_what_follows(self):
		self.bench.processes.end("web")
		asked = self.ask(Options(), "n\ny\n")
		self.assertIn("1 process to restart: worker. Already stopped, left alone: web.", asked.output)
		self.assertIn("Web stays down: the exit code will be 4.", asked.output)
		self.assertEqual(asked.return_value, Options())

	def test_a_no_to_the_restart_ends_the_command(self):
		self.bench.processes.end("web")
		self.assertIsInstance(self.ask(Options(), "y\nn\n").exception, click.Abort)

	def test_web_is_not_asked_for_where_it_is_not_restarted(self):
		self.bench.processes.end("web")
		asked = self.ask(Options(web=False), "\n")
		self.assertNotIn("Start it too?", asked.output)

	def test_where_web_alone_is_stopped_a_no_leaves_nothing_to_ask(self):
		self.bench.processes.end("web")
		asked = self.ask(Options(workers=False), "n\n")
		self.assertNotIn("Go on?", asked.output)
		self.assertEqual(asked.return_value, Options(workers=False))

	def test_where_jobs_would_be_killed_they_are_named_and_enter_is_no(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=300)
		fast = restart_options(Strategy.FAST)
		asked = self.ask(fast, "\n")
		self.assertIsInstance(asked.exception, click.Abort)
		self.assertIn("it is killed after 30 s", asked.output)
		self.assertRegex(asked.output, r"would kill after 30 s: \S+ / \S+ \(short\)")
		self.assertIn("Kill them and restart? [y/N]", asked.output)
		self.assertEqual(self.ask(fast, "y\n").return_value, fast)
		# And where they are waited for it is yes
		asked = self.ask(Options(), "\n")
		self.assertIn("Go on? [Y/n]", asked.output)
		self.assertEqual(asked.return_value, Options())
