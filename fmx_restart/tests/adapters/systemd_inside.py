"""
What runs inside a nested machine whose first process is a systemd: the contract of process managers, on the machine's systemd
as root, and on a user's own without privileges. test_systemd.py begins it there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unittest
from itertools import count
from pathlib import Path

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.discovery import known_managers
from fmx_restart.adapters.managers.systemd.kind import KIND
from fmx_restart.adapters.managers.systemd.processes import SystemdProcesses
from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.processes_contract import ProcessesContract
from fmx_restart.tests.adapters.waiting import eventually

SERVICE = """\
[Unit]
PartOf={target}
StartLimitIntervalSec=0
[Service]
WorkingDirectory={folder}
ExecStart={command}
TimeoutStopSec=60
{lines}
"""
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
ORDERS = """
import sys
from fmx_restart.adapters.managers.systemd.processes import SystemdProcesses
from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
from fmx_restart.engine.errors import ProcessFault
processes = SystemdProcesses(Systemctl(), sys.argv[1], "a test")
names = [one.name for one in processes.list() if one.pid]
try:
	print(processes.check_orders(names))
except ProcessFault as fault:
	print(fault, fault.hint)
print(processes.order(stop=sys.argv[2:]))
"""


def unit_names(bench: str) -> list[str]:
	"""Of web, two workers and a scheduler."""
	return [f"{bench}-{part}.service" for part in ("web", "slow", "stubborn", "crashing")]


class UnitsCase(ProcessesContract):
	"""
	Each test has a bench and units of its own, so that none reads what another one has written. All are made at once: systemd
	reads all of its files again for each new one.
	"""

	is_users = False
	lines = ""  # of each service
	CRASHED = "it ended with exit code 1"
	NOBODY = "bench-nobody.service"
	POLL = 0.1  # each look is a process

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.systemctl, cls.home, cls.numbers = Systemctl(cls.is_users), short_folder(cls), count(1)
		benches = [f"bench{n + 1}" for n in range(len(unittest.defaultTestLoader.getTestCaseNames(cls)))]
		targets = [cls.units() / f"{bench}.target" for bench in benches]
		for bench, target in zip(benches, targets, strict=True):
			target.write_text("[Unit]\n")
			cls.write_units(cls.home / bench)
		cls.ask("daemon-reload")
		# systemd forgets a unit that is down, unless another one wants it that is up
		cls.ask("start", *(target.name for target in targets))
		for bench, target in zip(benches, targets, strict=True):
			target.write_text(f"[Unit]\nWants={' '.join(unit_names(bench))}\n")
		cls.ask("daemon-reload")

	def setUp(self) -> None:
		self.clock = SystemClock()
		self.bench = make_bench(self.home / f"bench{next(self.numbers)}")
		for script in (self.bench / "env/bin").iterdir():
			quicker = script.read_text().replace(sys.executable, f"{sys.executable} -IS", 1)
			script.write_text(quicker)
		names = unit_names(self.bench.name)
		self.WEB, self.SLOW, self.STUBBORN, self.CRASHING = names
		kinds = ProcessKind.WEB, ProcessKind.WORKER, ProcessKind.WORKER, ProcessKind.SCHEDULER
		self.KINDS = dict(zip(names, kinds, strict=True))
		self.addCleanup(self.end_units)
		self.ask("start", self.WEB, self.SLOW, self.STUBBORN)
		self.processes = SystemdProcesses(self.systemctl, str(self.bench), "a test")

	@classmethod
	def write_units(cls, bench: Path) -> None:
		program, (web, *_) = bench / "env/bin", unit_names(bench.name)
		commands = (
			f"{program}/gunicorn frappe.app:application waits",
			f"{program}/bench worker --queue long slow",
			f"{program}/bench worker-pool refuses",
			f"{program}/bench schedule crashes",
		)
		for name, command in zip(unit_names(bench.name), commands, strict=True):
			target = f"{bench.name}-{'web' if name == web else 'workers'}.target"
			lines = cls.lines.format(bench=bench, name=name)
			text = SERVICE.format(target=target, folder=bench / "sites", command=command, lines=lines)
			(cls.units() / name).write_text(text)

	def end_units(self) -> None:
		self.ask("kill", "--signal=KILL", *self.KINDS, check=False)
		self.ask("stop", *self.KINDS, check=False)

	@classmethod
	def units(cls) -> Path:
		raise NotImplementedError

	@classmethod
	def ask(cls, *words: str, check: bool = True) -> None:
		output = cls.systemctl.ask(*words)
		if check and output.code:
			raise AssertionError(output.errors)

	def group_of(self, name: str) -> str:
		return f"{self.bench.name}-{'web' if name == self.WEB else 'workers'}.target"

	def end_from_outside(self, name: str) -> None:
		self.ask("kill", "--signal=KILL", name)

	def test_it_is_found_by_its_units_and_shown_with_its_kind(self):
		(found,) = KIND.find(str(self.bench), {}, ()).found
		self.assertEqual({process.name: process.kind for process in found.processes.list()}, self.KINDS)
		(manager,), _ = known_managers(str(self.bench), {})
		self.assertEqual((manager.name, manager.kind, manager.fault), ("this machine", "systemd", ""))
		self.assertEqual(KIND.find(str(self.bench.parent / "other"), {}, ()).found, ())

	def test_one_that_ends_by_itself_is_started_again_and_one_that_was_told_to_stop_is_not(self):
		(self.units() / self.WEB).write_text(
			(self.units() / self.WEB).read_text() + "Restart=always\nRestartSec=50ms\n"
		)
		self.ask("daemon-reload")
		before = self.reach(self.WEB, ProcessState.RUNNING)
		os.kill(before.pid, 15)
		eventually(lambda: self.look(self.WEB).pid not in (None, before.pid), "it is back")
		after = self.reach(self.WEB, ProcessState.RUNNING)
		self.assertFalse(after.is_same_as(before))
		self.stop(self.WEB)
		self.reach(self.WEB, ProcessState.STOPPED)

	def test_the_new_lines_of_a_log_that_is_overwritten_are_told(self):
		log = self.bench / "logs/crashing.log"
		unit = self.units() / self.CRASHING
		unit.write_text(f"{unit.read_text()}StandardOutput=file:{log}\nStandardError=file:{log}\n")
		self.ask("daemon-reload")
		log.write_text("an old line\nanother one, which is longer than what comes\nthe last one\n")
		self.processes.list()
		self.processes.mark_log(self.CRASHING)
		self.assertEqual(self.processes.log_tail(self.CRASHING), "")
		self.start(self.CRASHING)
		self.reach(self.CRASHING, ProcessState.FAILED)
		self.assertEqual(self.processes.log_tail(self.CRASHING), "no database")
		# and of one that writes nothing, what systemd says
		unit.write_text(f"{unit.read_text()}StandardOutput=null\nStandardError=null\n")
		self.ask("daemon-reload")
		self.processes.list()
		self.ask("log-target", "journal")  # this one writes to its console else
		self.processes.mark_log(self.CRASHING)
		self.start(self.CRASHING)
		self.reach(self.CRASHING, ProcessState.FAILED)
		if not self.is_users:  # without a journal of its own
			eventually(lambda: "exited" in self.processes.log_tail(self.CRASHING), "it says so")

	def test_what_its_stop_does_to_a_running_job_is_told(self):
		told = {it.name: (it.stop_reaches_jobs, it.ends_leftovers) for it in self.processes.list()}
		self.assertEqual(set(told.values()), {(True, True)})
		for mode, expected in (("mixed", (False, True)), ("process", (False, False))):
			text = (self.units() / self.SLOW).read_text()
			(self.units() / self.SLOW).write_text(f"{text}KillMode={mode}\n")
			self.ask("daemon-reload")
			one = self.look(self.SLOW)
			self.assertEqual((one.stop_reaches_jobs, one.ends_leftovers), expected)
		settings = {it.name: it for it in self.processes.settings().programs}[self.SLOW]
		self.assertEqual((settings.stop_seconds, settings.stop_signal), (60.0, 15))
		self.assertEqual(settings.file, str(self.units() / self.SLOW))


@unittest.skipUnless(os.geteuid() == 0, "the machine's systemd takes orders from root")
class TestSystemManager(UnitsCase, unittest.TestCase):
	@classmethod
	def units(cls) -> Path:
		return Path("/etc/systemd/system")

	def log_of(self, name: str) -> str:
		return self.systemctl.journal("--output=cat", f"_SYSTEMD_UNIT={name}").text

	def test_someone_without_permission_is_told_the_rule_that_is_missing(self):
		told = self.orders_of_nobody()
		self.assertIn(f"user nobody may not stop and start {self.SLOW}, {self.STUBBORN}, {self.WEB} (", told)
		units = ", ".join(f'"{name}"' for name in (self.SLOW, self.STUBBORN, self.WEB))
		self.assertIn(f'subject.user == "nobody" &&\n      [{units}].indexOf(action.lookup("unit"))', told)
		self.assertIn(f"nobody ALL=(root) NOPASSWD: /usr/bin/systemctl --no-block stop {self.SLOW}, ", told)
		self.assertIn(": ProcessFault(", told)
		self.assertEqual({it.name for it in self.processes.list() if it.pid}, {*self.KINDS} - {self.CRASHING})

	@unittest.skipUnless(shutil.which("sudo"), "sudo is not there")
	def test_sudo_is_used_where_its_rules_name_each_order_and_need_no_password(self):
		rule = next(line for line in self.orders_of_nobody().splitlines() if line.startswith("nobody ALL="))
		before = self.look(self.WEB)
		# as bench setup sudoers, for a user who may do everything with a password
		self.allow("nobody ALL=(ALL:ALL) ALL", "nobody ALL=(root) NOPASSWD: /usr/sbin/nginx")
		told = self.orders_of_nobody()
		self.assertIn(f"user nobody may not stop and start {self.SLOW}", told)
		self.assertNotIn("sudo does not allow", told)  # nobody has meant it to
		self.allow("nobody ALL=(ALL:ALL) ALL", rule.replace(f"--no-block stop {self.WEB}", "--version"))
		lacking = f"sudo does not allow without a password: /usr/bin/systemctl --no-block stop {self.WEB})"
		self.assertIn(lacking, self.orders_of_nobody())
		self.assertTrue(self.look(self.WEB).is_same_as(before))
		self.allow(rule)
		self.assertEqual(self.orders_of_nobody(), "None\n{}\n")
		eventually(lambda: not self.look(self.SLOW).pid, "it was stopped")

	def allow(self, *rules: str) -> None:
		"""In place of what sudo allowed before."""
		file = Path("/etc/sudoers.d/bench-systemd")
		self.addCleanup(file.unlink, missing_ok=True)
		file.write_text("\n".join(rules) + "\n")

	def orders_of_nobody(self) -> str:
		"""What an ordinary user is told who asks whether all that runs may be ordered, and then stops one of it."""
		command = [*NOBODY, sys.executable, "-c", ORDERS, str(self.bench), self.SLOW]
		done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
		return done.stdout


@unittest.skipIf(os.geteuid() == 0, "a user's own systemd")
class TestUserManager(UnitsCase, unittest.TestCase):
	is_users = True
	lines = "StandardOutput=append:{bench}/logs/{name}.log"

	@classmethod
	def units(cls) -> Path:
		folder = Path(os.environ["XDG_RUNTIME_DIR"], "systemd/user")
		folder.mkdir(parents=True, exist_ok=True)
		return folder

	def log_of(self, name: str) -> str:
		file = self.bench / f"logs/{name}.log"
		return file.read_text() if file.exists() else ""


if __name__ == "__main__":
	unittest.main(verbosity=1)
