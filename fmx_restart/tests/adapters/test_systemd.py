"""A real systemd in a machine of its own: the contract of process managers, on the machine's and on a user's own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from development.description import ROOT
from development.managers.systemd import PROGRAM, Systemd
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs

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
		cls.systemd = Systemd(Path(folder.name), packages=["sudo"] if shutil.which("apt-get") else [])
		cls.addClassCleanup(cls.systemd.down)
		cls.systemd.up(cls.units())

	@classmethod
	def units(cls) -> dict[str, str]:
		return {"user@65534.service": USER_MANAGER}

	def inside(self, *words: str, **environ: str) -> str:
		"""Runs a test program in the machine, and says what it has written. Raises CommandFailed."""
		variables = {"PYTHONPATH": str(CHECKOUT), **environ}
		return self.systemd.machine.run(*words, env=variables)


class TestOnRealSystemd(SystemdCase):
	def test_the_machines_own_passes_the_contract(self):
		self.assertRegex(self.passed("systemd_inside", "TestSystemManager"), r"Ran 2\d tests")

	def test_real_workers_restart_under_load(self):
		self.assertRegex(self.passed("systemd_restarts", may_skip=not IS_LONG_RUN), r"Ran \d+ tests")

	@in_long_runs("the contract on the machine's systemd")
	def test_a_users_passes_the_contract(self):
		self.systemd.systemctl("start", "user@65534.service")
		eventually(lambda: self.user("is-system-running") in ("running", "degraded"), "it answers")
		told = self.passed("systemd_inside", "TestUserManager", *USER, XDG_RUNTIME_DIR=RUNTIME, HOME=RUNTIME)
		self.assertRegex(told, r"Ran 2\d tests")

	@in_long_runs("the contract on the machine's systemd")
	def test_units_as_pilot_writes_them_restart_under_load(self):
		self.systemd.systemctl("start", "user@65534.service")
		eventually(lambda: self.user("is-system-running") in ("running", "degraded"), "it answers")
		told = self.passed("systemd_pilot", "", *USER, XDG_RUNTIME_DIR=RUNTIME, HOME=RUNTIME)
		self.assertRegex(told, r"Ran 3 tests")

	def passed(self, module: str, case: str = "", *user: str, may_skip: bool = False, **environ: str) -> str:
		"""What a file of tests has written, which ran in the machine. Raises CommandFailed."""
		module = f"fmx_restart.tests.adapters.{module}"
		told = self.inside(*user, sys.executable, "-m", module, *([case] if case else []), **environ)
		self.assertEqual("skipped" in told, may_skip, told)
		return told

	def user(self, *words: str) -> str:
		command = [*USER, "env", f"XDG_RUNTIME_DIR={RUNTIME}", "systemctl", "--user", *words]
		return self.systemd.machine.run(*command, check=False).strip()
