"""A real node of Kubernetes in a machine of its own: the contract of process managers, whose a Deployment is, restarts of real RQ workers in pods."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path

from development.description import ROOT
from development.managers.kubernetes.build import can_be_built
from development.managers.kubernetes.node import Kubernetes
from fmx_restart.tests.adapters.redis_server import CHECKOUT, redis_binary
from fmx_restart.tests.repetitions import in_long_runs


@unittest.skipUnless(
	os.geteuid() == 0 and can_be_built(),
	"a node inside of this machine needs root and the packages of Debian 12",
)
@in_long_runs("a node of Kubernetes")
class TestOnRealKubernetes(unittest.TestCase):
	@classmethod
	def setUpClass(cls) -> None:
		ROOT.mkdir(exist_ok=True)
		folder = tempfile.TemporaryDirectory(
			prefix="kubernetes-", dir=ROOT
		)  # below /tmp its own would hide it
		cls.addClassCleanup(folder.cleanup)
		cls.node = Kubernetes(Path(folder.name))
		cls.addClassCleanup(cls.node.down)
		cls.node.up()

	def test_it_passes_the_contract_and_a_deployment_is_the_benchs_by_its_sites_alone(self):
		self.assertRegex(self.passed("kubernetes_inside"), r"Ran \d+ tests")

	def test_real_workers_and_web_restart_under_load(self):
		self.assertRegex(self.passed("kubernetes_restarts"), r"Ran \d+ tests")

	def passed(self, module: str) -> str:
		"""What a file of tests has written, which ran in the machine. Raises CommandFailed."""
		inside = self.node.environment
		path = os.pathsep.join([str(Path(redis_binary()).parent), inside["PATH"]])
		command = [sys.executable, "-m", f"fmx_restart.tests.adapters.{module}"]
		variables = {**inside, "PYTHONPATH": str(CHECKOUT), "PATH": path}
		told = self.node.machine.run(*command, env=variables)
		self.assertNotIn("skipped", told)
		return told
