"""Machines inside of this one, in which tests run real process managers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from development.managers.nested import CGROUPS, NestedMachine, cgroup_root
from fmx_restart.tests.adapters.nested_case import NestedCase
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually

BEGINS = """
import signal, sys
from pathlib import Path
from development.managers.nested import NestedMachine
machine = NestedMachine(Path(sys.argv[1]))
machine.up()
machine.start("sleep", "1000", log=Path(sys.argv[1]) / "sleep.log")
print("up", flush=True)
signal.pause()
"""


def processes_in(cgroup: Path) -> list[str]:
	return (cgroup / "cgroup.procs").read_text().split()


@unittest.skipUnless(os.geteuid() == 0, "a machine inside of this one needs root")
class TestNestedMachine(NestedCase):
	def test_it_ends_with_whoever_has_begun_it_and_the_next_one_tidies_up(self):
		# Given a machine whose owner is killed
		folder = self.own_folder("nested") / "one"
		folder.mkdir()
		words = [sys.executable, "-c", BEGINS, str(folder)]
		with subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as owner:
			self.assertEqual(owner.stdout.readline(), "up\n")
			cgroup = cgroup_root() / f"{CGROUPS}{owner.pid}-one"
			self.assertGreater(len(processes_in(cgroup)), 1)
			owner.send_signal(signal.SIGKILL)
		# Then nothing runs in it any more
		eventually(lambda: not processes_in(cgroup), "its processes have ended")
		# And what is left of it goes with the next one
		machine = NestedMachine(folder.parent / "two")
		self.addCleanup(machine.down)
		machine.folder.mkdir()
		machine.up()
		self.assertEqual((cgroup.exists(), folder.exists()), (False, False))


if __name__ == "__main__":
	unittest.main()
