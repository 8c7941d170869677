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
from contextlib import suppress
from pathlib import Path

from development.managers.supervisor import Supervisor
from fmx_restart.adapters.managers.systemd import sudo
from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
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


class TestHanging(SystemdRestartCase):
	lease = 30.0  # as everywhere: one question waits for 5 s

	def setUp(self) -> None:
		super().setUp()
		self.addCleanup(self.let_go)

	def let_go(self) -> None:
		freeze(hangs=False)
		eventually(self.answers, "it is asked again, and answers")

	def answers(self) -> bool:
		with suppress(ProcessFault):
			return bool(self.systemctl.show(self.names, ["Id"]))
		return False

	def hang_at_first(self, fact: type[events.Event], *, until: type[events.Event] | None = None) -> None:
		"""From the first such event on, and until another one."""

		def follow(event: events.Event) -> None:
			is_first = isinstance(event, fact) and not self.told(fact)
			self.facts.append(event)
			if is_first or (until and isinstance(event, until)):
				freeze(hangs=is_first)

		self.note = follow

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
		supervisor = Supervisor(self.bench / "config", self.bench / "config")
		self.addCleanup(supervisor.down)
		environment = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
		supervisor.up("more", self.rq.worker_command("long"), self.bench / "sites", environment, 1)
		self.registered(len(QUEUES) + 1)
		before = self.programs()
		self.hang_at_first(events.ProcessDown)
		with self.assertRaises(ProcessFault) as caught:
			self.operation(Strategy.WAIT_WORKERS).run()
		self.let_go()
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertIn("has not answered for 60 s", str(caught.exception))
		self.assertIn("systemctl start bench-frappe-", caught.exception.hint)
		self.assertIsNone(self.admin.get("rq:suspended"))
		(more,) = [name for name in before if "more" in name]
		self.assertFalse(self.programs()[more].is_same_as(before[more]))


class TestBySudo(SystemdRestartCase):
	"""Of an ordinary user, whose worker units have that user."""

	lines = "User=nobody\nGroup=nogroup"

	@in_long_runs("a restart through systemd")
	@unittest.skipUnless(shutil.which("sudo"), "sudo is not there")
	def test_an_ordinary_user_restarts_what_sudo_allows(self):
		rules = Path("/etc/sudoers.d/bench-systemd")
		rules.write_text(f"{sudo.rule('nobody', self.names)}\n")
		self.addCleanup(rules.unlink)
		give(self.bench, NOBODY)
		before = self.programs()
		outcomes = in_child(
			self.restart, before=lambda: (os.setgroups([]), os.setgid(NOBODY), os.setuid(NOBODY))
		)
		self.assertEqual(outcomes, [("Done", [])] * 2)
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])

	def restart(self) -> list[tuple[str, list]]:
		reports = [self.operation(strategy).run() for strategy in (Strategy.WAIT_WORKERS, Strategy.ROLLING)]
		return [(report.outcome.value, report.account.lost) for report in reports]


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
