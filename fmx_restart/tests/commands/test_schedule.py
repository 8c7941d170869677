"""`bench safe-restart --at` and `scheduled`, on a bench's folder whose database does not answer."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import time
import unittest
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

from click.testing import CliRunner, Result

from fmx_restart.adapters.control_sites import MARK
from fmx_restart.adapters.schedule import Schedule
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.checks.schedule import scheduled_start
from fmx_restart.engine.identity import new_operation_id
from fmx_restart.tests.commands.test_subcommands import bench_group

SITE = "a.example.com"
WRONG_USAGE, WRONG_ENVIRONMENT = 2, 7  # exit codes
LATER = (datetime.now(timezone.utc) + timedelta(days=2)).strftime("%Y-%m-%d 22:00 UTC")


class TestAt(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx at ")
		self.addCleanup(folder.cleanup)
		self.addCleanup(os.chdir, Path.cwd())
		self.bench = Path(folder.name)
		for name in (f"sites/{SITE}", "apps", "config", "logs"):
			(self.bench / name).mkdir(parents=True)
		site = self.bench / "sites" / SITE
		settings = {"db_name": "x", "db_password": "y", "db_socket": str(self.bench / "no.sock")}
		(site / "site_config.json").write_text(json.dumps(settings))
		(site / MARK).touch()
		(self.bench / "sites" / "common_site_config.json").write_text("{}")
		(self.bench / "sites" / "apps.txt").touch()
		os.chdir(self.bench / "sites")
		self.schedule = Schedule(self.bench / "logs" / "fmx_restart")

	def command(self, *words: str) -> Result:
		runner = CliRunner(env={"FRAPPE_BENCH_ROOT": str(self.bench)})
		return runner.invoke(bench_group(), ["frappe", "safe-restart", *words], prog_name="bench")

	def done(self, *words: str) -> str:
		done = self.command(*words)
		self.assertEqual(done.exit_code, 0, f"{done.output} {done.exception!r}")
		return " ".join(done.output.split())

	def refused(self, *words: str, code: int = WRONG_ENVIRONMENT) -> str:
		done = self.command(*words)
		self.assertEqual(done.exit_code, code, f"{done.output} {done.exception!r}")
		self.assertEqual(self.schedule.all(), [])
		self.assertFalse(list(self.bench.glob("logs/fmx_restart/*.json*")))
		return " ".join(done.output.split())

	def test_it_is_written_down_and_nothing_begins(self):
		text = self.done(
			"--wait-workers", "--wait-workers-timeout", "900", "--at", LATER, "--repeat", "weekly"
		)
		(start,) = self.schedule.all()
		self.assertIn(
			f"Scheduled as {start.id}: bench safe-restart --wait-workers --wait-workers-timeout=900 It", text
		)
		self.assertIn("22:00 UTC, weekly", text)
		self.assertIn("up to 5 min later", text)
		self.assertIn(f"Warning: it is unknown whether the scheduler of {SITE} runs:", text)
		self.assertEqual((start.site, start.asked_from, start.options.origin), (SITE, "terminal", "schedule"))
		self.assertEqual(start.options.drain_timeout, 900.0)
		self.assertIn("@", start.options.requested_by)
		self.assertEqual(list(self.schedule.folder.glob("*.jsonl")), [])
		# and it is shown, also to programs
		shown = self.done("scheduled")
		self.assertRegex(shown, rf"{start.id} .* --wait-workers-timeout=900 .* {SITE}")
		(entry,) = json.loads(self.done("scheduled", "--json"))["scheduled"]
		self.assertEqual((entry["id"], entry["zone"], entry["last"]), (start.id, "UTC", None))
		# and cancelled, once
		self.assertIn("it will not be started", self.done("scheduled", "--cancel", start.id))
		self.assertEqual(self.schedule.all(), [])
		self.assertIn("There is no scheduled start", self.refused("scheduled", "--cancel", start.id))
		self.assertIn("No restart of this bench is scheduled", self.done("scheduled"))

	def test_one_whose_start_was_broken_off_can_be_cancelled(self):
		self.done("--wait-workers", "--at", LATER)
		(start,) = self.schedule.all()
		operation = new_operation_id()
		self.schedule.write(replace(start, starting=operation))
		self.assertIn(f"as operation {operation}", self.done("scheduled", "--cancel", start.id))
		self.assertEqual(self.schedule.all(), [])

	def test_programs_learn_of_it_what_the_api_tells(self):
		scheduled = json.loads(self.done("--migrate", "--site", SITE, "--at", LATER, "--json"))["scheduled"]
		self.assertEqual(
			(scheduled["strategy"], scheduled["migrate"], scheduled["asked_from"], scheduled["late"]),
			("wait-workers", True, "terminal", 300.0),
		)

	def test_a_time_that_cannot_be_is_refused_and_nothing_changed(self):
		for at, reason in {
			"": "is not a time",
			"soon": "is not a time",
			"2020-01-01 22:00 UTC": "has passed",
			"25:00 UTC": "No clock shows 25:00",
			"22:00 Nowhere/Land": "is not a time zone",
			f"{LATER[:16]}-22:04 UTC": "too short a window",
			"22:00": f"The time zone of {SITE} is not known",
		}.items():
			with self.subTest(at):
				text = self.refused("--wait-workers", "--at", at)
				self.assertIn(reason, text)
				self.assertIn("Nothing was changed", text)

	def test_options_that_would_do_nothing_are_refused(self):
		self.refused("--repeat", "weekly", code=WRONG_USAGE)
		self.refused("--dry-run", "--at", LATER, code=WRONG_USAGE)
		self.refused("--status", "--at", LATER, code=WRONG_USAGE)
		self.refused("--at", LATER, "--repeat", "hourly", code=WRONG_USAGE)

	def test_what_may_run_any_program_is_typed_and_not_scheduled(self):
		self.assertIn("--nginx cannot be scheduled", self.refused("--nginx", "--at", LATER))
		text = self.refused("--migrate", "--migrate-command", "id", "--site", SITE, "--at", LATER)
		self.assertIn("--migrate-command cannot be scheduled", text)

	def test_a_changed_configuration_is_applied_as_it_is_at_that_time(self):
		self.assertIn("--update-config", self.done("--wait-workers", "--update-config", "--at", LATER))
		(path,) = self.schedule.folder.glob("*.schedule.json")
		self.assertIs(json.loads(path.read_text())["options"]["update_config"], True)

	def test_without_a_site_that_commands_the_bench_nobody_would_start_it(self):
		(self.bench / "sites" / SITE / MARK).unlink()
		self.assertIn("No control site could start it", self.refused("--at", LATER))

	def test_the_doctor_tells_of_one_that_nothing_has_started_and_of_one_that_cannot_be_read(self):
		self.done("--at", LATER)
		(path,) = self.schedule.folder.glob("*.schedule.json")
		self.assertEqual(list(self.findings()), [])
		value = json.loads(path.read_text())
		value["when"] |= {"at": 1.0, "until": 2.0}
		path.write_text(json.dumps(value))
		(finding,) = self.findings()
		self.assertIn("nothing has looked since", finding.text)
		# but not before the scheduler has looked after it, which tells that itself
		value["when"] |= {"at": time.time() - 3600, "until": time.time() - 200, "end": "05:00"}
		path.write_text(json.dumps(value))
		self.assertEqual(self.findings(), [])
		self.assertIn(f"scheduled --cancel {value['id']}", finding.remedy)
		path.write_text("{")
		(finding,) = self.findings()
		self.assertEqual(shlex.split(finding.remedy)[:2], ["rm", f"{path},"])
		self.assertIn("cannot be used, so it starts nothing", finding.text)
		self.assertIn("cannot be used", self.done("scheduled"))

	def findings(self) -> list:
		return list(scheduled_start(BenchView(str(self.bench), "a-bench", SimpleNamespace(config=dict))))


if __name__ == "__main__":
	unittest.main()
