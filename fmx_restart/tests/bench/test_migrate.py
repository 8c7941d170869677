"""Real migrations on a real bench: a patch that works, one that raises, one that hangs silently."""

from __future__ import annotations

import json
from pathlib import Path

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Finished
from fmx_restart.tests.bench.http_client import Client
from fmx_restart.tests.bench.patches import HANGS, RAISES, WORKS, Patches
from fmx_restart.tests.bench.support import BenchTestCase, own_programs, wait_until_at_rest

TELL_WORKER = "fmx_restart.tests.bench.jobs.tell_worker"
PING = "/api/method/ping"
BUSY = 75  # exit code
HANGING = 25.0  # seconds until a migration that hangs is ended: Frappe itself needs some to come as far


class MigrateTestCase(BenchTestCase):
	"""One migration, looked at from all sides."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.patches = Patches(cls.bench)
		cls.addClassCleanup(cls.patches.remove)
		cls.config = cls.bench.sites_path / cls.bench.site / "site_config.json"
		cls.found = cls.config.read_text()
		cls.addClassCleanup(cls.config.write_text, cls.found)
		cls.before = cls.pids()
		cls.migrate()
		cls.after = cls.pids()

	@classmethod
	def settings(cls) -> dict:
		return json.loads(cls.config.read_text())

	def assert_in_service(self) -> None:
		for name, pid in self.before.items():
			if name.partition(":")[0] in own_programs(self.bench):
				self.assertNotIn(self.after[name], (0, pid), name)
		self.assertEqual(self.keys_of_ours(), [])
		self.assert_queue_moves()

	@staticmethod
	def migrations(done: Finished) -> list[dict]:
		return done.report["migrations"]


class TestAPatchThatWorks(MigrateTestCase):
	@classmethod
	def migrate(cls) -> None:
		gate, cls.told = cls.folder / "patch.gate", cls.folder / "patch.told"
		cls.addClassCleanup(gate.touch)
		cls.patch = cls.patches.add(WORKS.format(gate=str(gate), told=str(cls.told)))
		# Given a migration that is in the middle of its patch
		options = ("--migrate", "--backup", "--maintenance-mode", "migrate", "--json")
		command = cls.start(*options)
		command.wait_for_fact("MigrationOutput", line="waiting at the gate")
		cls.refused = cls.run_command("cancel")
		cls.meanwhile, cls.pids_meanwhile = cls.settings(), cls.pids()
		cls.alive_meanwhile = {name for name, pid in cls.before.items() if pid and psutil.pid_exists(pid)}
		asked = Client(cls.bench)
		cls.answers_meanwhile = {asked.request("GET", PING).status for _ in range(10)}
		# When jobs arrive, and the patch ends
		cls.workers = cls.folder / "workers"
		queues = ("short", "default", "long")
		cls.arrived = [cls.jobs.put(TELL_WORKER, queue, told=str(cls.workers)) for queue in queues * 3]
		cls.started_early = [job for job in cls.arrived if job.starts]
		gate.touch()
		cls.done = command.finish()
		for job in cls.arrived:
			job.wait_for_end()

	def test_it_ends_well_and_the_bench_is_in_service(self):
		self.assertEqual(self.done.code, 0, self.done.text)
		self.assertEqual([migration["result"] for migration in self.migrations(self.done)], ["done"])
		self.assert_in_service()

	def test_it_could_not_be_cancelled_meanwhile(self):
		self.assertEqual(self.refused.code, BUSY, self.refused.text)
		self.assertIn("cannot be cancelled: a migration is under way", self.refused.errors)

	def test_workers_born_before_the_restart_run_nothing_after_the_migration(self):
		ended = json.loads(self.told.read_text())
		births = [float(line.split()[1]) for line in self.workers.read_text().splitlines()]
		self.assertEqual((self.started_early, len(births)), ([], len(self.arrived)))
		self.assertGreater(min(births), ended)

	def test_old_workers_are_gone_meanwhile_and_web_serves_on(self):
		serving = {name for name in self.before if name.partition(":")[0].endswith("-web")}
		for name, pid in self.before.items():
			if name in serving:
				self.assertEqual(self.pids_meanwhile[name], pid, name)
			elif name.partition(":")[0] in own_programs(self.bench):
				self.assertEqual(self.pids_meanwhile[name], 0, name)
				self.assertNotIn(name, self.alive_meanwhile)

	def test_old_web_workers_say_only_that_the_site_is_closed(self):
		"""As --maintenance-mode migrate asks for: no old code meets the new schema."""
		self.assertEqual(self.answers_meanwhile, {503})

	def test_settings_are_on_meanwhile_and_every_byte_is_as_found_afterwards(self):
		self.assertEqual((self.meanwhile["maintenance_mode"], self.meanwhile["pause_scheduler"]), (1, 1))
		self.assertEqual(self.config.read_text(), self.found)

	def test_the_report_names_a_backup_that_is_there(self):
		backup = Path(self.migrations(self.done)[0]["backup"])
		self.addCleanup(backup.unlink)
		self.assertTrue(backup.name.endswith("-database.sql.gz"))
		self.assertGreater(backup.stat().st_size, 10_000)

	def test_the_log_holds_all_its_output_and_only_its_owner_can_read_it(self):
		log = Path(self.migrations(self.done)[0]["log"])
		self.assertIn(f"Executing {self.patch} in {self.bench.site}", log.read_text())
		self.assertEqual(log.stat().st_mode & 0o777, 0o600)


class TestAPatchThatRaises(MigrateTestCase):
	@classmethod
	def migrate(cls) -> None:
		cls.patch = cls.patches.add(RAISES)
		# Given a site that is in maintenance mode already
		cls.closed = {**json.loads(cls.found), "maintenance_mode": 1}
		cls.config.write_text(json.dumps(cls.closed, indent=1, sort_keys=True))
		# When it is migrated
		cls.done = cls.run_command("--migrate", "--maintenance-mode", "migrate")
		cls.left = cls.settings()

	def test_it_says_which_site_and_patch_and_what_to_do(self):
		self.assertEqual(self.done.code, 6, self.done.text)
		for part in (self.bench.site, self.patch, "no such column: colour", "--resume", "logs/fmx_restart/"):
			self.assertIn(part, self.done.errors)

	def test_the_bench_is_in_service_with_new_processes(self):
		self.assert_in_service()

	def test_what_was_on_already_is_on_afterwards(self):
		self.assertEqual(self.left, self.closed)

	def test_resume_goes_on_when_the_cause_was_put_right(self):
		self.patches.rewrite(self.patch, "def execute():\n\tpass\n")
		wait_until_at_rest(self.bench)
		done = self.run_command("--resume", "--json")
		self.assertEqual(done.code, 0, done.text)
		self.assertEqual([migration["site"] for migration in self.migrations(done)], [self.bench.site])
		again = self.run_command("--resume")
		self.assertEqual(again.code, 7, again.text)
		self.assertIn("no migration to continue", again.errors)


class TestAPatchThatHangs(MigrateTestCase):
	@classmethod
	def migrate(cls) -> None:
		cls.patch = cls.patches.add(HANGS)
		cls.done = cls.run_command("--migrate", "--migrate-timeout", str(HANGING), "--json")

	def test_it_is_ended_when_its_time_is_over_though_it_prints_nothing_and_ignores_term(self):
		migration = self.migrations(self.done)[0]
		self.assertEqual((self.done.code, migration["result"]), (6, "timed out"), self.done.text)
		self.assertLess(migration["seconds"], HANGING + 20)
		self.assertEqual(migration["culprit"], self.patch)
		self.assertIn(self.patch, self.done.errors)

	def test_no_process_of_it_is_left(self):
		def is_migrating(process: psutil.Process) -> bool:
			words = process.info["cmdline"] or [""]
			return words[0].startswith(f"{self.bench.path}/") and {"migrate", self.bench.site} <= set(words)

		def left() -> list:
			return [process for process in psutil.process_iter(["cmdline"]) if is_migrating(process)]

		eventually(lambda: not left(), "the migration's processes are gone")

	def test_the_bench_is_in_service_with_new_processes_and_settings_as_found(self):
		self.assert_in_service()
		self.assertEqual(self.config.read_text(), self.found)
