from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, MigrationFailed, SettingsFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import HANGS, Script
from fmx_restart.tests.engine.support import Run

SITE = "a.localhost"
MAINTENANCE, PAUSE = "maintenance_mode", "pause_scheduler"


class TestSettings(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short", "default")})
		self.file = self.bench.settings.files[SITE]
		self.file["db_name"] = "_a"

	def run_with(self, *phases: Phase, migrate: bool = True, **migration) -> Run:
		options = MigrationOptions(**migration) if migrate else None
		return Run(
			self.bench,
			Options(sites=(SITE,), migration=options, maintenance=frozenset(phases), drain_timeout=30),
		)

	def seen(self, run: Run) -> dict[Phase, dict]:
		"""What stood in the file while each phase went on."""
		seen = {}

		def watch(fact):
			if isinstance(fact, events.PhaseEntered):
				seen[fact.phase] = {key: value for key, value in self.file.items() if key != "db_name"}

		run.operation.listen(watch)
		return seen

	def test_the_scheduler_is_paused_while_it_migrates_and_until_the_old_one_is_gone(self):
		run = self.run_with(backup=True)
		seen = self.seen(run)
		run.go()
		self.assertEqual(seen[Phase.DRAIN], {})
		for phase in (Phase.BACKUP, Phase.MIGRATE, Phase.RESTART):
			self.assertEqual(seen[phase], {PAUSE: 1})
		self.assertEqual(seen[Phase.LIFT], {})

	def test_maintenance_mode_is_on_in_the_phases_that_were_asked_for_only(self):
		run = self.run_with(Phase.DRAIN, Phase.RESTART)
		seen = self.seen(run)
		run.go()
		on = {phase for phase, settings in seen.items() if MAINTENANCE in settings}
		self.assertEqual(on, {Phase.DRAIN, Phase.RESTART})

	def test_a_backup_belongs_to_the_migration(self):
		run = self.run_with(Phase.MIGRATE, backup=True)
		seen = self.seen(run)
		run.go()
		on = {phase for phase, settings in seen.items() if MAINTENANCE in settings}
		self.assertEqual(on, {Phase.BACKUP, Phase.MIGRATE})

	def test_it_works_without_a_migration_too(self):
		run = self.run_with(Phase.RESTART, migrate=False)
		seen = self.seen(run)
		run.go()
		self.assertEqual(seen[Phase.RESTART], {MAINTENANCE: 1})
		self.assertEqual(self.file, {"db_name": "_a"})

	def test_what_was_found_comes_back_exactly(self):
		for found in (
			{},
			{MAINTENANCE: 0},
			{MAINTENANCE: None},
			{MAINTENANCE: False, PAUSE: 0},
			{PAUSE: True},
		):
			with self.subTest(found=found):
				self.file.clear()
				self.file.update(found)
				self.run_with(Phase.MIGRATE).go()
				self.assertEqual(self.file, found)

	def test_what_was_on_already_is_not_touched(self):
		self.file[MAINTENANCE] = 1
		run = self.run_with(Phase.MIGRATE)
		run.go()
		self.assertEqual(run.of(events.SettingWasOn), [events.SettingWasOn(SITE, MAINTENANCE)])
		self.assertEqual(self.file[MAINTENANCE], 1)

	def test_it_comes_back_after_a_failed_migration_and_after_an_abort(self):
		self.bench.migrations.scripts[SITE] = Script(exit_code=1)
		with self.assertRaisesRegex(MigrationFailed, "settings are restored"):
			self.run_with(Phase.MIGRATE).go()
		self.assertEqual(self.file, {"db_name": "_a"})
		self.bench.queue.enqueue("endless", seconds=HANGS)
		with self.assertRaises(DrainTimeout):
			self.run_with(Phase.DRAIN).go()
		self.assertEqual(self.file, {"db_name": "_a"})

	def test_what_was_found_is_told_before_it_is_changed(self):
		run = self.run_with(Phase.MIGRATE)
		on_disk = []

		def watch(fact):
			if isinstance(fact, events.SettingChanged):
				on_disk.append(self.file.get(fact.found.key))

		run.operation.listen(watch)
		run.go()
		self.assertEqual(on_disk, [None, None])

	def test_a_file_that_cannot_be_read_is_found_before_anything_is_touched(self):
		self.bench.settings.unreadable.add(SITE)
		run = self.run_with(Phase.DRAIN)
		with self.assertRaises(WrongEnvironment):
			run.go()
		self.assertEqual((run.phases, self.bench.processes.orders), ([Phase.PREFLIGHT], []))

	def test_a_file_that_cannot_be_written_undoes_all_while_that_is_possible(self):
		self.bench.settings.unwritable.add(SITE)
		run = self.run_with(Phase.MIGRATE)
		with self.assertRaises(WrongEnvironment):
			run.go()
		self.assertEqual((run.operation.report.outcome, self.bench.migrations.runs), (Phase.ABORTED, {}))

	def test_later_it_does_not_stop_the_restart(self):
		run = self.run_with(Phase.RESTART)
		self.bench.migrations.scripts[SITE] = Script(
			on_start=lambda: self.bench.settings.unwritable.add(SITE)
		)
		with self.assertRaisesRegex(SettingsFault, PAUSE) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertIn(("start", "short"), self.bench.processes.orders)
		self.assertEqual({fact.key for fact in run.of(events.SettingFault)}, {MAINTENANCE, PAUSE})

	def test_somebody_elses_change_is_told_and_left(self):
		def change():
			self.file[MAINTENANCE] = 0

		self.bench.migrations.scripts[SITE] = Script(on_start=change)
		run = self.run_with(Phase.MIGRATE)
		run.go()
		self.assertEqual(self.file[MAINTENANCE], 0)
		self.assertEqual(len(run.of(events.SettingLeft)), 1)
