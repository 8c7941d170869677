"""What looks like a honcho of this bench, and is another user's: whatever its command says, nothing of it is run, told or waited for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.honcho.tree import find_honchos
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.ordinary_user import as_ordinary_user
from fmx_restart.tests.adapters.waiting import eventually

PYTHON = os.path.realpath(shutil.which("python3", path="/usr/bin") or sys.executable)
SLEEPS = "import time; time.sleep(1000)"
STARTS = f"""import json, subprocess, sys
subprocess.Popen(json.loads(sys.argv[2]), executable={PYTHON!r}, cwd="/").wait()
"""


@unittest.skipIf(os.geteuid(), "only root can begin a process of another user")
class TestOthersHoncho(unittest.TestCase):
	def setUp(self) -> None:
		self.folder = short_folder(self)
		self.folder.chmod(0o755)
		self.bench = make_bench(self.folder)
		self.script = self.folder / "honcho"
		self.script.write_text(STARTS)

	def begin(self) -> None:
		"""A honcho above a gunicorn of this bench, as far as its words say. The first of them is a program of its own."""
		evil, gunicorn = str(self.folder / "python-evil"), str(self.bench / "env/bin/gunicorn")
		words = json.dumps([evil, "-c", SLEEPS, gunicorn, "frappe.app:application"])
		process = subprocess.Popen(
			[PYTHON, str(self.script), "start", words], cwd="/", start_new_session=True
		)
		self.addCleanup(process.wait)
		self.addCleanup(os.killpg, process.pid, signal.SIGKILL)
		eventually(lambda: psutil.Process(process.pid).children(), "it has started its program")
		(child,) = psutil.Process(process.pid).children()
		eventually(lambda: child.cmdline()[:1] == [evil], "that runs")

	def found(self) -> list[str]:
		honchos = find_honchos(BenchFolder(str(self.bench)), ProcessTable.take())
		return [program.row.words[0] for honcho in honchos for program in honcho.programs if program.row]

	def test_it_is_none_of_the_bench_and_the_first_word_of_its_command_is_never_run(self):
		self.begin()
		self.assertEqual(len(self.found()), 1)
		self.assertEqual(as_ordinary_user(self.found), [])


if __name__ == "__main__":
	unittest.main()
