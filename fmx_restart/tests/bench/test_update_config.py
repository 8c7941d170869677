"""A bench whose supervisor.conf was written anew, as bench setup supervisor does, is restarted with --update-config."""

from __future__ import annotations

import re
import unittest
from collections import Counter

import psutil

from fmx_restart.tests.bench.support import BenchTestCase, wait_until_at_rest
from fmx_restart.tests.repetitions import IS_LONG_RUN


@unittest.skipUnless(IS_LONG_RUN, "restarts a bench three times: bin/test --long")
class TestUpdateConfig(BenchTestCase):
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

	def web_words(self) -> list[str]:
		(pid,) = [pid for name, pid in self.pids().items() if name.endswith("frappe-web")]
		return psutil.Process(pid).cmdline()

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
		results = {it["group"]: it["result"] for it in done.report["configuration"]}
		name = self.bench.name
		self.assertEqual(results, {f"{name}-web": "updated", f"{name}-workers": "updated"})
		self.assertIn("3", self.web_words())
		self.assertIn(f"{name}-workers:{name}-frappe-short-worker-1", self.pids())
		# when it is taken back, the second worker goes, too
		self.file.write_text(self.before)
		done = self.run_command("--update-config", "--json")
		self.assertEqual(done.code, 0, done.text)
		self.assertNotIn(f"{name}-workers:{name}-frappe-short-worker-1", self.pids())
		restart_web(self.bench)
