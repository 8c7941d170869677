"""What may be typed together with --migrate. Read by click itself; what follows is the engine's business."""

from __future__ import annotations

import os
import unittest
from unittest.mock import patch

import click

from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import Result, SiteMigration
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.commands.test_history import HistoryCase
from fmx_restart.tests.commands.typed import options_of


class TestMigrateOptions(unittest.TestCase):
	def refused(self, *words: str) -> str:
		with self.assertRaises(click.UsageError) as raised:
			options_of(*words)
		self.assertEqual(raised.exception.exit_code, 2)
		return raised.exception.message

	def test_what_does_nothing_without_migrate_is_refused(self):
		for words in (["--backup"], ["--skip-failing"], ["--hold-web"], ["--migrate-command", "x"]):
			self.assertIn("without --migrate", self.refused(*words))
		self.assertIn("without --migrate", self.refused("--maintenance-mode", "migrate"))

	def test_resume_is_a_migration_and_knows_its_sites(self):
		self.assertIn("leave --site out", self.refused("--resume", "--site", "a"))

	def test_a_command_of_ones_own_has_its_own_options(self):
		self.assertIn("put it into", self.refused("--migrate", "--migrate-command", "x", "--skip-failing"))

	def test_maintenance_while_draining_needs_a_drain(self):
		words = ("--maintenance-mode", "drain")
		self.assertIn("does not drain", self.refused("--rolling", *words))
		self.assertEqual(options_of("--wait-workers", *words).maintenance, {Phase.DRAIN})

	def test_a_command_is_split_as_a_shell_does_and_given_to_none(self):
		options = options_of("--migrate", "--migrate-command", "bin/deploy 'two words' {site} > file")
		self.assertEqual(options.migration.command, ("bin/deploy", "two words", "{site}", ">", "file"))
		for broken in ("'open", ""):
			self.refused("--migrate", "--migrate-command", broken)

	def test_nothing_is_skipped_backed_up_or_forced_unasked(self):
		migration = options_of("--migrate").migration
		told = (migration.timeout, migration.skip_failing, migration.backup, migration.force)
		self.assertEqual(told, (600, False, False, False))
		self.assertIsNone(options_of("--wait-workers").migration)

	def test_a_migration_waits_for_running_jobs(self):
		self.assertIs(options_of("--migrate").strategy, Strategy.WAIT_WORKERS)
		self.assertIs(options_of().strategy, Strategy.FAST)

	def test_maintenance_may_be_asked_for_in_several_phases(self):
		options = options_of("--migrate", "--maintenance-mode", "drain", "--maintenance-mode", "restart")
		self.assertEqual(options.maintenance, {Phase.DRAIN, Phase.RESTART})

	def test_sites_are_closed_while_they_are_migrated_unless_they_are_to_stay_open(self):
		self.assertEqual(options_of("--migrate").maintenance, {Phase.MIGRATE})
		self.assertEqual(options_of("--migrate", "--maintenance-mode", "none").maintenance, frozenset())
		self.assertEqual(options_of("--migrate", "--hold-web").maintenance, frozenset())
		self.assertEqual(options_of("--wait-workers").maintenance, frozenset())
		self.assertEqual(options_of("--wait-workers", "--maintenance-mode", "none").maintenance, frozenset())
		words = ("--migrate", "--maintenance-mode", "none", "--maintenance-mode", "drain")
		self.assertIn("none alone", self.refused(*words))


class TestResume(HistoryCase):
	def setUp(self) -> None:
		super().setUp()
		environment = patch.dict(os.environ, FRAPPE_BENCH_ROOT=str(self.bench))
		environment.start()
		self.addCleanup(environment.stop)

	def test_resume_migrates_what_the_last_migration_left_over(self):
		for site in ("a", "b", "c"):
			(self.bench / "sites" / site).mkdir()
			(self.bench / "sites" / site / "site_config.json").write_text("{}")
		done = events.MigrationEnded(SiteMigration("a", Result.DONE))
		self.write(1, events.MigrationsPlanned(("a", "c", "b")), done)
		options = options_of("--resume")
		self.assertIsNotNone(options.migration)
		self.assertEqual((options.strategy, options.sites), (Strategy.WAIT_WORKERS, ("c", "b")))

	def test_resume_without_anything_left_over_is_refused(self):
		with self.assertRaisesRegex(WrongEnvironment, "no migration to continue") as raised:
			options_of("--resume")
		self.assertIn("--migrate --site all", raised.exception.hint)
