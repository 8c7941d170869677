"""When an operation gets a scope of systemd's, and from whom. systemd's own programs are stand-ins that answer as a test says."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

from fmx_restart.adapters.managers.systemd.scope import move_out, way_out

NAME = "20000101-000000-0000"
SCOPE = f"fmx-restart-{NAME}.scope"
SERVICE = "/system.slice/cron.service"
USERS_SERVICE = "/user.slice/user-1000.slice/user@1000.service/app.slice/runner.service"
LOGIN = "/user.slice/user-1000.slice/session-5.scope"
#: Moves whoever it is told to, where $ALLOWED has "system" or "user"; keeps what it was told.
BUSCTL = """#!/bin/sh
echo "$@" >> {folder}/told
case "$1" in --user) which=user;; *) which=system;; esac
case " $ALLOWED " in *" $which "*) echo "0::/$which.slice/{scope}" > {cgroup};; *) echo Access denied >&2; exit 1;; esac
"""
LOGINCTL = """#!/bin/sh
printf '%s\\n' KillUserProcesses=$KILLS KillOnlyUsers="$ONLY" KillExcludeUsers="$EXCLUDED"
"""


class ScopeCase(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-scope-")
		self.addCleanup(folder.cleanup)
		self.folder, self.cgroup = Path(folder.name), Path(folder.name, "cgroup")
		self.program("busctl", BUSCTL.format(folder=self.folder, scope=SCOPE, cgroup=self.cgroup))
		self.program("loginctl", LOGINCTL)

	def program(self, name: str, text: str) -> None:
		(self.folder / name).write_text(text)
		(self.folder / name).chmod(0o755)

	def is_in(self, path: str) -> None:
		self.cgroup.write_text(f"0::{path}\n")


class TestMoveOut(ScopeCase):
	def move(self, path: str, **environ: str) -> str:
		"""What the person is told."""
		self.is_in(path)
		(self.folder / "told").write_text("")
		told = {
			"PATH": f"{self.folder}:{os.environ['PATH']}",
			"ALLOWED": "system",
			"USER": "frappe",
			**environ,
		}
		with patch.dict(os.environ, told):
			return move_out(NAME, os.environ, self.cgroup)

	@property
	def asked(self) -> list[str]:
		return (self.folder / "told").read_text().splitlines()

	def test_below_a_service_this_process_is_moved_into_a_scope(self):
		self.assertEqual(self.move(SERVICE), "")
		self.assertIn(SCOPE, self.cgroup.read_text())
		self.assertRegex(self.asked[0], rf"StartTransientUnit .* {SCOPE} fail 2 PIDs au 1 {os.getpid()} ")

	def test_a_users_service_asks_that_users_systemd(self):
		self.assertEqual(self.move(USERS_SERVICE, ALLOWED="user system"), "")
		self.assertEqual([line.split()[0] for line in self.asked], ["--user"])

	def test_an_ordinary_user_below_a_service_of_the_system_gets_one_from_the_own_systemd(self):
		self.assertEqual(self.move(SERVICE, ALLOWED="user"), "")
		self.assertIn("/user.slice/", self.cgroup.read_text())

	def test_where_none_is_given_the_person_is_told_when_the_operation_ends(self):
		told = self.move(SERVICE, ALLOWED="")
		self.assertIn("will be killed when cron.service stops", told)
		self.assertIn("bench safe-restart recover", told)

	def test_a_login_needs_none_unless_its_end_kills(self):
		self.assertEqual(self.move(LOGIN, KILLS="no", ALLOWED=""), "")
		self.assertEqual(self.asked, [])
		self.assertEqual(self.move(LOGIN, KILLS="yes"), "")
		self.assertIn(SCOPE, self.cgroup.read_text())
		told = self.move(LOGIN, KILLS="yes", ALLOWED="")
		self.assertIn("killed when session-5.scope ends. loginctl enable-linger", told)

	def test_users_whom_logind_spares_need_none(self):
		for spared in ({"EXCLUDED": "root frappe"}, {"ONLY": "guest"}):
			self.assertEqual(self.move(LOGIN, KILLS="yes", ALLOWED="", **spared), "")
		self.assertIn("killed", self.move(LOGIN, KILLS="yes", ALLOWED="", ONLY="guest frappe"))

	def test_without_systemd_and_below_supervisord_none_is_asked_for(self):
		for path, environ in (("/", {}), ("/docker/4711", {}), (SERVICE, {"SUPERVISOR_ENABLED": "1"})):
			self.assertEqual(self.move(path, **environ), "")
			self.assertEqual(self.asked, [])

	def test_a_machine_without_systemds_programs_is_no_fault(self):
		(self.folder / "busctl").unlink()
		self.assertIn("cron.service", self.move(SERVICE, PATH=str(self.folder)))


class TestWayOut(ScopeCase):
	def way_out(self, path: str, **environ: str) -> list[str]:
		self.is_in(path)
		return way_out(NAME, environ, self.cgroup)[1:]

	def test_below_a_unit_of_systemd_it_gets_a_scope_of_its_own(self):
		found = self.way_out("/system.slice/frappe-bench-frappe-web.service")
		self.assertEqual(found, ["--scope", "--quiet", "--collect", f"--unit=fmx-restart-{NAME}", "--"])

	def test_below_a_users_unit_it_asks_that_users_systemd(self):
		self.assertEqual(self.way_out(USERS_SERVICE)[0], "--user")

	def test_below_supervisord_and_without_systemd_a_session_is_enough(self):
		self.assertEqual(self.way_out("/system.slice/supervisor.service", SUPERVISOR_ENABLED="1"), [])
		self.assertEqual(self.way_out("/user.slice/user-0.slice/session-1.scope"), [])
