"""An app whose code cannot be loaded: noticed before anything is touched, or else told with its traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.managed_scratch import ManagedScratch, ScratchCase

WRONG_ENVIRONMENT, NOT_BACK = 7, 4  # exit codes
APP = "fmx_breakable"
NEVER_CLOSED = 'app_name = "fmx_breakable"\ndoc_events = {\n'
MISSING = "import a_package_that_nobody_installed\n"


class TestBrokenApp(ScratchCase):
	"""A bench of its own, with one app more; web and workers run all the time."""

	programs: ClassVar = {"web": "", "short": "worker --queue short", "default": "worker --queue default"}

	@classmethod
	def prepare(cls) -> None:
		cls.app = add_app(cls.scratch)

	def setUp(self) -> None:
		super().setUp()
		self.before = self.scratch.pids()

	@contextmanager
	def broken(self, file: str, text: str) -> Iterator[None]:
		"""Inside the block the app is as a bad deploy left it."""
		path = self.app / file
		found = path.read_text()
		path.write_text(text)
		try:
			yield
		finally:
			path.write_text(found)

	def assert_untouched(self) -> None:
		self.assertEqual(self.scratch.pids(), self.before)
		self.assertEqual(self.scratch.keys_of_ours(), [])
		self.assertTrue(self.scratch.web_is_up())

	def others_have_loaded_all(self) -> bool:
		return self.scratch.pids()["default"] in self.scratch.registered() and self.scratch.web_is_up()

	def test_every_kind_of_restart_is_refused_with_the_traceback_and_the_bench_goes_on(self):
		for strategy in ("--wait-workers", "--rolling", "--no-workers"):
			with self.subTest(strategy), self.broken("hooks.py", NEVER_CLOSED):
				done = self.scratch.run(strategy)
				self.assertEqual(done.code, WRONG_ENVIRONMENT, done.text)
				self.assertIn(f"{APP}.hooks: SyntaxError: '{{' was never closed", done.errors)
				self.assertIn("Nothing was changed", done.errors)
				self.assertIn("--force", done.errors)
				self.assertRegex(done.output, r"hooks\.py\", line 2\s+doc_events = \{")
				self.assert_untouched()

	def test_an_app_that_keeps_frappe_itself_from_starting_does_not_keep_this_command_from_telling_it(self):
		with self.broken("__init__.py", MISSING):
			done = self.scratch.run("--wait-workers", site=self.bench.site)
		self.assertEqual(done.code, WRONG_ENVIRONMENT, done.text)
		self.assertIn("a_package_that_nobody_installed", done.errors)
		self.assertIn("Nothing was changed", done.errors)
		self.assert_untouched()

	def test_a_dry_run_tells_it(self):
		with self.broken("hooks.py", NEVER_CLOSED):
			done = self.scratch.run("--wait-workers", "--dry-run")
		self.assertEqual(done.code, 0, done.text)
		self.assertIn(f"{APP}.hooks cannot be loaded", done.output)

	def test_an_app_that_breaks_while_the_drain_waits_is_noticed_before_the_restart(self):
		# Given a restart that waits for a job, long enough for a deploy
		held = self.scratch_jobs.hold()
		command = self.scratch.start("--wait-workers", "--wait-workers-poll", "0.5", "--json")
		command.wait_for_fact("StillRunning")
		command.wait_until_told("StillRunning", times=12)
		# When the app breaks and the job ends
		with self.broken("hooks.py", NEVER_CLOSED):
			held.let_go()
			done = command.finish()
		# Then nothing was restarted, and the queue is running
		self.assertEqual((done.code, done.report["outcome"]), (WRONG_ENVIRONMENT, "Aborted"), done.text)
		self.assertIn("Nothing was restarted; the queue keeps running", done.errors)
		self.assert_untouched()
		self.assertEqual(self.scratch_jobs.work().wait_for_end().starts, 1)

	def test_with_force_the_bench_is_restarted_all_the_same(self):
		with self.broken("hooks.py", NEVER_CLOSED):
			done = self.scratch.run("--wait-workers", "--force")
		self.assertEqual(done.code, 0, done.text)
		self.assertIn(f"Warning: {APP}.hooks cannot be loaded", done.output)
		self.assertEqual([n for n, pid in self.scratch.pids().items() if pid == self.before[n]], [])

	def test_workers_that_do_not_come_up_show_their_traceback_and_web_is_left_in_peace(self):
		# Given a worker that finishes its job while everything else is new already
		held = self.scratch_jobs.hold()
		command = self.scratch.start("--suspend-rq", "--force-kill-timeout", "120", "--json")
		for name in ("web", "default"):
			command.wait_for_fact("ProcessUp", name=name)
		eventually(self.others_have_loaded_all, "web answers, the other worker is registered", deadline=90)
		# When the app breaks only then, and the job ends
		with self.broken("__init__.py", MISSING):
			held.let_go()
			done = command.finish()
			states = {name: info["statename"] for name, info in self.scratch.infos().items()}
		# Then that worker is named with its traceback; web and the other worker work
		self.assertEqual(done.code, NOT_BACK, done.text)
		(fact,) = [fact for fact in done.facts if fact["event"] == "ProcessFailed"]
		self.assertEqual(fact["name"], "short")
		self.assertIn(
			"ModuleNotFoundError: No module named 'a_package_that_nobody_installed'", fact["log_tail"]
		)
		self.assertEqual((states["web"], states["default"]), ("RUNNING", "RUNNING"))
		self.assertEqual(self.scratch.keys_of_ours(), [])
		self.assertEqual((held.starts, held.ends), (1, 1))
		# And once the app is right again, a restart brings it back
		again = self.scratch.run("--wait-workers", "--no-web")
		self.assertEqual(again.code, 0, again.text)
		self.assertEqual(self.scratch_jobs.work().wait_for_end().starts, 1)


def add_app(scratch: ManagedScratch) -> Path:
	"""As bench get-app would, but for the database: listed, and found by Python. Returns its package."""
	package = scratch.path / "more-apps" / APP
	package.mkdir(parents=True)
	(package / "__init__.py").write_text('__version__ = "1.0"\n')
	(package / "hooks.py").write_text('app_name = "fmx_breakable"\n')
	(package / "modules.txt").write_text("FMX Breakable\n")
	listed = scratch.sites_path / "apps.txt"
	names = listed.read_text()
	listed.unlink()  # a link to the development bench's own
	listed.write_text(f"{names.rstrip()}\n{APP}\n")
	return package
