"""A real dockerd in a machine of its own: the contract of process managers, whose a container is, restarts of real RQ workers in containers."""

from __future__ import annotations

import os
import shutil
import unittest

from development.managers.docker import Docker
from fmx_restart.tests.adapters.nested_case import NestedCase
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs


@unittest.skipUnless(
	os.geteuid() == 0 and shutil.which("apt-get"), "a machine inside of this one needs root and apt"
)
class TestOnRealDocker(NestedCase):
	@classmethod
	def setUpClass(cls) -> None:
		docker = Docker(cls.own_folder("docker"))
		cls.machine = docker.machine
		cls.addClassCleanup(docker.down)
		docker.up()

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
