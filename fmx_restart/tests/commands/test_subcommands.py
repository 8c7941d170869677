"""Which words the command line takes, and which it refuses before it looks for a bench: there is none here (exit code 7)."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

import click
from click.testing import CliRunner, Result

from fmx_restart.commands import commands, safe_restart

WRONG_USAGE, WRONG_ENVIRONMENT = 2, 7  # exit codes
FORMER = {"status": "--status", "attach": "--attach", "cancel": "--cancel", "recover": "--recover"}


def bench_group() -> click.Group:
	"""Frappe's nesting: `bench --site x safe-restart` reaches us as `bench frappe --site x safe-restart`."""

	@click.pass_context
	def app_group(context: click.Context, site: str | None) -> None:
		context.info_name = ""

	frappe = click.Group(
		"frappe",
		commands={command.name: command for command in commands},
		params=[click.Option(["--site"])],
		callback=app_group,
	)
	return click.Group(commands={"frappe": frappe})


class SubcommandCase(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-no-bench-")
		self.addCleanup(folder.cleanup)
		self.addCleanup(os.chdir, Path.cwd())
		os.chdir(folder.name)

	def bench(self, *words: str, columns: int = 100) -> Result:
		"""What a person sees who types `bench WORDS`."""
		words = ("frappe", *words)
		width = columns - 2  # what click leaves free on a terminal
		return CliRunner().invoke(bench_group(), words, prog_name="bench", terminal_width=width)

	def assert_refused(self, *words: str) -> str:
		done = self.bench("safe-restart", *words)
		self.assertEqual(done.exit_code, WRONG_USAGE, done.output)
		return " ".join(done.output.split())


class TestRefusals(SubcommandCase):
	def test_a_misspelt_command_is_answered_with_the_nearest_one(self):
		for typed, meant in {
			"statsu": "status",
			"atach": "attach",
			"plans": "plan",
			"recovery": "recover",
		}.items():
			self.assertIn(f"Did you mean: bench safe-restart {meant}?", self.assert_refused(typed))

	def test_a_stray_word_is_answered_with_the_names_that_exist(self):
		for words in (["erp.example.com"], ["--wait-workers", "now", "--yes"], ["--rolling", "--", "x"]):
			text = self.assert_refused(*words)
			self.assertIn("Commands: plan, status, attach, cancel, recover", text)
			self.assertIn("Nothing was changed.", text)

	def test_a_stray_word_after_a_command_is_refused(self):
		for name in safe_restart.commands:
			if not any(isinstance(it, click.Argument) for it in safe_restart.commands[name].params):
				self.assertIn("unexpected extra argument (now)", self.assert_refused(name, "now"))

	def test_an_option_before_a_command_is_refused_and_named(self):
		for words, named in (
			(["--rolling", "status"], "--rolling stands before status"),
			(["--wait-workers", "--site=a", "plan"], "--wait-workers --site stands before plan"),
			(["--rolling-share", "25%", "plan", "--rolling"], "--rolling-share stands before plan"),
			(["--no-web", "recover"], "--no-web stands before recover"),
			(["--status", "attach"], "--status stands before attach"),
			(["--dry-run", "cancel"], "--dry-run stands before cancel"),
		):
			text = self.assert_refused(*words)
			self.assertIn(named, text)
			self.assertIn(f"bench safe-restart {named.split()[-1]} --help", text)

	def test_options_that_contradict_each_other_are_refused_after_a_command_too(self):
		for words in (["--no-web", "--no-workers"], ["--backup"], ["--on-timeout", "wait"]):
			self.assert_refused(*words)
			self.assert_refused("plan", *words)
		self.assert_refused("--take-over")
		self.assert_refused("status", "--rolling")


class TestReaching(SubcommandCase):
	def test_each_command_does_what_its_former_flag_does(self):
		for name, flag in FORMER.items():
			done, former = self.bench("safe-restart", name), self.bench("safe-restart", flag)
			self.assertEqual(done.exit_code, WRONG_ENVIRONMENT, done.output)
			self.assertEqual((former.exit_code, former.output), (done.exit_code, done.output))

	def test_a_site_may_stand_before_the_command(self):
		for name in (*FORMER, "plan"):
			self.assertEqual(
				self.bench("--site", "x", "safe-restart", name).exit_code, WRONG_ENVIRONMENT, name
			)

	def test_plan_takes_every_option_that_a_restart_shows(self):
		known = {name for option in safe_restart.commands["plan"].params for name in option.opts}
		shown = {name for option in safe_restart.params if not option.hidden for name in option.opts}
		self.assertEqual(shown - known, {"--dry-run", "--at", "--repeat"})

	def test_plan_reads_its_options_as_a_restart_does(self):
		words = ["--rolling", "--rolling-share", "25%", "--no-web", "--site", "a", "--site", "b", "--force"]
		plan = safe_restart.commands["plan"].make_context("plan", list(words)).params
		restart = safe_restart.make_context("safe-restart", list(words)).params
		self.assertEqual({name: restart[name] for name in plan}, plan)
