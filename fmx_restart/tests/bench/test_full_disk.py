"""A disk without room for the journal: refused before anything is touched."""

from __future__ import annotations

import subprocess
import unittest

from fmx_restart.tests.bench.command import Command
from fmx_restart.tests.bench.support import BenchTestCase, command_line


class TestFullDisk(BenchTestCase):
	def test_it_stops_before_the_first_change(self):
		folder = self.bench.path / "logs" / "fmx_restart"
		folder.mkdir(mode=0o700, exist_ok=True)
		own_mounts = ["unshare", "--mount", "--propagation", "private"]
		if subprocess.run([*own_mounts, "true"], capture_output=True).returncode:
			raise unittest.SkipTest("needs a mount namespace of its own, so root")
		before = self.pids()
		script = f"mount -t tmpfs -o size=4k,mode=700 none {folder} && head -c 4096 /dev/zero > {folder}/full"
		words = [
			*own_mounts,
			"sh",
			"-c",
			f'{script} && exec "$@"',
			"sh",
			*command_line(self.bench, "--wait-workers"),
		]
		done = Command(words, cwd=self.bench.path, env=self.bench.environment).finish()
		self.assertEqual(done.code, 7, done.text)
		self.assertIn("The journal cannot be written", done.errors)
		self.assertIn("No space left on device", done.errors)
		self.assert_nothing_restarted(before)
		self.assertEqual(self.keys_of_ours(), [])
