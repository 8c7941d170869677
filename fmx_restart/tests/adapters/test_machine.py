"""Which machine we are on, by what the kernel and the files of this one say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import unittest

from fmx_restart.adapters.machine import this_machine, writable_layer

OVERLAY = "1 0 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir={},workdir=/var/lib/docker/work"
TELL = "import json, dataclasses\nfrom fmx_restart.adapters.machine import this_machine\nprint(json.dumps(dataclasses.asdict(this_machine())))"


def told_by(*before: str) -> dict:
	"""By another process."""
	environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
	words = [*before, sys.executable, "-c", TELL]
	return json.loads(subprocess.run(words, env=environ, capture_output=True, text=True, check=True).stdout)


class TestThisMachine(unittest.TestCase):
	def test_every_process_of_it_finds_the_same(self):
		here, told = this_machine(), told_by()
		self.assertEqual((told["name"], told["id"], told["boot"]), (here.name, here.id, here.boot))
		self.assertAlmostEqual(told["up_since"], here.up_since, delta=1.0)
		self.assertTrue(0 < here.up_since < time.time())

	def test_a_container_of_the_same_name_is_another_and_began_later(self):
		own = ["unshare", "--pid", "--fork", "--mount-proc"]
		if subprocess.run([*own, "true"], capture_output=True).returncode:
			raise unittest.SkipTest("needs a pid namespace of its own, so root")
		before = time.time()
		told = told_by(*own)
		self.assertEqual(told["name"], this_machine().name)
		self.assertNotEqual(told["boot"], this_machine().boot)
		self.assertGreater(told["up_since"], before - 1.0)

	def test_two_containers_of_one_image_differ_by_the_folder_of_their_own_changes(self):
		layers = {writable_layer([OVERLAY.format(f"/var/lib/docker/{name}/diff")]) for name in "ab"}
		self.assertEqual(layers, {"/var/lib/docker/a/diff", "/var/lib/docker/b/diff"})

	def test_where_no_overlay_is_the_root_there_is_no_such_folder(self):
		lines = ["21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro", "", "half a line"]
		self.assertEqual(writable_layer(lines), "")
		self.assertEqual(writable_layer([OVERLAY.format("/x").replace(" / / ", " / /mnt ")]), "")
