"""A supervisord of root's and a bench of another user, with a real sudo, in a machine of its own; and how sudo's rules are read."""

from __future__ import annotations

import os
import shutil
import unittest

from development.managers.debian import put_into
from development.managers.nested import NestedMachine
from fmx_restart.adapters.managers.sudo import entries_in, needs_no_password, rule
from fmx_restart.adapters.managers.supervisor.programs import is_one_program
from fmx_restart.adapters.managers.supervisor.sudo import info_of
from fmx_restart.adapters.managers.systemd.permission import polkit_rule
from fmx_restart.tests.adapters.nested_case import NestedCase
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs


@unittest.skipUnless(
	os.geteuid() == 0 and shutil.which("apt-get"), "a machine inside of this one needs root and apt"
)
class TestOnRealSudo(NestedCase):
	@classmethod
	def setUpClass(cls) -> None:
		cls.machine = NestedMachine(cls.own_folder("sudo"))
		cls.addClassCleanup(cls.machine.down)
		put_into(cls.machine.layer, ["sudo", "supervisor", "python3-pkg-resources"])
		cls.machine.up()

	def test_an_ordinary_user_restarts_a_bench_of_a_supervisord_of_roots(self):
		self.assertRegex(
			self.passed("sudo_inside", "TestRestart", may_skip=not IS_LONG_RUN), r"Ran \d+ tests"
		)

	@in_long_runs("one restart by sudo")
	def test_a_changed_configuration_is_taken_over_where_the_files_are_roots(self):
		told = self.passed("sudo_inside", "TestUpdateConfig")
		self.assertRegex(told, r"Ran 3 tests")

	@in_long_runs("one restart by sudo")
	def test_it_passes_the_contract(self):
		self.passed("sudo_inside", "TestManager")


class TestRules(unittest.TestCase):
	"""`sudo -l -l` as sudo 1.9 writes it."""

	ORDER = ("/usr/bin/supervisorctl", "-c", "/etc/supervisord.conf", "stop", "workers:a,b=c")

	def is_free(self, *commands: str, head: str = "    Options: !authenticate\n") -> bool:
		listed = "".join(f"    \t{command}\n" for command in commands)
		text = f"User may run:\n\nSudoers entry:\n    RunAsUsers: root\n{head}    Commands:\n{listed}"
		return needs_no_password(self.ORDER, entries_in(text))

	def test_a_line_that_it_writes_itself_allows_just_that_order(self):
		line = rule("frappe", [self.ORDER])
		command = line.removeprefix("frappe ALL=(root) NOPASSWD: ")
		self.assertEqual(command, r"/usr/bin/supervisorctl -c /etc/supervisord.conf stop workers\:a\,b\=c")
		self.assertTrue(self.is_free(command))
		for other in ("start", "tail", "fg", ""):
			self.assertFalse(needs_no_password((*self.ORDER[:3], other, self.ORDER[4]), [(True, [command])]))
		self.assertFalse(self.is_free(command, head=""))  # with a password

	def test_a_name_that_could_mean_more_in_sudoers_is_in_no_rule(self):
		for name in (
			"*",
			"a*",
			"a[b-z]",
			"a?",
			"!a",
			"a #",
			'""',
			"a\nroot ALL=(ALL) NOPASSWD: ALL",
			"a b",
			"a%b",
			"",
		):
			self.assertEqual(rule("frappe", [self.ORDER, (*self.ORDER[:4], name)]), "", name)
		self.assertIn(
			r"stop a\\x2db@1.service", rule("frappe", [("/usr/bin/systemctl", "stop", r"a\x2db@1.service")])
		)

	def test_a_rule_for_polkit_has_the_names_as_they_are(self):
		told = polkit_rule("frappe", [r"a\x2db.service"])
		self.assertIn(r'["a\\x2db.service"].indexOf', told)

	def test_a_program_without_words_allows_all_of_them(self):
		self.assertTrue(self.is_free("/usr/bin/supervisorctl"))
		self.assertTrue(self.is_free("/usr/bin/supervisorctl *"))
		self.assertFalse(self.is_free("/usr/bin/supervisorctl status", "/usr/local/bin/supervisorctl"))


class TestStates(unittest.TestCase):
	def test_each_line_of_supervisorctl_is_read_and_nothing_else(self):
		me = os.getpid()
		for line, expected in (
			(f"workers:short       RUNNING   pid {me}, uptime 1 day, 2:03:04", ("workers", "short", 20, me, "")),
			("web                 STOPPED   Nov 27 03:14 AM", ("web", "web", 0, 0, "")),
			("web                 STOPPED   Not started", ("web", "web", 0, 0, "")),
			("workers:long        STARTING  ", ("workers", "long", 10, 0, "")),
			("workers:long        STOPPING  ", ("workers", "long", 40, 0, "")),
			("workers:x           FATAL     can't find command '/no'", ("workers", "x", 200, 0, "can't find command '/no'")),
			("x                   BACKOFF   Exited too quickly", ("x", "x", 30, 0, "Exited too quickly")),
		):  # fmt: skip
			info = info_of(line)
			told = tuple(info[key] for key in ("group", "name", "state", "pid", "spawnerr"))
			self.assertEqual(told, expected, line)
		for line in (
			"unix:///run/supervisor.sock no such file",
			"",
			"web: ERROR (no such process)",
			"x RUN away",
		):
			self.assertIsNone(info_of(line), line)

	def test_a_name_that_means_several_programs_is_never_passed_on(self):
		self.assertEqual(
			[name for name in ("web", "a:b", "all", "a:*", "a:", "-i") if is_one_program(name)],
			["web", "a:b"],
		)
