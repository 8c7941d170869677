"""What the doctor writes for an administrator, where there is no room for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

WRITE = """
import resource, sys
from pathlib import Path
from fmx_restart.doctor.registry import write_for_administrator
from fmx_restart.engine.errors import WrongEnvironment
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
	write_for_administrator(Path(sys.argv[1]), "x" * 1000)
except WrongEnvironment as error:
	print(error)
"""


class TestFiles(unittest.TestCase):
	def test_half_a_file_does_not_stay_and_the_error_is_one_sentence(self):
		with tempfile.TemporaryDirectory(prefix="fmx-files-") as folder:
			file = Path(folder) / "config" / "zz-bench.conf"
			environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
			words = [sys.executable, "-c", WRITE, str(file)]
			done = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
			self.assertEqual(
				done.stdout, f"{file} cannot be written: File too large. Nothing else was changed.\n"
			)
			self.assertFalse(file.exists())
