"""A bench whose supervisor.conf was written anew, as bench setup supervisor does, is restarted with --update-config."""

from __future__ import annotations

import json
import re
import time
import unittest
from collections import Counter
from pathlib import Path

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.desk_case import LIST, PRIMARY, DeskTestCase
from fmx_restart.tests.bench.patches import WORKS, Patches
from fmx_restart.tests.bench.site_process import on_site
from fmx_restart.tests.bench.support import BenchTestCase, wait_until_at_rest
from fmx_restart.tests.repetitions import IS_LONG_RUN

TELL_WORKER = "fmx_restart.tests.bench.jobs.tell_worker"
TICK = "fmx_restart.desk.schedule.tick"
LONG = unittest.skipUnless(IS_LONG_RUN, "restarts a bench several times: bin/test --long")


class ChangedFileCase(BenchTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.file = self.bench.path / "config" / "supervisor.conf"
		self.before = self.file.read_text()
		self.addCleanup(self.put_back)

	def put_back(self) -> None:
		self.file.write_text(self.before)
		self.bench.supervisorctl("update")
		wait_until_at_rest(self.bench)

	def changed(self) -> str:
		"""One more web worker, and a second worker for short jobs."""
		text = re.sub(r" -w \d+ ", " -w 3 ", self.before)
		return re.sub(r"(short-worker\]\n(?:.+\n)*?numprocs=)1\n", r"\g<1>2\n", text)

	@property
	def second_worker(self) -> str:
		return f"{self.bench.name}-workers:{self.bench.name}-frappe-short-worker-1"

	def assert_updated(self, report: dict) -> None:
		results = {it["group"]: it["result"] for it in report["configuration"]}
		name = self.bench.name
		self.assertEqual(results, {f"{name}-web": "updated", f"{name}-workers": "updated"})
		(pid,) = [pid for name, pid in self.pids().items() if name.endswith("frappe-web")]
		self.assertIn("3", psutil.Process(pid).cmdline())
		self.assertTrue(self.pids()[self.second_worker])


@LONG
class TestUpdateConfig(ChangedFileCase):
	def test_web_and_workers_run_by_it_no_request_fails_and_no_job_is_lost(self):
		from development.web_load import faults, web_load
		from development.web_program import configuration_kept, restart_web, set_up

		self.assertNotEqual(self.changed(), self.before)
		with configuration_kept(self.bench):
			set_up(self.bench, is_lingering=True)
			with web_load(self.bench) as load:
				self.file.write_text(self.changed())
				held = self.jobs.hold("long")
				command = self.start("--wait-workers", "--update-config", "--json")
				command.wait_for_fact("StillRunning")
				held.let_go()
				done = command.finish()
		self.assertEqual((done.code, done.report["account"]["lost"]), (0, []), done.text)
		self.assertEqual((faults(load.requests), held.starts), (Counter(), 1))
		self.assertGreater(len(load.requests), 50)
		self.assert_updated(done.report)
		# when it is taken back, the second worker goes, too
		self.file.write_text(self.before)
		done = self.run_command("--update-config", "--json")
		self.assertEqual(done.code, 0, done.text)
		self.assertNotIn(self.second_worker, self.pids())
		restart_web(self.bench)

	def test_with_a_migration_old_programs_are_down_before_it_and_come_back_by_the_new_one(self):
		patches = Patches(self.bench)
		self.addCleanup(patches.remove)
		gate = self.folder / "patch.gate"
		self.addCleanup(gate.touch)
		patches.add(WORKS.format(gate=str(gate), told=str(self.folder / "patch.told")))
		self.file.write_text(self.changed())
		held = self.jobs.hold("short")
		command = self.start("--migrate", "--update-config", "--json")
		command.wait_for_fact("StillRunning")
		held.let_go()
		command.wait_for_fact("MigrationOutput", line="waiting at the gate")
		# In the middle of the migration nothing is updated, and no worker runs
		meanwhile = self.pids()
		self.assertNotIn(self.second_worker, meanwhile)
		workers = {name: pid for name, pid in meanwhile.items() if "-workers:" in name}
		self.assertEqual(workers, dict.fromkeys(workers, 0))
		waiting = self.jobs.put(TELL_WORKER, "short", told=str(self.folder / "workers"))
		gate.touch()
		done = command.finish()
		self.assertEqual((done.code, done.report["account"]["lost"]), (0, []), done.text)
		self.assertEqual([it["result"] for it in done.report["migrations"]], ["done"])
		self.assert_updated(done.report)
		waiting.wait_for_end()
		self.assertEqual(held.starts, 1)

	def test_a_scheduled_restart_applies_the_configuration_as_it_is_at_its_time(self):
		folder = self.bench.path / "logs" / "fmx_restart"
		asked = self.run_command("--wait-workers", "--update-config", "--at", "tomorrow 03:00", "--json")
		self.assertEqual(asked.code, 0, asked.text)
		(path,) = folder.glob("*.schedule.json")
		self.addCleanup(path.unlink, missing_ok=True)
		self.file.write_text(self.changed())  # it was another one when this was asked for
		value = json.loads(path.read_text())
		value["when"] |= {"at": time.time() - 1, "until": time.time() + 600}
		path.write_text(json.dumps(value))
		known = set(folder.glob("*.jsonl"))
		on_site(self.bench, "run_scheduled", method=TICK)
		(journal,) = eventually(lambda: set(folder.glob("*.jsonl")) - known, "it begins", deadline=60)
		over = eventually(lambda: ended_in(journal), "it ends", deadline=180)
		self.assertEqual(over["outcome"], "Done", over)
		self.assert_updated(over)


def ended_in(journal: Path) -> dict | None:
	"""The report, once it stands there."""
	*_, last = ["{}", *journal.read_text().splitlines()]
	return json.loads(last).get("report")


@LONG
class TestFromDesk(ChangedFileCase, DeskTestCase):
	def test_it_is_chosen_previewed_and_told_by_the_page_of_the_operation(self):
		desk, name = self.desk, self.bench.name
		self.file.write_text(self.changed())
		desk.open("restart-operation", LIST)
		desk.click(LIST)
		desk.click(".restart-strategies label", "Wait for running jobs")
		desk.see(".restart-banner.orange", f"configuration changed: {name}-web (changed)")
		desk.click(".restart-options summary")
		# A strategy that keeps workers in service does not have it
		desk.click(".restart-strategies label", "One worker after the other")
		desk.page.locator("input[name=update_config]").wait_for(state="detached")
		desk.click(".restart-strategies label", "Wait for running jobs")
		desk.page.locator("input[name=update_config]").check()
		desk.see(".restart-banner.orange", "Each group is updated when its programs are down")
		self.assert_accessible(".restart-modal.show")
		desk.click(PRIMARY, "Continue…")
		desk.see(
			".restart-consequences", f"The changed configuration of {name}-web, {name}-workers is applied"
		)
		desk.see(".restart-dialog code", "--update-config")
		desk.click(PRIMARY, "Restart Now")
		self.see_status("Done")
		for group in ("web", "workers"):
			desk.see(
				".restart-configuration tr", re.compile(rf"{name}-{group}\s*changed\s*applied", re.DOTALL)
			)
		self.assert_accessible()
		self.assertTrue(self.pids()[self.second_worker])
