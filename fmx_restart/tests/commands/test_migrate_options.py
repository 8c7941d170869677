"""What may be typed together. Parsed by click itself; what follows is the engine's business."""

from __future__ import annotations

import unittest

import click

from fmx_restart.commands import restart, safe_restart
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase


def typed(*words: str) -> dict:
	return safe_restart.make_context("safe-restart", list(words)).params


class TestMigrateOptions(unittest.TestCase):
	def refused(self, *words: str, strategy: Strategy = Strategy.WAIT_WORKERS) -> str:
		with self.assertRaises(click.UsageError) as raised:
			restart.check(typed(*words), strategy)
		return raised.exception.message

	def test_what_does_nothing_without_migrate_is_refused(self):
		for words in (["--backup"], ["--skip-failing"], ["--migrate-command", "x"]):
			self.assertIn("without --migrate", self.refused(*words))
		self.assertIn("without --migrate", self.refused("--maintenance-mode", "migrate"))

	def test_resume_is_a_migration_and_knows_its_sites(self):
		self.assertTrue(restart.is_wanted(typed("--resume")))
		self.assertIn("leave --site out", self.refused("--resume", "--site", "a"))

	def test_a_command_of_ones_own_has_its_own_options(self):
		self.refused("--migrate", "--migrate-command", "x", "--skip-failing")

	def test_maintenance_while_draining_needs_a_drain(self):
		words = ("--maintenance-mode", "drain")
		self.assertIn("does not drain", self.refused(*words, strategy=Strategy.ROLLING))
		restart.check(typed(*words), Strategy.WAIT_WORKERS)

	def test_a_command_is_split_as_a_shell_does_and_given_to_none(self):
		given = typed("--migrate", "--migrate-command", "bin/deploy 'two words' {site} > file")
		self.assertEqual(restart.migration(given).command, ("bin/deploy", "two words", "{site}", ">", "file"))
		for broken in ("'open", ""):
			with self.assertRaises(click.BadParameter):
				restart.migration(typed("--migrate", "--migrate-command", broken))

	def test_a_command_of_ones_own_is_for_the_terminal_only(self):
		words = ("--migrate", "--migrate-command", "bin/deploy")
		restart.check(typed(*words), Strategy.WAIT_WORKERS)
		for origin in ("desk", "api", "schedule"):
			self.assertIn("terminal only", self.refused(*words, "--origin", origin))

	def test_nothing_is_skipped_backed_up_or_forced_unasked(self):
		options = restart.migration(typed("--migrate"))
		self.assertEqual(
			(options.timeout, options.skip_failing, options.backup, options.force), (600, False, False, False)
		)
		self.assertIsNone(restart.migration(typed("--wait-workers")))

	def test_maintenance_may_be_asked_for_in_several_phases(self):
		given = typed("--migrate", "--maintenance-mode", "drain", "--maintenance-mode", "restart")
		self.assertEqual(restart.maintenance(given), {Phase.DRAIN, Phase.RESTART})
