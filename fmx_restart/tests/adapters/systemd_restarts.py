"""
What runs inside a nested machine: whole restarts of real RQ workers, in units as bench writes them, under load.
test_systemd.py begins it there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from development.managers.supervisor import Supervisor
from fmx_restart.adapters.managers.systemd import sudo
from fmx_restart.adapters.managers.systemd.systemctl import PAUSE, Systemctl
from fmx_restart.adapters.managers.systemd.units import is_main_process
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.adapters.ordinary_user import give, in_child
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.restart_case import RestartCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs

UNITS = Path("/etc/systemd/system")
#: bench's own template (frappe-bench-frappe-short-worker@.service), but for its user and its log
WORKER = """\
[Unit]
Description="bench-frappe-{queue}-worker %I"
PartOf=bench-workers.target
[Service]
Restart=always
Environment=PYTHONPATH={checkout} PYTHONDONTWRITEBYTECODE=1
ExecStart={command}
WorkingDirectory={folder}
{lines}
"""
TARGET = "[Unit]\nWants={names}\n"
QUEUES = ("short", "long")
NOBODY = 65534
Result = TypeVar("Result")
STRATEGIES = [Strategy.WAIT_WORKERS, Strategy.ROLLING, *([Strategy.NO_WAIT_WORKERS] if IS_LONG_RUN else [])]


class SystemdRestartCase(RestartCase):
	has_port = True
	lines = ""  # of each service

	def setUp(self) -> None:
		super().setUp()
		self.systemctl = Systemctl()
		self.names = [f"bench-frappe-{queue}-worker@1.service" for queue in QUEUES]
		for queue in QUEUES:
			self.write(queue, shlex.join(self.rq.worker_command(queue)), self.lines)
		(UNITS / "bench-workers.target").write_text(TARGET.format(names=" ".join(self.names)))
		self.ask("daemon-reload")
		self.addCleanup(self.end)
		self.ask("start", "bench-workers.target")
		self.registered(len(QUEUES))

	def write(self, queue: str, command: str, lines: str = "") -> None:
		text = WORKER.format(
			queue=queue, checkout=CHECKOUT, command=command, folder=self.bench / "sites", lines=lines
		)
		(UNITS / f"bench-frappe-{queue}-worker@.service").write_text(text)

	def end(self) -> None:
		self.systemctl.ask("kill", "--signal=KILL", *self.names)
		self.ask("stop", *self.names, "bench-workers.target")

	def ask(self, *words: str) -> None:
		output = self.systemctl.ask(*words)
		self.assertEqual(output.code, 0, output.errors)


class TestRestarts(SystemdRestartCase):
	def test_under_load_no_job_is_lost_and_none_runs_twice(self):
		before = self.programs()
		self.assertEqual(before.keys(), set(self.names))
		self.assertTrue(all(process.stop_reaches_jobs for process in before.values()))
		self.restart_in_turn(STRATEGIES)

	def test_a_job_ends_by_itself_although_the_units_stop_would_reach_it(self):
		self.run_busy("job-1")
		before = self.programs()

		def let_go(event: events.Event) -> None:
			if isinstance(event, events.ProcessUp):  # the other worker is new: this one was told, too
				self.rq.finish("job-1")

		self.note = let_go
		report = self.operation(Strategy.SUSPEND_RQ, force_kill_timeout=30.0).run()
		self.assertEqual(
			(report.outcome, report.account.lost, report.account.interrupted), (Phase.DONE, [], [])
		)
		self.assertTrue(self.rq.queue("short").fetch_job("job-1").is_finished)
		self.assertEqual(self.runs("job-1"), b"1")
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])

	@in_long_runs("a restart through systemd")
	def test_a_unit_that_does_not_start_is_named_with_the_end_of_its_journal(self):
		script = self.bench / "env/bin/bench"
		working = script.read_text()
		self.addCleanup(script.write_text, working)
		operation = self.operation(Strategy.WAIT_WORKERS)
		script.write_text("import sys; sys.exit('no database')")
		with self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		failed = [event for event in self.facts if isinstance(event, events.ProcessFailed)]
		self.assertEqual({event.name for event in failed}, set(self.names))
		for event in failed:
			self.assertIn("no database", event.log_tail)
			self.assertRegex(event.reason, "it ended|did not stay up|does not stay up")
		self.assertIsNone(self.admin.get("rq:suspended"))


FREEZER = Path("/sys/fs/cgroup/init.scope/cgroup.freeze")  # of the first process: systemd itself


def freeze(*, hangs: bool) -> None:
	"""Nobody may send it a signal that stops it; the kernel does."""
	FREEZER.write_text(str(int(hangs)))


class HangingCase(SystemdRestartCase):
	lease = 30.0  # as everywhere: one question waits for 5 s

	def freeze(self, *, hangs: bool) -> None:
		raise NotImplementedError

	def hang_at_first(self, fact: type[events.Event], *, until: type[events.Event] | None = None) -> None:
		"""From the first such event on, and until another one."""

		def follow(event: events.Event) -> None:
			is_first = isinstance(event, fact) and not self.told(fact)
			self.facts.append(event)
			if is_first or (until and isinstance(event, until)):
				self.freeze(hangs=is_first)

		self.note = follow

	@contextmanager
	def supervisor(self) -> Iterator[str]:
		"""One that runs another worker of the bench. Yields the name of that program."""
		supervisor = Supervisor(self.bench / "config", self.bench / "config")
		environment = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
		try:
			supervisor.up("more", self.rq.worker_command("long"), self.bench / "sites", environment, 1)
			self.registered(len(QUEUES) + 1)
			(more,) = [name for name in self.programs() if "more" in name]
			yield more
		finally:
			supervisor.down()


class TestHanging(HangingCase):
	def setUp(self) -> None:
		super().setUp()
		self.addCleanup(self.let_go)

	def freeze(self, *, hangs: bool) -> None:
		freeze(hangs=hangs)

	def let_go(self) -> None:
		freeze(hangs=False)
		eventually(self.answers, "it is asked again, and answers")

	def answers(self) -> bool:
		with suppress(ProcessFault):
			return bool(self.systemctl.show(self.names, ["Id"]))
		return False

	def test_no_question_waits_for_long_and_it_is_asked_again_later(self):
		systemctl, pids = Systemctl(), [program.pid for program in self.programs().values()]
		freeze(hangs=True)
		with self.assertRaisesRegex(ProcessFault, r"did not answer within 0\.2 s") as caught:
			systemctl.show(self.names, ["Id"], timeout=0.2)
		self.assertIn("systemctl status", caught.exception.hint)
		with self.assertRaises(WrongEnvironment) as refused:
			self.managers()
		self.assertIn("systemd (system): systemd did not answer within", str(refused.exception))
		began = time.monotonic()
		self.assertEqual(
			set(map(is_main_process, pids * 20)), {True}
		)  # nobody is an orphan who cannot be told
		self.assertLess(time.monotonic() - began, 0.2)
		self.let_go()

	@in_long_runs("a systemd that hangs for a moment")
	def test_one_that_hangs_in_the_middle_is_waited_for(self):
		before = self.programs()
		self.hang_at_first(events.ProcessDown, until=events.ManagerAway)
		with self.counted_load():
			report = self.operation(Strategy.WAIT_WORKERS).run()
		self.assertIn("did not answer within", self.told(events.ManagerAway)[0].reason)
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])

	@in_long_runs("a systemd that hangs for a moment")
	def test_where_one_hangs_for_good_the_programs_of_another_manager_are_restarted(self):
		with self.supervisor() as more:
			before = self.programs()
			self.hang_at_first(events.ProcessDown)
			with self.assertRaises(ProcessFault) as caught:
				self.operation(Strategy.WAIT_WORKERS).run()
			self.let_go()
			self.assertFalse(self.programs()[more].is_same_as(before[more]))
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertIn("has not answered for 60 s", str(caught.exception))
		self.assertIn("systemctl start bench-frappe-", caught.exception.hint)
		self.assertIsNone(self.admin.get("rq:suspended"))


class OrdinaryUserCase(HangingCase):
	"""Of an ordinary user, whose worker units have that user, and whom sudo allows to order them."""

	lines = "User=nobody\nGroup=nogroup"

	def setUp(self) -> None:
		super().setUp()
		rules = Path("/etc/sudoers.d/bench-systemd")
		rules.write_text(f"{sudo.rule('nobody', self.names)}\n")
		self.addCleanup(rules.unlink)
		give(self.bench, NOBODY)

	def as_nobody(self, work: Callable[[], Result]) -> Result:
		return in_child(work, before=lambda: (os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY)))


class TestHangingBus(OrdinaryUserCase):
	"""Root reaches systemd without D-Bus; everybody else does not."""

	def setUp(self) -> None:
		super().setUp()
		self.ask("start", "dbus.service")
		path = "/sys/fs/cgroup/system.slice/dbus.service/cgroup.freeze"
		self.freezer = os.open(path, os.O_WRONLY)  # root's, also in the hand of its child
		self.addCleanup(os.close, self.freezer)
		self.addCleanup(self.freeze, hangs=False)

	def freeze(self, *, hangs: bool) -> None:
		os.write(self.freezer, str(int(hangs)).encode())

	def test_it_is_named_in_place_of_systemd_with_what_to_type(self):
		self.freeze(hangs=True)
		(told, hint, seconds), refused = self.as_nobody(lambda: (self.silence(), self.refusal()))
		self.assertEqual(
			told,
			"D-Bus (dbus.service) did not answer within 0.2 s, and user nobody reaches systemd through it",
		)
		self.assertIn("sudo systemctl status dbus.service", hint)
		self.assertLess(seconds, 2.0)
		self.assertRegex(refused, r"systemd \(system\): D-Bus \(dbus.service\) did not answer within")
		self.assertEqual(set(self.programs()), set(self.names))  # root sees them
		self.freeze(hangs=False)
		self.assertEqual(self.as_nobody(lambda: set(self.programs())), set(self.names))

	def silence(self) -> tuple[str, str, float]:
		began = time.monotonic()
		try:
			Systemctl().show(self.names, ["Id"], timeout=0.2)
		except ProcessFault as fault:
			return str(fault), fault.hint, time.monotonic() - began
		raise AssertionError("it answered")

	def refusal(self) -> str:
		try:
			self.managers()
		except WrongEnvironment as refused:
			return str(refused)
		raise AssertionError("it answered")

	@in_long_runs("a systemd that hangs for a moment")
	def test_one_that_hangs_in_the_middle_is_waited_for(self):
		before = self.programs()
		with self.counted_load():
			outcome, lost, told = self.as_nobody(self.restart_while_it_hangs)
		self.assertEqual((outcome, lost), ("Done", []))
		self.assertIn("D-Bus (dbus.service) did not answer within", told)
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])

	def restart_while_it_hangs(self) -> tuple[str, list, str]:
		self.hang_at_first(events.ProcessDown, until=events.ManagerAway)
		report = self.operation(Strategy.WAIT_WORKERS).run()
		return report.outcome.value, report.account.lost, self.told(events.ManagerAway)[0].reason

	@in_long_runs("a systemd that hangs for a moment")
	def test_where_it_hangs_for_good_the_programs_of_another_manager_are_restarted(self):
		code, told, is_new = self.as_nobody(self.restart_beside_a_supervisor)
		self.assertEqual(code, 4)
		self.assertIn("D-Bus (dbus.service) did not answer within", told)
		self.assertIn("has not answered for 60 s", told)
		self.assertTrue(is_new)
		self.assertIsNone(self.admin.get("rq:suspended"))

	def restart_beside_a_supervisor(self) -> tuple[int, str, bool]:
		with self.supervisor() as more:
			before = self.programs()[more]
			self.hang_at_first(events.ProcessDown)
			try:
				self.operation(Strategy.WAIT_WORKERS).run()
			except ProcessFault as fault:
				self.freeze(hangs=False)
				time.sleep(PAUSE)
				return fault.exit_code, str(fault), not self.programs()[more].is_same_as(before)
			raise AssertionError("nothing hung")


class TestBySudo(OrdinaryUserCase):
	@in_long_runs("a restart through systemd")
	@unittest.skipUnless(shutil.which("sudo"), "sudo is not there")
	def test_an_ordinary_user_restarts_what_sudo_allows(self):
		before = self.programs()
		outcomes = self.as_nobody(self.restart)
		self.assertEqual(outcomes, [("Done", [])] * 2)
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])

	def restart(self) -> list[tuple[str, list]]:
		reports = [self.operation(strategy).run() for strategy in (Strategy.WAIT_WORKERS, Strategy.ROLLING)]
		return [(report.outcome.value, report.account.lost) for report in reports]


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
