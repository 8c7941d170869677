"""How an operation gets away from whoever launches it. Imports Frappe, so it runs in the bench's environment."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import psutil

from fmx_restart.adapters import own_session
from fmx_restart.tests.adapters.waiting import eventually


class TestAway(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-away-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)

	def launch(self, code: str) -> None:
		words = [sys.executable, own_session.__file__, str(self.folder / "told"), sys.executable, "-c", code]
		subprocess.run(words, check=True, timeout=30)

	def test_the_command_has_another_parent_and_a_session_of_its_own(self):
		pid_file, gate = self.folder / "pid", self.folder / "gate"
		self.launch(
			"import os, pathlib, time\n"
			f"pathlib.Path({str(self.folder / 'new')!r}).write_text(f'{{os.getpid()}} {{os.getsid(0)}}')\n"
			f"os.rename({str(self.folder / 'new')!r}, {str(pid_file)!r})\n"
			f"while not os.path.exists({str(gate)!r}) and os.path.exists({str(self.folder)!r}): time.sleep(0.01)"
		)
		self.addCleanup(gate.touch)
		eventually(pid_file.exists, "it runs")
		pid, session = map(int, pid_file.read_text().split())
		own = psutil.Process()
		self.assertNotIn(pid, [child.pid for child in own.children(recursive=True)])
		self.assertNotEqual(session, own.pid)

	def test_what_it_prints_is_kept_and_the_file_is_locked_as_long_as_it_runs(self):
		gate = self.folder / "gate"
		self.launch(
			"import os, sys, time\n"
			"print('so it goes', file=sys.stderr, flush=True)\n"
			f"while not os.path.exists({str(gate)!r}) and os.path.exists({str(self.folder)!r}): time.sleep(0.01)"
		)
		self.addCleanup(gate.touch)
		told = self.folder / "told"
		eventually(lambda: told.exists() and "so it goes" in told.read_text(), "it told")

		def is_free() -> bool:
			with told.open() as file:
				try:
					fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
				except BlockingIOError:
					return False
				return True

		self.assertFalse(is_free())
		gate.touch()
		eventually(is_free, "its end is seen")
