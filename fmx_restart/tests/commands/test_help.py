"""What the help says: of dangerous options, in how many lines, under which name."""

from __future__ import annotations

import re

import click
from click.testing import CliRunner

from fmx_restart.__main__ import main
from fmx_restart.commands import commands, safe_restart
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import (
	CLOSABLE,
	NEVER,
	OnTimeout,
	Options,
	Strategy,
	restart_options,
	usual_on_timeout,
)
from fmx_restart.tests.commands.test_subcommands import SubcommandCase
from fmx_restart.tests.commands.typed import context_of

COLUMNS, SCREEN = 100, 45  # columns and lines


def option_named(option: str) -> click.Option:
	return next(parameter for parameter in safe_restart.params if option in parameter.opts)


def help_of(option: str) -> str:
	return option_named(option).help


class HelpCase(SubcommandCase):
	def help(self, *words: str, columns: int = COLUMNS) -> str:
		done = self.bench(*words, "--help", columns=columns)
		self.assertEqual(done.exit_code, 0, done.output)
		return done.output


class TestHelp(HelpCase):
	def test_every_strategy_that_kills_says_when(self):
		self.assertRegex(help_of("--suspend-rq"), r"--force-kill-timeout \(30 s\).* killed")
		text = " ".join(self.help("safe-restart").split())
		self.assertIn("get --force-kill-timeout (30 s), then are killed", text)

	def test_it_tells_the_defaults_and_the_choices_that_the_engine_has(self):
		usual, fast = Options(), restart_options()
		for option, number in (
			("--wait-workers-timeout", usual.drain_timeout),
			("--force-kill-timeout", fast.drain_timeout),
			("--wait-workers-poll", usual.report_every),
			("--rolling-max-failures", usual.rolling_max_failures),
			("--migrate-timeout", MigrationOptions().timeout),
		):
			self.assertIn(f"default: {number:g}", help_of(option), option)
			self.assertIsNone(
				context_of().params[option_named(option).name], f"{option}: the engine knows it"
			)
		self.assertEqual(list(option_named("--on-timeout").type.choices), [what.value for what in OnTimeout])
		self.assertEqual(list(option_named("--maintenance-mode").type.choices), [*CLOSABLE, NEVER])
		strategies = {it.flag_value for it in safe_restart.params if it.name == "strategy"}
		self.assertEqual(strategies, {strategy.value for strategy in Strategy} - {"fast"})
		for strategy in Strategy:
			said = "abort" if usual_on_timeout(strategy) is OnTimeout.ABORT else "kill"
			name = f"--{strategy.value}"
			expected = "abort" if name in help_of("--on-timeout").partition("Default: ")[2] else "kill"
			self.assertEqual(said, expected, strategy)

	def test_every_option_that_is_shown_is_explained(self):
		for command in (*commands, *safe_restart.commands.values()):
			shown = [it for it in command.params if not getattr(it, "hidden", False)]
			self.assertEqual([it.name for it in shown if isinstance(it, click.Option) and not it.help], [])

	def test_every_option_is_shown_once_and_no_former_one(self):
		text = self.help("safe-restart")
		for option in safe_restart.params:
			lines = re.findall(rf"^  {option.opts[0]}\b(?!-)", text, re.MULTILINE)
			self.assertEqual(len(lines), 0 if option.hidden else 1, option.opts)

	def test_it_is_grouped_and_fits_on_two_screens(self):
		text = self.help("safe-restart")
		self.assertLessEqual(len(text.splitlines()), 2 * SCREEN)
		self.assertLessEqual(max(map(len, text.splitlines())), COLUMNS)
		titles = re.findall(r"^([A-Z][\w ]+):$", text, re.MULTILINE)
		sections = ["Strategy", "Time", "Hosts", "Migration", "Sites and web", "Output"]
		self.assertEqual(titles, ["Commands", *sections, "Examples", "Exit codes"])

	def test_that_of_the_doctor_is_grouped_and_fits_on_one_screen(self):
		for name in ("doctor", "restart-doctor"):
			text = self.help(name)
			self.assertLessEqual(len(text.splitlines()), SCREEN)
			self.assertLessEqual(max(map(len, text.splitlines())), COLUMNS)
			titles = re.findall(r"^([A-Z][\w ]+):$", text, re.MULTILINE)
			self.assertEqual(titles, ["Checks", "Repair", "Output", "Examples", "Exit codes"])
			self.assertIn(f"\n  bench {name} --check ghost-jobs --check stale-fence\n", text)

	def test_help_begins_each_explanation_with_a_capital_and_ends_it_with_a_stop(self):
		for command in (*commands, *safe_restart.commands.values()):
			shown = [it.help for it in command.params if getattr(it, "help", None)]
			wrong = [
				text
				for text in (*shown, command.help.strip())
				if not re.match(r"[A-Z].*\.$", text, re.DOTALL)
			]
			self.assertEqual(wrong, [])

	def test_no_option_is_broken_across_lines(self):
		for columns in (20, 60, 80, COLUMNS):
			rows = self.help("safe-restart", columns=columns).partition("Commands:")[2]
			self.assertEqual([line for line in rows.splitlines() if line.endswith("-")], [], columns)

	def test_each_command_is_listed_with_what_it_does(self):
		text = self.help("safe-restart")
		for name, command in safe_restart.commands.items():
			self.assertRegex(text, rf"(?m)^  {name} +{re.escape(command.help[:30])}")
			self.assertLessEqual(len(self.help("safe-restart", name).splitlines()), 2 * SCREEN)

	def test_it_shows_the_name_that_was_typed(self):
		self.assertIn("Usage: bench safe-restart [OPTIONS] [COMMAND]\n", self.help("safe-restart"))
		self.assertIn("\n  bench safe-restart plan --wait-workers\n", self.help("safe-restart"))
		self.assertIn("Usage: bench safe-restart recover [OPTIONS]\n", self.help("safe-restart", "recover"))
		done = CliRunner().invoke(main, ["safe-restart", "--help"], prog_name="python -m fmx_restart")
		self.assertIn("Usage: python -m fmx_restart safe-restart [OPTIONS]", done.output)
		self.assertNotIn("bench safe-restart", done.output)

	def test_every_example_is_one_that_the_command_takes(self):
		for example in safe_restart.examples:
			words = example.split()
			command = safe_restart.commands.get(words[0], safe_restart)
			command.make_context("x", words[1:] if command is not safe_restart else words)
