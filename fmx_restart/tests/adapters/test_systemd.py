"""A real systemd in a machine of its own: the contract of process managers, on the machine's and on a user's own."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path

from development.description import ROOT
from development.managers.systemd import PROGRAM, Systemd
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs

USER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
RUNTIME = "/run/of-nobody"
#: As user@.service of the distribution, without PAM and logind
USER_MANAGER = f"""\
[Service]
User=nobody
Group=nogroup
RuntimeDirectory=of-nobody
RuntimeDirectoryMode=0700
Environment=XDG_RUNTIME_DIR={RUNTIME} HOME={RUNTIME} SYSTEMD_GENERATOR_PATH={RUNTIME}/none
ExecStart={PROGRAM} --user --unit=basic.target
Delegate=yes
KillMode=mixed
"""


@unittest.skipUnless(os.geteuid() == 0 and Path(PROGRAM).exists(), "a machine inside of this one needs root")
class SystemdCase(unittest.TestCase):
	"""One machine for all tests of a class."""

	@classmethod
	def setUpClass(cls) -> None:
		ROOT.mkdir(exist_ok=True)
		folder = tempfile.TemporaryDirectory(prefix="systemd-", dir=ROOT)  # below /tmp its own would hide it
		cls.addClassCleanup(folder.cleanup)
		cls.systemd = Systemd(Path(folder.name))
		cls.addClassCleanup(cls.systemd.down)
		cls.systemd.up(cls.units())

	@classmethod
	def units(cls) -> dict[str, str]:
		return {"user@65534.service": USER_MANAGER}

	def inside(self, *words: str, **environ: str) -> str:
		"""Runs a test program in the machine, and says what it has written. Raises CommandFailed."""
		variables = {"PYTHONPATH": str(CHECKOUT), **environ}
		return self.systemd.machine.run(*words, env=variables)


class TestContract(SystemdCase):
	def test_the_machines_own(self):
		told = self.inside(
			sys.executable, "-m", "fmx_restart.tests.adapters.systemd_inside", "TestSystemManager"
		)
		self.assertRegex(told, r"Ran 2\d tests")
		self.assertNotIn("skipped", told)

	@in_long_runs("the contract on the machine's systemd")
	def test_a_users(self):
		self.systemd.systemctl("start", "user@65534.service")
		eventually(lambda: self.user("is-system-running") in ("running", "degraded"), "it answers")
		told = self.inside(
			*USER,
			sys.executable,
			"-m",
			"fmx_restart.tests.adapters.systemd_inside",
			"TestUserManager",
			XDG_RUNTIME_DIR=RUNTIME,
			HOME=RUNTIME,
		)
		self.assertRegex(told, r"Ran 2\d tests")
		self.assertNotIn("skipped", told)

	def user(self, *words: str) -> str:
		command = [*USER, "env", f"XDG_RUNTIME_DIR={RUNTIME}", "systemctl", "--user", *words]
		return self.systemd.machine.run(*command, check=False).strip()
