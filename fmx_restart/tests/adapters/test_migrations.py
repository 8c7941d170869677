from __future__ import annotations

import json
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from fmx_restart.adapters.database import Sizes
from fmx_restart.adapters.journals import unfinished_sites
from fmx_restart.adapters.migrations import BenchMigrations, inspect_disk
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.migration import Gravity, MigrationOptions, Result, SiteMigration
from fmx_restart.tests.adapters.waiting import eventually

SITE = "a.localhost"
POSTGRES = {"db_type": "postgres"}


class BenchFolderTest(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.bench = Path(folder.name)
		self.site = self.bench / "sites" / SITE
		(self.site / "locks").mkdir(parents=True)
		(self.site / "site_config.json").write_text("{}")
		self.migrations = BenchMigrations(str(self.bench), "operation-1", lambda site: POSTGRES)


class TestInspect(BenchFolderTest):
	def findings(self, site: str = SITE) -> list[tuple]:
		found = self.migrations.inspect(site, MigrationOptions())
		return [(finding.gravity, finding.text) for finding in found]

	def test_a_site_that_is_not_there_blocks_wherever_its_name_leads(self):
		for site in ("b.localhost", "../sites/a.localhost", "", "assets"):
			with self.subTest(site=site):
				self.assertEqual(self.findings(site), [(Gravity.BLOCKS, "there is no such site")])

	def test_a_migration_under_way_blocks_and_the_lock_file_it_left_does_not(self):
		lock = self.site / "locks" / "bench_migrate.lock"
		with FileLock(lock):
			*_, (gravity, text) = self.findings()
		self.assertEqual(gravity, Gravity.BLOCKS)
		self.assertIn("under way", text)
		lock.touch()
		self.assertEqual([gravity for gravity, _ in self.findings()], [Gravity.NOTE])

	def test_of_another_database_only_that_is_told(self):
		((gravity, text),) = self.findings()
		self.assertEqual(gravity, Gravity.NOTE)
		self.assertIn("postgres", text)


class TestDisk(unittest.TestCase):
	def test_room_for_the_largest_table_and_for_a_backup_is_wanted(self):
		huge = 10**18
		self.assertEqual(inspect_disk(SITE, Sizes(1, 1, None), None), [])
		self.assertEqual(inspect_disk(SITE, Sizes(huge, huge, None), None), [])
		here = Path(__file__).parent
		self.assertIn("largest table", inspect_disk(SITE, Sizes(huge, huge, here), None)[0].text)
		(finding,) = inspect_disk(SITE, Sizes(huge, 1, None), here / "not" / "made" / "yet")
		self.assertEqual(finding.gravity, Gravity.DOUBTFUL)
		self.assertRegex(finding.text, r"MB free in .*adapters, .* MB wanted for a backup")


class TestStart(BenchFolderTest):
	def test_a_command_of_ones_own_runs_in_the_sites_folder_without_a_shell(self):
		options = MigrationOptions(command=("echo", "{site}", "$HOME; pwd"))
		run = self.migrations.start(SITE, options)
		eventually(lambda: run.exit_code() == 0, "echo has ended")
		self.assertEqual(run.output(), f"{SITE} $HOME; pwd\n")
		self.assertEqual(Path(run.log), self.bench / "logs" / "fmx_restart" / f"operation-1-{SITE}.log")

	def test_frappes_own_is_the_default(self):
		words = self.migrations.frappe(SITE, "migrate", "--skip-failing")[1:]
		self.assertEqual(
			words, ["-m", "frappe.utils.bench_helper", "frappe", "--site", SITE, "migrate", "--skip-failing"]
		)

	def test_a_backup_counts_only_when_its_file_is_there(self):
		@dataclass
		class Ended:
			log: str

		run = Ended(str(self.bench / "backup.log"))
		Path(run.log).write_text(
			"Backup Summary for a.localhost at 2026-01-01\n"
			"Config  : ./a.localhost/backups/1-site_config_backup.json 139.0B\n"
			"Database: ./a.localhost/backups/1-database.sql.gz         1.2MiB\n"
		)
		self.assertIsNone(self.migrations.backup_file(SITE, run))
		file = self.site / "backups" / "1-database.sql.gz"
		file.parent.mkdir()
		file.write_text("x")
		self.assertEqual(self.migrations.backup_file(SITE, run), str(file.resolve()))


class TestHistory(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)

	def journal(self, name: str, *facts: events.Event) -> Path:
		path = self.folder / f"{name}.jsonl"
		path.write_text("".join(f"{json_line(fact)}\n" for fact in facts))
		return path

	@staticmethod
	def ended(site: str, result: Result) -> events.MigrationEnded:
		return events.MigrationEnded(SiteMigration(site, result))

	def test_without_any_nothing_is_left_over(self):
		self.journal("20260101-1", events.OperationStarted("1", "bench", "wait-workers"))
		self.assertEqual(unfinished_sites(self.folder), ())
		self.assertEqual(unfinished_sites(self.folder / "not-made-yet"), ())

	def test_the_failed_one_and_those_not_tried_are_left_over_in_their_order(self):
		planned = events.MigrationsPlanned(("c", "a", "b"))
		self.journal("20260101-1", planned, self.ended("c", Result.DONE), self.ended("a", Result.FAILED))
		self.journal("20260101-2", events.OperationStarted("2", "bench", "wait-workers"))
		self.assertEqual(unfinished_sites(self.folder), ("a", "b"))

	def test_only_the_newest_counts(self):
		planned = events.MigrationsPlanned(("a",))
		self.journal("20260101-1", planned, self.ended("a", Result.FAILED))
		self.journal("20260101-2", planned, self.ended("a", Result.DONE))
		self.assertEqual(unfinished_sites(self.folder), ())

	def test_an_operation_that_was_killed_in_the_middle_of_a_line_counts_too(self):
		path = self.journal("20260101-1", events.MigrationsPlanned(("a", "b")), self.ended("a", Result.DONE))
		with path.open("a") as file:
			file.write(json.dumps({"event": "MigrationEnded"})[:-5])
		self.assertEqual(unfinished_sites(self.folder), ("b",))
