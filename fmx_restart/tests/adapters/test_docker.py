"""A real dockerd in a machine of its own: the contract of process managers, whose a container is, restarts of real RQ workers in containers."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from development.description import ROOT
from development.managers.docker import Docker
from fmx_restart.tests.adapters.redis_server import CHECKOUT, redis_binary
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs


@unittest.skipUnless(
	os.geteuid() == 0 and shutil.which("apt-get"), "a machine inside of this one needs root and apt"
)
class TestOnRealDocker(unittest.TestCase):
	@classmethod
	def setUpClass(cls) -> None:
		ROOT.mkdir(exist_ok=True)
		folder = tempfile.TemporaryDirectory(prefix="docker-", dir=ROOT)  # below /tmp its own would hide it
		cls.addClassCleanup(folder.cleanup)
		cls.docker = Docker(Path(folder.name))
		cls.addClassCleanup(cls.docker.down)
		cls.docker.up()

	def test_a_container_is_the_benchs_by_its_sites_folder_alone(self):
		self.assertRegex(self.passed("docker_inside", "TestWhose", "TestRefusals"), r"Ran \d+ tests")

	def test_real_workers_restart_under_load(self):
		self.assertRegex(self.passed("docker_restarts", may_skip=not IS_LONG_RUN), r"Ran \d+ tests")

	@in_long_runs("what is tried on a dockerd in every run")
	def test_it_passes_the_contract(self):
		self.assertRegex(self.passed("docker_inside", "TestContract"), r"Ran 2\d tests")

	@in_long_runs("a restart of containers")
	def test_names_of_the_machine_and_a_supervisord_in_each(self):
		self.assertRegex(self.passed("docker_shapes"), r"Ran 3 tests")

	def passed(self, module: str, *cases: str, may_skip: bool = False) -> str:
		"""What a file of tests has written, which ran in the machine. Raises CommandFailed."""
		path = os.pathsep.join([str(Path(redis_binary()).parent), os.environ["PATH"]])
		command = [sys.executable, "-m", f"fmx_restart.tests.adapters.{module}", *cases]
		told = self.docker.machine.run(*command, env={"PYTHONPATH": str(CHECKOUT), "PATH": path})
		self.assertEqual("skipped" in told, may_skip, told)
		return told
