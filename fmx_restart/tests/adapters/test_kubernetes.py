"""A real node of Kubernetes in a machine of its own: the contract of process managers, whose a Deployment is, restarts of real RQ workers in pods."""

from __future__ import annotations

import os
import unittest

from development.managers.kubernetes.build import can_be_built
from development.managers.kubernetes.node import Kubernetes
from fmx_restart.tests.adapters.nested_case import NestedCase
from fmx_restart.tests.repetitions import in_long_runs


@unittest.skipUnless(
	os.geteuid() == 0 and can_be_built(),
	"a node inside of this machine needs root and the packages of Debian 12",
)
@in_long_runs("a node of Kubernetes")
class TestOnRealKubernetes(NestedCase):
	@classmethod
	def setUpClass(cls) -> None:
		node = Kubernetes(cls.own_folder("kubernetes"))
		cls.addClassCleanup(node.down)
		node.up()
		cls.machine, cls.variables = node.machine, node.environment

	def test_it_passes_the_contract_and_a_deployment_is_the_benchs_by_its_sites_alone(self):
		self.assertRegex(self.passed("kubernetes_inside"), r"Ran \d+ tests")

	def test_real_workers_and_web_restart_under_load(self):
		self.assertRegex(self.passed("kubernetes_restarts"), r"Ran \d+ tests")
