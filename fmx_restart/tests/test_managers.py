"""The process managers of development/managers: they work, and nothing of them is left."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path

import psutil

from development.description import ROOT
from development.managers.docker import Docker
from development.managers.kubernetes.build import can_be_built
from development.managers.kubernetes.node import Kubernetes
from development.managers.nested import cgroup_root
from development.managers.systemd import PROGRAM, Systemd
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs

SERVICE = """\
[Service]
ExecStart=/bin/sh -c 'echo $$$$ > {folder}/pid; touch /tmp/{name} /run/{name}; exec sleep 1000'
"""


@unittest.skipUnless(os.geteuid() == 0 and Path(PROGRAM).exists(), "a machine inside of this one needs root")
class TestNestedMachines(unittest.TestCase):
	def setUp(self) -> None:
		ROOT.mkdir(exist_ok=True)
		folder = tempfile.TemporaryDirectory(prefix="nested-", dir=ROOT)  # below /tmp its own would hide it
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)

	def assert_nothing_is_left(self) -> None:
		name = self.folder.name
		self.assertNotIn(name, Path("/proc/self/mountinfo").read_text())
		self.assertEqual(list(cgroup_root().glob(f"*{name}*")), [])
		left = [process for process in psutil.process_iter(["cmdline"]) if name in str(process.info)]
		self.assertEqual(left, [])
		self.assertEqual([path for path in ("/tmp", "/run") if (Path(path) / name).exists()], [])

	def test_systemd_restarts_a_service_and_leaves_nothing(self):
		systemd = Systemd(self.folder)
		self.addCleanup(systemd.down)
		systemd.up({"one.service": SERVICE.format(folder=self.folder, name=self.folder.name)})
		pids = []
		for order in ("start", "restart"):
			systemd.systemctl(order, "one.service")
			eventually((self.folder / "pid").exists, "it runs")
			pids.append(systemd.systemctl("show", "--property=MainPID", "--value", "one.service"))
			(self.folder / "pid").unlink()
		self.assertNotEqual(*pids)
		self.assertEqual(systemd.systemctl("is-active", "one.service"), "active")
		systemd.down()
		self.assert_nothing_is_left()

	@in_long_runs("systemd")
	def test_docker_runs_a_container_and_leaves_nothing(self):
		docker = Docker(self.folder)
		self.addCleanup(docker.down)
		docker.up()
		docker.start("one", ["sh", "-c", "touch here; exec sleep 1000"], self.folder, {"A": "b"})
		eventually((self.folder / "here").exists, docker.docker("ps", "--all"))
		docker.docker("restart", "--time", "0", "one")
		self.assertEqual(docker.docker("inspect", "--format", "{{.State.Running}}", "one"), "true")
		docker.down()
		self.assert_nothing_is_left()

	@unittest.skipUnless(can_be_built(), "a node is built from the packages of Debian 12")
	@in_long_runs("systemd")
	def test_kubernetes_runs_pods_and_leaves_nothing(self):
		kubernetes = Kubernetes(self.folder)
		self.addCleanup(kubernetes.down)
		kubernetes.up()
		command = [sys.executable, "-m", "fmx_restart.tests.adapters.pods_inside"]
		told = kubernetes.machine.run(*command, env={"PYTHONPATH": str(CHECKOUT)})
		self.assertRegex(told, r"Ran 4 tests")
		self.assertNotIn("skipped", told)
		kubernetes.down()
		self.assert_nothing_is_left()
