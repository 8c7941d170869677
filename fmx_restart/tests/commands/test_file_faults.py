"""
Commands on a share whose file server fails: the kernel's own EIO, of /proc/self/mem in place of one file of the app, or of the
bench.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import fmx_restart

PACKAGE = Path(fmx_restart.__file__).parent
NO_FILE = "/proc/self/mem"  # it opens, and reading fails with EIO
WRONG_ENVIRONMENT = 7  # exit code


class TestFileFaults(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-file-faults-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)
		self.sites = self.folder / "bench/sites"
		for name in ("sites", "apps", "logs"):
			(self.folder / "bench" / name).mkdir(parents=True)
		(self.sites / "apps.txt").write_text("frappe\n")
		(self.sites / "common_site_config.json").write_text('{"redis_queue": "redis://127.0.0.1:1"}')

	def app_without(self, broken: str) -> None:
		"""Links to every file of the app, but for one that cannot be read. It lies in a room, such as commands/hold.py."""
		room, name = broken.split("/")
		package = self.folder / "fmx_restart"
		(package / room).mkdir(parents=True)
		for entry in PACKAGE.iterdir():
			if entry.name not in (room, "__pycache__"):
				(package / entry.name).symlink_to(entry)
		for entry in (PACKAGE / room).iterdir():
			if entry.name != "__pycache__":
				(package / room / entry.name).symlink_to(NO_FILE if entry.name == name else entry)

	def typed(self, *words: str) -> tuple[str, str]:
		"""What it wrote to standard output and error."""
		done = subprocess.run(
			[sys.executable, "-m", "fmx_restart", *words],
			cwd=self.sites,
			env={**os.environ, "PYTHONPATH": str(self.folder)},
			stdin=subprocess.DEVNULL,
			capture_output=True,
			text=True,
			check=False,
		)
		self.assertEqual(done.returncode, WRONG_ENVIRONMENT, done.stdout + done.stderr)
		self.assertNotIn("Traceback", done.stdout + done.stderr)
		return done.stdout, done.stderr

	def test_a_command_whose_own_code_cannot_be_read_says_so_without_a_traceback(self):
		self.app_without("commands/restart.py")
		for words in (["safe-restart", "plan"], ["safe-restart", "status"], ["doctor"]):
			errors = self.typed(*words)[1]
			self.assertIn("Error: A file cannot be used: Input/output error. Nothing was changed.", errors)
			self.assertIn("file server", errors)
		for words in (["safe-restart", "recover"], ["safe-restart", "--yes"], ["safe-restart", "hold"]):
			errors = self.typed(*words)[1]
			self.assertIn("cannot be used: Input/output error. An operation that had begun goes on", errors)
			self.assertIn("bench safe-restart status", errors)

	def test_programs_get_the_line_that_any_command_ends_with_that_could_not_do_what_was_typed(self):
		self.app_without("commands/status.py")
		line = json.loads(self.typed("safe-restart", "status", "--json")[0])
		self.assertEqual((line["event"], line["exit_code"]), ("CommandFailed", WRONG_ENVIRONMENT))
		self.assertIn("Nothing was changed", line["sentence"])
		self.assertIn("file server", line["remedy"])

	def test_an_operation_that_cannot_begin_for_it_says_that_nothing_was_restarted(self):
		self.app_without("desk/announce.py")
		errors = self.typed("safe-restart", "--yes")[1]
		self.assertIn("Error: A file cannot be used: Input/output error. Nothing was restarted.", errors)
		self.assertIn("file server", errors)

	def test_the_benchs_settings(self):
		(self.folder / "fmx_restart").symlink_to(PACKAGE)
		settings = self.sites / "common_site_config.json"
		settings.unlink()
		settings.symlink_to(NO_FILE)
		errors = self.typed("safe-restart", "plan")[1]
		self.assertRegex(
			errors, "common_site_config.json cannot be read: .*Input/output error.*Nothing was changed"
		)
		self.assertIn("file server", errors)
