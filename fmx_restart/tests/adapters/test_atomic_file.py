"""A configuration file on a disk that is full, or nearly: the old file, or the new one, never a part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from fmx_restart.adapters.site_config import replace_text

PAGE = 4096  # bytes; a small tmpfs counts in these
OLD = json.dumps({"db_name": "_a", "db_password": "secret"})
LONG = json.dumps({"db_name": "_a", "filler": "x" * 2 * PAGE})

REPLACE = """
import resource, sys
from pathlib import Path
from fmx_restart.adapters.site_config import replace_text
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
	resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
	replace_text(folder / "site_config.json", sys.stdin.read())
except OSError as error:
	print(error.strerror)
else:
	print("replaced")
print((folder / "site_config.json").read_text())
print(*sorted(path.name for path in folder.iterdir()))
"""
OWN_MOUNTS = ["unshare", "--mount", "--propagation", "private"]


class TestReplaceText(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory(prefix="fmx-atomic-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)
		(self.folder / "site_config.json").write_text(OLD)

	def replace(self, *before: str, limit: int = 0) -> list[str]:
		"""In a process of its own: what became of it, the file's text, and the names in its folder."""
		words = [*before, sys.executable, "-c", REPLACE, str(self.folder), str(limit)]
		environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
		done = subprocess.run(words, input=LONG, env=environ, capture_output=True, text=True, check=True)
		return done.stdout.splitlines()

	def test_a_short_write_leaves_the_old_file_whole_and_raises(self):
		self.assertEqual(self.replace(limit=PAGE), ["File too large", OLD, "site_config.json"])

	def test_a_disk_with_room_for_a_part_leaves_the_old_file_whole_and_raises(self):
		if subprocess.run([*OWN_MOUNTS, "true"], capture_output=True).returncode:
			raise unittest.SkipTest("needs a mount namespace of its own, so root")
		# Given a file system of two pages, of which the old file takes one
		script = f"mount -t tmpfs -o size={2 * PAGE} none {self.folder} && echo '{OLD}' > {self.folder}/site_config.json && exec \"$@\""
		found = self.replace(*OWN_MOUNTS, "sh", "-c", script, "sh")
		self.assertEqual(
			[line for line in found if line], ["No space left on device", OLD, "site_config.json"]
		)

	def test_with_room_for_all_of_it_the_new_text_stands_there(self):
		replace_text(self.folder / "site_config.json", LONG)
		self.assertEqual((self.folder / "site_config.json").read_text(), LONG)
