"""What a person sees at once: the first line waits for no library, no Redis, no process manager and nobody who reads it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import psutil

import fmx_restart
from fmx_restart.commands.restart import FIRST_LINE
from fmx_restart.tests.adapters.benches import make_bench
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command
from fmx_restart.tests.commands.managed_bench import ManagedBench

ROOT = Path(fmx_restart.__file__).parent.parent
WRONG_ENVIRONMENT = 7  # exit code
#: Python writes its first line, and tells which modules it has by then
TELLS_MODULES = """
import json, os, sys
import click
known = set(sys.modules)
class Told:
	encoding, errors = "utf-8", "strict"
	def write(self, text):
		if not isinstance(text, str):
			raise TypeError("no bytes")
		if not text:  # click looks what this takes
			return
		os.write(2, json.dumps([text, sorted(set(sys.modules) - known)]).encode())
		os._exit(0)
	def flush(self): pass
	def isatty(self): return False
sys.stdout = Told()
from fmx_restart.__main__ import main
main(["safe-restart", "--wait-workers", "--yes"])
"""
#: Of this app. Whatever joins them is paid for before every first line
OURS = {
	"fmx_restart",
	"fmx_restart.__main__",
	"fmx_restart.adapters",
	"fmx_restart.adapters.bench",
	"fmx_restart.adapters.journal_files",
	"fmx_restart.adapters.managers",
	"fmx_restart.adapters.managers.names",
	"fmx_restart.adapters.setting_rules",
	"fmx_restart.adapters.user",
	"fmx_restart.commands",
	"fmx_restart.commands.doctor_command",
	"fmx_restart.commands.file_faults",
	"fmx_restart.commands.options",
	"fmx_restart.commands.parameters",
	"fmx_restart.commands.restart",
	"fmx_restart.commands.sections",
	"fmx_restart.commands.worker_command",
	"fmx_restart.console",
	"fmx_restart.console.say",
	"fmx_restart.console.wrapping",
	"fmx_restart.current_bench",
	"fmx_restart.engine",
	"fmx_restart.engine.decoder",
	"fmx_restart.engine.errors",
	"fmx_restart.engine.file_faults",
	"fmx_restart.engine.format",
	"fmx_restart.engine.frozen",
	"fmx_restart.engine.host_options",
	"fmx_restart.engine.identity",
	"fmx_restart.engine.migration",
	"fmx_restart.engine.notes",
	"fmx_restart.engine.options",
	"fmx_restart.engine.phases",
	"fmx_restart.engine.plain_text",
	"fmx_restart.engine.queue_hold",
	"fmx_restart.worker",
	"fmx_restart.worker.switch",
}
#: Of the standard library: each takes as long as ten others
SLOW = {"asyncio", "email", "http", "logging", "multiprocessing", "ssl", "subprocess", "xml", "xmlrpc"}


class FirstLineCase(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-first-line-")
		self.addCleanup(folder.cleanup)
		self.sites = make_bench(Path(folder.name)) / "sites"
		(self.sites / "apps.txt").write_text("frappe\n")
		silent = socket.create_server(("127.0.0.1", 0))  # takes connections, and never answers
		self.addCleanup(silent.close)
		self.redis_is_at(silent.getsockname()[1])

	def redis_is_at(self, port: int) -> None:
		config = {"redis_queue": f"redis://127.0.0.1:{port}", "bench_id": "a-bench"}
		(self.sites / "common_site_config.json").write_text(json.dumps(config))

	@property
	def environment(self) -> dict[str, str]:
		return {**os.environ, "PYTHONPATH": str(ROOT), "FRAPPE_BENCH_ROOT": str(self.sites.parent)}

	def command(self, *options: str) -> Command:
		words = [sys.executable, "-m", "fmx_restart", "safe-restart", "--wait-workers", "--yes", *options]
		command = Command(words, cwd=self.sites, env=self.environment)
		self.addCleanup(command.end)
		return command

	def run_code(self, code: str, **streams) -> subprocess.CompletedProcess:
		words = [sys.executable, "-c", code]
		return subprocess.run(
			words,
			cwd=self.sites,
			env=self.environment,
			stderr=subprocess.PIPE,
			text=True,
			timeout=60,
			**streams,
		)


class TestFirstLine(FirstLineCase):
	def test_no_library_is_imported_before_it(self):
		text, modules = json.loads(self.run_code(TELLS_MODULES).stderr)
		self.assertIn(FIRST_LINE, text)
		ours = {name for name in modules if name.partition(".")[0] == "fmx_restart"}
		self.assertEqual(ours - OURS, set())
		others = {name.partition(".")[0] for name in modules} - {"fmx_restart"}
		self.assertEqual(others - sys.stdlib_module_names, set())
		self.assertEqual(others & SLOW, set())

	def test_it_does_not_wait_for_redis(self):
		# Given a Redis that takes the connection and never answers
		command = self.command()
		# Then the line is there while the operation waits
		command.wait_for_line(FIRST_LINE)
		self.assertEqual(len(command.lines), 1)

	def test_where_nothing_can_begin_the_error_follows_it(self):
		with socket.create_server(("127.0.0.1", 0)) as closed:
			port = closed.getsockname()[1]
		self.redis_is_at(port)
		done = self.command().finish()
		self.assertIn(FIRST_LINE, done.output)
		self.assertIn("Error: ", done.errors)
		self.assertEqual(done.code, WRONG_ENVIRONMENT)
		# Then --json has one line, which says why there is no fact
		done = self.command("--json").finish()
		(line,) = map(json.loads, done.output.splitlines())
		self.assertEqual((line["event"], line["failure"]), ("CommandFailed", "QueueUnreachable"))
		self.assertEqual((line["exit_code"], done.code), (WRONG_ENVIRONMENT, WRONG_ENVIRONMENT))
		self.assertIn(line["sentence"], done.errors)

	def test_outside_of_a_bench_there_is_the_error_alone(self):
		(self.sites / "apps.txt").unlink()
		(self.sites / "common_site_config.json").unlink()
		code = 'from fmx_restart.commands import safe_restart; safe_restart(["--yes"])'
		done = self.run_code(code, stdout=subprocess.PIPE)
		self.assertEqual((done.stdout, done.returncode), ("", WRONG_ENVIRONMENT))

	def test_a_pipe_that_nobody_reads_does_not_hold_it_up(self):
		reading, writing = os.pipe()
		self.addCleanup(os.close, reading)
		os.set_blocking(writing, False)
		with self.assertRaises(BlockingIOError):
			while True:
				os.write(writing, b"x" * 65536)
		os.set_blocking(writing, True)
		with os.fdopen(writing, "wb") as full:
			done = self.run_code("from fmx_restart.commands.restart import *; tell_first_line()", stdout=full)
		self.assertEqual(done.returncode, 0, done.stderr)

	def test_a_closed_standard_output_does_no_harm(self):
		code = "import os; os.close(1)\nfrom fmx_restart.commands.restart import *; tell_first_line()"
		done = self.run_code(code)
		self.assertEqual(done.stderr.count("Traceback"), 0, done.stderr)


#: As bench_helper leaves it: imported, and not initialised
HANGS = """
import time, types
local = types.SimpleNamespace()
def init(*given, **named): time.sleep(600)
"""
TYPED = """
import frappe
from fmx_restart.__main__ import main
main(["safe-restart", "--wait-workers", "--yes", "--force", "--json"])
"""


class TestHungFrappe(ManagedBench):
	def test_an_operation_does_not_wait_for_it(self):
		# Given a Frappe that is imported, and hangs where it is initialised
		self.start_manager()
		(self.bench / "frappe.py").write_text(HANGS)
		environment = {
			**os.environ,
			"PYTHONPATH": f"{self.bench}:{ROOT}",
			"FRAPPE_BENCH_ROOT": str(self.bench),
		}
		command = Command([sys.executable, "-c", TYPED], cwd=self.bench / "sites", env=environment)
		self.addCleanup(command.end)
		# Then the operation begins, and its process ends, as without Frappe
		operation = psutil.Process(command.operation_pid())
		command.wait_for_fact("Planned")
		command.process.terminate()
		command.wait_for_fact("Ended")
		command.finish()
		eventually(lambda: not operation.is_running(), "the operation's process has ended")
