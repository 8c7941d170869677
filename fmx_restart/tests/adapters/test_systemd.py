"""A real systemd in a machine of its own: the contract of process managers, on the machine's and on a user's own."""

from __future__ import annotations

import os
import shutil
import unittest
from pathlib import Path

from development.managers.systemd import PROGRAM, Systemd
from fmx_restart.tests.adapters.nested_case import NestedCase
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
class TestOnRealSystemd(NestedCase):
	@classmethod
	def setUpClass(cls) -> None:
		packages = ["sudo"] if shutil.which("apt-get") else []
		cls.systemd = Systemd(cls.own_folder("systemd"), packages=packages)
		cls.machine = cls.systemd.machine
		cls.addClassCleanup(cls.systemd.down)
		cls.systemd.up({"user@65534.service": USER_MANAGER})

	def test_the_machines_own_passes_the_contract(self):
		self.assertRegex(self.passed("systemd_inside", "TestSystemManager"), r"Ran 2\d tests")

	def test_real_workers_restart_under_load(self):
		self.assertRegex(self.passed("systemd_restarts", may_skip=not IS_LONG_RUN), r"Ran \d+ tests")

	@in_long_runs("the contract on the machine's systemd")
	def test_a_users_passes_the_contract(self):
		told = self.passed_by_user("systemd_inside", "TestUserManager")
		self.assertRegex(told, r"Ran 2\d tests")

	@in_long_runs("the contract on the machine's systemd")
	def test_units_as_pilot_writes_them_restart_under_load(self):
		told = self.passed_by_user("systemd_pilot")
		self.assertRegex(told, r"Ran 3 tests")

	def passed_by_user(self, *words: str) -> str:
		"""As `passed`, through the systemd of an ordinary user."""
		self.systemd.systemctl("start", "user@65534.service")
		eventually(lambda: self.user("is-system-running") in ("running", "degraded"), "it answers")
		return self.passed(*words, user=USER, XDG_RUNTIME_DIR=RUNTIME, HOME=RUNTIME)

	def user(self, *words: str) -> str:
		command = [*USER, "env", f"XDG_RUNTIME_DIR={RUNTIME}", "systemctl", "--user", *words]
		return self.machine.run(*command, check=False).strip()
