"""What becomes of a killed job: hooks, decorators and settings, and what it takes to know."""

from __future__ import annotations

import json
import sys
import tempfile
import unittest
from pathlib import Path

from rq.job import Job

from fmx_restart.tests.worker.worker_bench import counted
from fmx_restart.worker.claims import KilledJob
from fmx_restart.worker.killed_jobs import Policies, read_hooks, read_settings

DECORATED = "fmx_restart.tests.worker.worker_bench.decorated"


class TestKilledJobs(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)
		sys.path.insert(0, folder.name)
		self.addCleanup(sys.path.remove, folder.name)

	def module(self, name: str, text: str) -> None:
		file = self.folder / f"{name.replace('.', '/')}.py"
		file.parent.mkdir(exist_ok=True)
		file.write_text(text)
		self.addCleanup(sys.modules.pop, name, None)

	def policy(self, method: str, queue: str = "short", hooks: dict | None = None, **settings) -> KilledJob:
		job = Job.create(counted, kwargs={"method": method, "kwargs": {}}, connection=object())
		return Policies(settings, hooks or {}).of(job, queue)

	def test_without_a_word_it_fails(self):
		self.assertEqual(self.policy("app.tasks.work"), KilledJob("fail", 0))

	def test_a_hook_says_more_than_a_decorator_and_that_more_than_a_setting(self):
		settings = {"fmx_restart_killed_jobs": "requeue", "fmx_restart_killed_jobs_tries": 9}
		self.assertEqual(self.policy("app.tasks.work", **settings), KilledJob("requeue", 9))
		self.assertEqual(self.policy(DECORATED, **settings), KilledJob("requeue", 2))
		self.assertEqual(self.policy(DECORATED, hooks={DECORATED: 0}, **settings), KilledJob("fail", 0))
		self.assertEqual(self.policy(DECORATED, hooks={DECORATED: 5}), KilledJob("requeue", 5))

	def test_each_queue_may_have_its_own(self):
		settings = {"fmx_restart_killed_jobs": {"long": "requeue", "*": "fail"}}
		self.assertEqual(self.policy("a.b", "long", **settings), KilledJob("requeue", 3))
		self.assertEqual(self.policy("a.b", "short", **settings), KilledJob("fail", 0))

	def test_what_cannot_be_read_counts_as_not_set(self):
		for value in (["requeue"], 7, None, {"short": ["requeue"]}):
			self.assertEqual(self.policy("a.b", fmx_restart_killed_jobs=value), KilledJob("fail", 0))
		(self.folder / "common_site_config.json").write_text("{")
		self.assertEqual(read_settings(self.folder), {})
		(self.folder / "common_site_config.json").write_text(json.dumps(["x"]))
		self.assertEqual(read_settings(self.folder), {})

	def test_hooks_of_every_app_that_can_be_imported(self):
		(self.folder / "apps.txt").write_text("shop\nbroken\nabsent\n")
		for app, text in (
			("shop", "restartable_jobs = {'shop.sync': 4, 'shop.odd': 'x'}"),
			("broken", "1 / 0"),
		):
			self.module(f"{app}.__init__", "")
			self.module(f"{app}.hooks", text)
			self.addCleanup(sys.modules.pop, app, None)
		self.assertEqual(read_hooks(self.folder), {"shop.sync": 4})

	def test_only_a_module_that_names_the_decorator_is_imported_for_it(self):
		self.module("fmx_plain", "def work(): ...")
		self.module("fmx_named", "import fmx_restart\n@fmx_restart.restartable\ndef work(): ...")
		self.assertEqual(self.policy("fmx_plain.work"), KilledJob("fail", 0))
		self.assertNotIn("fmx_plain", sys.modules)
		self.assertEqual(self.policy("fmx_named.work"), KilledJob("requeue", 3))
