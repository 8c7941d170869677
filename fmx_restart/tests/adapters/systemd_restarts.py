"""
What runs inside a nested machine: whole restarts of real RQ workers, in units as bench writes them, under load.
test_systemd.py begins it there.
"""

from __future__ import annotations

import os
import shlex
import unittest
from pathlib import Path

from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.adapters.load import Load
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
		with Load(lambda id, queue: self.rq.enqueue(id, queue, kwargs={"counts": True})) as load:
			eventually(lambda: any(map(self.runs, load.ids)), "jobs run")
			for strategy in STRATEGIES:
				report = self.operation(strategy).run()
				self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []), strategy)
				after = self.programs()
				self.assertFalse([name for name, one in after.items() if one.is_same_as(before[name])])
				before = after
		eventually(lambda: all(map(self.runs, load.ids)), "each job has run")
		self.assertEqual(set(map(self.runs, load.ids)), {b"1"})
		self.assertGreater(len(load.ids), 5)

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


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
