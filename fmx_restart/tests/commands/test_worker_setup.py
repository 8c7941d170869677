"""bench safe-restart setup worker, and which workers bench worker starts then."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import tempfile
import unittest
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import click
from click.testing import CliRunner, Result

from fmx_restart.commands import safe_restart
from fmx_restart.commands.worker_command import own_commands
from fmx_restart.tests.commands.managed_bench import ManagedBench
from fmx_restart.worker.reload import VARIABLE as RELOADED
from fmx_restart.worker.reload import _reloaded
from fmx_restart.worker.stop import SIGNALS, hold_back, let_in
from fmx_restart.worker.switch import SETTING, VARIABLE, is_wanted


class BenchCase(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.path = Path(folder.name)
		for name in ("sites", "config"):
			(self.path / name).mkdir()
		self.file = self.path / "sites/common_site_config.json"
		self.write('{\n "redis_queue": "redis://127.0.0.1:11000",\n "workers": {}\n}\n')
		self.addCleanup(os.chdir, Path.cwd())
		os.chdir(self.path / "sites")
		environment = patch.dict(os.environ, {"FRAPPE_BENCH_ROOT": str(self.path)})
		environment.start()
		self.addCleanup(environment.stop)
		os.environ.pop(VARIABLE, None)

	def write(self, text: str) -> None:
		self.file.write_text(text)

	def setup(self, *words: str) -> Result:
		return CliRunner().invoke(safe_restart, ["setup", "worker", *words], prog_name="bench safe-restart")


class TestSetup(BenchCase):
	def test_it_adds_one_setting_and_takes_it_out_again(self):
		before = self.file.read_text()
		done = self.setup("--yes")
		self.assertEqual((done.exit_code, json.loads(self.file.read_text())[SETTING]), (0, 1), done.output)
		self.assertIn("bench safe-restart --wait-workers", done.output)
		self.assertIn("already", self.setup("--yes").output)
		removed = self.setup("--remove", "--yes")
		self.assertEqual((removed.exit_code, self.file.read_text()), (0, before), removed.output)
		self.assertIn("Removed. Frappe's own workers run from their next start on", removed.output)
		self.assertNotIn("Active", removed.output)
		self.assertIn("has no", self.setup("--remove").output)

	def test_without_a_terminal_and_without_yes_nothing_is_changed(self):
		before = self.file.read_text()
		done = self.setup()
		self.assertEqual((done.exit_code, self.file.read_text()), (7, before))
		self.assertIn(f'"{SETTING}": 1', done.output)
		self.assertIn("bench safe-restart setup worker --yes", done.output)

	def test_a_file_that_cannot_be_read_stays_as_it_is(self):
		self.write("{")
		done = self.setup("--yes")
		self.assertEqual((done.exit_code, self.file.read_text()), (7, "{"), done.output)

	def test_its_mode_stays(self):
		self.file.chmod(0o600)
		self.setup("--yes")
		self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)


class TestSwitch(BenchCase):
	def test_the_environment_overrules_the_setting_and_nothing_else_than_a_yes_is_one(self):
		for text, variable, wanted in (
			("{}", None, False),
			(f'{{"{SETTING}": 1}}', None, True),
			(f'{{"{SETTING}": true}}', None, True),
			(f'{{"{SETTING}": "1"}}', "maybe", True),
			(f'{{"{SETTING}": 1}}', "0", False),
			(f'{{"{SETTING}": 0}}', None, False),
			(f'{{"{SETTING}": ["x"]}}', None, False),
			("{}", "1", True),
			("{", None, False),
			("[]", None, False),
			("{", "1", True),
		):
			self.write(text)
			environ = {} if variable is None else {VARIABLE: variable}
			self.assertIs(is_wanted(Path(), environ), wanted, (text, variable))
		self.file.unlink()
		self.assertIs(is_wanted(Path(), {}), False)


class TestCommands(BenchCase):
	"""Frappe itself is not here: what stands for its module has two click commands, as Frappe's has."""

	def setUp(self):
		super().setUp()
		self.ran = []
		module = ModuleType("frappe.commands.scheduler")
		module.start_worker = click.Command(
			"worker", params=[click.Option(["--queue"])], callback=self.ran.append, help="Start a worker"
		)
		module.start_worker.callback = lambda queue: self.ran.append(queue)
		module.start_worker_pool = click.Command("worker-pool", callback=lambda: self.ran.append("pool"))
		modules = patch.dict(sys.modules, {"frappe": None})
		modules.start()
		self.addCleanup(modules.stop)
		for name in [name for name in sys.modules if name.startswith("frappe.")]:
			del sys.modules[name]  # another test of this process has imported it
		sys.modules["frappe.commands.scheduler"] = module
		self.stock = module.start_worker

	def test_without_the_setting_there_are_none(self):
		self.assertEqual(own_commands(), [])

	def test_they_have_the_options_of_frappes_and_call_it(self):
		self.write(f'{{"{SETTING}": 1}}')
		worker, pool = own_commands()
		self.assertEqual(
			(worker.name, pool.name, worker.params), ("worker", "worker-pool", self.stock.params)
		)
		CliRunner().invoke(worker, ["--queue", "short"], catch_exceptions=False)
		self.assertEqual(self.ran, ["short"])

	def test_a_worker_starts_where_the_classes_cannot_be_loaded(self):
		self.write(f'{{"{SETTING}": 1}}')
		done = CliRunner().invoke(own_commands()[0], ["--queue", "short"], catch_exceptions=False)
		self.assertEqual(self.ran, ["short"])  # there is no Frappe to import
		self.assertIn("starts as Frappe's own", done.output)

	def test_after_a_reload_it_adds_no_niceness_and_hears_signals_even_as_frappes_own(self):
		self.write(f'{{"{SETTING}": 1}}')
		jobs = ModuleType("frappe.utils.background_jobs")
		parents = {name: ModuleType(name) for name in ("frappe", "frappe.utils")}
		parents["frappe.utils"].background_jobs = jobs
		self.stock.callback = lambda queue: jobs.set_niceness()
		self.addCleanup(_reloaded.cache_clear)
		self.addCleanup(let_in)
		for mark, ran in (
			(f"[{os.getpid()}, 1, 5]", []),
			(f"[{os.getppid()}, 1, 5]", ["nicer"]),
			("", ["nicer"]),
		):
			_reloaded.cache_clear()
			hold_back()
			jobs.set_niceness = lambda: self.ran.append("nicer")
			modules = {**parents, jobs.__name__: jobs}
			with patch.dict(os.environ, {RELOADED: mark}), patch.dict(sys.modules, modules):
				CliRunner().invoke(own_commands()[0], ["--queue", "short"], catch_exceptions=False)
				self.assertEqual((self.ran, RELOADED in os.environ), (ran, False))
			self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(SIGNALS), set())
			self.ran.clear()


class TestSetupOfBoth(BenchCase):
	def both(self, *words: str) -> Result:
		return CliRunner().invoke(safe_restart, ["setup", *words], prog_name="bench safe-restart")

	def hooks(self) -> Path:
		return self.path / "sites/gunicorn.conf.py"

	def test_without_a_name_web_and_workers_are_set_up_and_taken_back(self):
		before = self.file.read_text()
		done = self.both("--yes")
		self.assertEqual((done.exit_code, json.loads(self.file.read_text())[SETTING]), (0, 1), done.output)
		self.assertIn("fmx_restart", self.hooks().read_text())
		removed = self.both("--remove", "--yes")
		self.assertEqual((removed.exit_code, self.file.read_text()), (0, before), removed.output)
		self.assertFalse(self.hooks().exists())

	def test_without_a_terminal_nothing_is_changed_and_each_command_is_named(self):
		before = self.file.read_text()
		done = self.both()
		self.assertEqual((done.exit_code, self.file.read_text()), (7, before), done.output)
		self.assertFalse(self.hooks().exists())
		for what in ("web", "worker"):
			self.assertIn(f"bench safe-restart setup {what} --yes", done.output)

	def test_one_that_cannot_be_changed_does_not_keep_the_other_back(self):
		# Given a file of gunicorn that ends in the middle of a statement, which nobody can add lines to
		self.hooks().write_text("workers = (")
		done = self.both("--yes")
		self.assertEqual((done.exit_code, json.loads(self.file.read_text())[SETTING]), (7, 1), done.output)
		self.assertEqual(self.hooks().read_text(), "workers = (")


class TestSetupWithManager(ManagedBench):
	def test_workers_are_told_their_time_where_a_job_may_run_longer(self):
		# Given a manager that kills its worker after 10 s, as its own default is, and jobs that may run for 300 s
		self.start_manager()
		output = self.output("setup", "worker", "--yes")
		settings = json.loads((self.bench / "sites/common_site_config.json").read_text())
		self.assertEqual(settings["fmx_restart_worker"], 1)
		self.assertEqual(list(settings["fmx_restart_worker_grace"].values()), [10], settings)
		self.assertIn('"fmx_restart_worker_grace": {', output)

	def test_where_the_worker_is_set_up_already_it_adds_the_time_alone(self):
		self.start_manager()
		self.output("setup", "worker", "--yes")
		file = self.bench / "sites/common_site_config.json"
		settings = json.loads(file.read_text())
		time = settings.pop("fmx_restart_worker_grace")
		file.write_text(json.dumps(settings))
		output = self.output("setup", "worker", "--yes")
		self.assertNotIn('"fmx_restart_worker": 1', output)
		self.assertEqual(json.loads(file.read_text()), {**settings, "fmx_restart_worker_grace": time})
		self.assertIn("already", self.output("setup", "worker", "--yes"))
