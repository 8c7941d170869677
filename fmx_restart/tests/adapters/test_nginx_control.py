"""A real nginx is tested and reloaded; a program in place of sudo allows or refuses, as the real one does."""

from __future__ import annotations

import os
import stat
import unittest
from pathlib import Path
from unittest import mock

import psutil

from fmx_restart.adapters.web.nginx_control import NginxHere, fault
from fmx_restart.engine.errors import NginxFault, WrongEnvironment
from fmx_restart.tests.adapters.benches import free_port, short_folder
from fmx_restart.tests.adapters.nginx_server import (
	NGINX,
	bench_configuration,
	main_configuration,
	start_nginx,
)
from fmx_restart.tests.adapters.waiting import eventually

ALLOWS = '#!/bin/sh\n[ "$1" = -n ] || exit 9\nshift\nexec "$@"\n'
REFUSES = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"


class ControlCase(unittest.TestCase):
	def setUp(self):
		self.folder = Path(short_folder(self))
		self.file = self.folder / "bench.conf"
		self.port = free_port()
		self.file.write_text(bench_configuration(self.port, free_port(), "one.localhost"))
		self.main = main_configuration(self.folder, self.file)
		options = ["-p", str(self.folder), "-c", str(self.main), "-e", f"{self.folder}/error.log"]
		self.nginx = NginxHere(NGINX, options=options)

	def as_user_with(self, sudo: str | None) -> None:
		"""An ordinary user, whose PATH has this sudo alone; None: it has none."""
		self.enterContext(mock.patch("os.geteuid", return_value=1000))
		self.enterContext(mock.patch("fmx_restart.adapters.web.nginx_control.PLACES", ()))
		self.enterContext(mock.patch.dict(os.environ, PATH=str(self.folder)))
		if sudo:
			path = self.folder / "sudo"
			path.write_text(sudo)
			path.chmod(path.stat().st_mode | stat.S_IXUSR)

	def as_one_who_may(self) -> None:
		"""Whoever runs this test."""
		if os.geteuid():
			self.as_user_with(ALLOWS)

	def enterContext(self, context):
		value = context.__enter__()
		self.addCleanup(context.__exit__, None, None, None)
		return value


@unittest.skipUnless(NGINX, "nginx is not on this machine; the development bench brings it")
class TestNginx(ControlCase):
	def test_one_that_passes_is_reloaded_and_its_old_workers_are_replaced(self):
		self.as_one_who_may()
		process = psutil.Process(start_nginx(self, self.folder, self.main).pid)
		eventually(process.children, "it has a worker")
		old = {child.pid for child in process.children()}
		self.nginx.test()
		self.nginx.reload()
		eventually(lambda: process.children() and not old & {it.pid for it in process.children()}, "new ones")

	def test_one_that_does_not_pass_is_told_in_its_own_words_with_file_and_line(self):
		self.as_one_who_may()
		self.file.write_text("server {\n\tlisten nonsense here;\n}\n")
		with self.assertRaises(NginxFault) as raised:
			self.nginx.test()
		self.assertRegex(
			str(raised.exception),
			rf"^The configuration of nginx does not pass its test: .*\[emerg\] .* {self.file}:2; .*failed\.$",
		)
		self.assertIn(f"sudo {NGINX} -t", raised.exception.hint)

	def test_an_order_to_one_that_does_not_run_is_told(self):
		self.as_one_who_may()
		with self.assertRaisesRegex(NginxFault, "^nginx cannot be reloaded: .*nginx.pid"):
			self.nginx.reload()

	def test_the_rule_of_sudo_is_used_without_a_question(self):
		self.as_user_with(ALLOWS)
		self.nginx.test()

	def test_a_sudo_that_refuses_names_the_command_and_the_line_that_allow_it(self):
		self.as_user_with(REFUSES)
		with self.assertRaises(WrongEnvironment) as raised:
			self.nginx.test()
		self.assertIn("without a password: sudo: a password is required.", str(raised.exception))
		self.assertRegex(
			raised.exception.hint,
			rf"sudo bench setup sudoers (\S+)\. .*sudoers\.d/frappe: \1 ALL = \(root\) NOPASSWD: {NGINX}$",
		)

	def test_a_user_without_sudo_learns_that_it_is_missing(self):
		self.as_user_with(None)
		with self.assertRaisesRegex(WrongEnvironment, "sudo is not installed"):
			self.nginx.test()


class TestWithoutNginx(ControlCase):
	def test_a_machine_without_it_says_so(self):
		self.as_user_with(ALLOWS)
		with self.assertRaisesRegex(WrongEnvironment, "nginx is not installed here"):
			NginxHere().test()

	def test_a_program_that_is_gone_is_no_crash(self):
		with (
			mock.patch("os.geteuid", return_value=0),
			self.assertRaisesRegex(WrongEnvironment, "cannot be asked"),
		):
			NginxHere(str(self.folder / "gone")).test()

	def test_what_it_says_reaches_no_terminal_as_a_control_character(self):
		lines = ['nginx: [emerg] unknown directive "\x1b[2J" in /x:1', ""]
		self.assertIn(r"\x1b[2J", str(fault("/usr/sbin/nginx", lines, "It failed")))

	def test_a_fault_that_nginx_1_30_tells_as_in_its_log_is_not_taken_for_one_of_sudo(self):
		self.as_user_with(None)
		line = (
			'2026/11/26 19:53:38 [emerg] 22144#22144: unknown directive "broken" in /etc/nginx/nginx.conf:2'
		)
		self.assertIsInstance(fault("/usr/sbin/nginx", [line], "It failed"), NginxFault)
		refused = fault("/usr/sbin/nginx", ["sudo: a password is required"], "It failed")
		self.assertIsInstance(refused, WrongEnvironment)
