"""A real supervisord with a bench's programs, told well or badly."""

from __future__ import annotations

import socket
import time
import unittest
from pathlib import Path

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.managers.supervisor.discovery import find_supervisor
from fmx_restart.doctor.bench_view import BenchAccess, BenchView
from fmx_restart.doctor.checks.supervisor import RULES
from fmx_restart.doctor.registry import FIXES
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.ports import Worker, WorkerState
from fmx_restart.tests.adapters.benches import (
	ShownSupervisord,
	group,
	make_bench,
	program,
	short_folder,
	worker_in_terminal,
)
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.host_bench import look_at

CHECKS = (*RULES, "shell-wrapper", "program-group", "missing-workers")
#: As bench's own template has it, and what an example in circulation leaves out.
GOOD = {"stopwaitsecs": 360, "killasgroup": "true", "autorestart": "true", "startsecs": 0}


class SupervisorCase(unittest.TestCase):
	def setUp(self):
		self.home = short_folder(self)
		self.bench = make_bench(self.home / "bench")
		self.config: dict = {}
		self.workers: tuple[Worker, ...] = ()

	def worker(self, name: str, words: str, **settings) -> str:
		return program(
			name, f"{self.bench}/env/bin/bench {words} waits", folder=self.bench / "sites", **settings
		)

	def start(self, programs: str) -> ShownSupervisord:
		supervisord = ShownSupervisord(self.home, programs)
		self.addCleanup(supervisord.stop)
		supervisord.start()
		return supervisord

	def view(self, supervisord: ShownSupervisord) -> BenchView:
		ways = dict.fromkeys(BenchAccess.__dataclass_fields__)
		ways["processes"] = lambda: find_supervisor(
			str(self.bench), url=supervisord.url, environ={}, files=[]
		)
		ways["host"] = lambda: ThisHost(str(self.bench))
		ways["config"] = lambda: self.config
		view = BenchView(str(self.bench), "bench", BenchAccess(**ways))
		view.parts.get("look", lambda: look_at(view.host, *self.workers, managed=view.managed))
		return view

	def findings(self, supervisord: ShownSupervisord) -> dict[str, list]:
		found: dict[str, list] = {}
		for finding in run_checks(self.view(supervisord), CHECKS).findings:
			found.setdefault(finding.check, []).append(finding)
		return found


class TestSettings(SupervisorCase):
	def test_bench_own_template_is_clean(self):
		web = f"{self.bench}/env/bin/gunicorn --graceful-timeout 30 frappe.app:application waits"
		supervisord = self.start(
			self.worker("bench-frappe-short-worker", "worker --queue short,default", **GOOD)
			+ self.worker("bench-frappe-long-worker", "worker --queue long", **{**GOOD, "stopwaitsecs": 1560})
			+ self.worker("bench-frappe-schedule", "schedule")
			+ program("bench-frappe-web", web, folder=self.bench / "sites", **{**GOOD, "stopwaitsecs": 40})
			+ group(
				"bench-workers",
				"bench-frappe-short-worker",
				"bench-frappe-long-worker",
				"bench-frappe-schedule",
			)
			+ group("bench-web", "bench-frappe-web")
		)
		self.assertEqual(self.findings(supervisord), {})

	def test_an_example_in_circulation_kills_running_jobs(self):
		# Given 30, 60 and 300 s, two of one kind, and a pool, as many a guide has them
		two = {"numprocs": 2, "process_name": "%(program_name)s-%(process_num)d"}
		supervisord = self.start(
			self.worker("frappe-worker-short", "worker --queue short", stopwaitsecs=30, autorestart="true")
			+ self.worker(
				"frappe-worker-default", "worker --queue default", stopwaitsecs=60, autorestart="true", **two
			)
			+ self.worker(
				"frappe-worker-long", "worker-pool --queue long", stopwaitsecs=300, autorestart="true"
			)
		)
		found = self.findings(supervisord)
		# Then each program is told once, with what to write where
		self.assertEqual(set(found), {"stop-time", "kill-as-group"})
		told = {finding.subject.partition(":")[0]: finding for finding in found["stop-time"]}
		self.assertEqual(set(told), {"frappe-worker-short", "frappe-worker-default", "frappe-worker-long"})
		self.assertEqual({finding.severity for finding in found["stop-time"]}, {"error"})
		self.assertIn("300 s after", told["frappe-worker-long"].text)
		self.assertIn(
			f"stopwaitsecs=1560 in [program:frappe-worker-long] of {supervisord.config}",
			told["frappe-worker-long"].remedy,
		)

	def test_a_queue_of_ones_own_has_the_limit_that_its_configuration_says(self):
		self.config = {"workers": {"import": {"timeout": 7200}}}
		supervisord = self.start(self.worker("w", "worker --queue import", **{**GOOD, "stopwaitsecs": 1560}))
		[finding] = self.findings(supervisord)["stop-time"]
		self.assertIn("7200 s", finding.text)

	def test_a_worker_without_a_queue_serves_them_all(self):
		supervisord = self.start(self.worker("w", "worker", **GOOD))
		[finding] = self.findings(supervisord)["stop-time"]
		self.assertIn("1500 s", finding.text)

	def test_web_with_a_registered_worker_below_it_is_judged_as_a_worker(self):
		web = f"{self.bench}/env/bin/gunicorn --graceful-timeout 30 frappe.app:application waits"
		settings = {**GOOD, "stopwaitsecs": 40, "stopsignal": "QUIT"}
		supervisord = self.start(program("web", web, folder=self.bench / "sites", **settings))
		self.assertEqual(self.findings(supervisord), {})
		[process] = self.view(supervisord).processes
		host = ThisHost(str(self.bench))
		self.workers = (
			Worker("w", host.name, process.pid, ("long",), WorkerState.IDLE, None, time.time(), time.time()),
		)
		found = self.findings(supervisord)
		self.assertEqual(set(found), {"stop-time", "stop-signal"})
		self.assertIn("1500 s", found["stop-time"][0].text)

	def test_everything_that_can_be_told_wrongly_is_found(self):
		web = f"{self.bench}/env/bin/gunicorn frappe.app:application waits"
		supervisord = self.start(
			self.worker("hard", "worker --queue short", **{**GOOD, "stopsignal": "KILL"})
			+ self.worker("lazy", "worker --queue short", **{**GOOD, "autorestart": "false"})
			+ self.worker(
				"pool",
				"worker-pool --queue short",
				**{**GOOD, "stopasgroup": "true", "autorestart": "unexpected"},
			)
			+ program("web", web, folder=self.bench / "sites", autorestart="true")
		)
		found = self.findings(supervisord)
		self.assertEqual(
			{check: sorted(finding.subject for finding in findings) for check, findings in found.items()},
			{
				"stop-signal": ["hard"],
				"autorestart": ["lazy", "pool"],
				"stop-as-group": ["pool"],
				"graceful-timeout": ["web"],
				"kill-as-group": ["web"],
			},
		)

	def test_a_file_that_may_not_be_read_makes_no_finding_of_what_only_it_tells(self):
		supervisord = self.start(
			self.worker("lazy", "worker --queue short", **{**GOOD, "autorestart": "false"})
		)
		supervisord.config.unlink()
		self.assertEqual(self.findings(supervisord), {})


class TestShell(SupervisorCase):
	def wrapped(self, script: str) -> dict[str, list]:
		"""A script's name tells nothing, so it is its group that tells whose it is."""
		file = self.home / "wrapper.sh"
		file.write_text(script.format(bench=f"{self.bench}/env/bin/bench worker --queue short waits"))
		supervisord = self.start(
			program("w", f"/bin/sh {file}", folder=self.bench / "sites", **GOOD)
			+ self.worker("other", "worker --queue short", **GOOD)
			+ group("g", "w", "other")
		)
		eventually(lambda: self.has_begun(supervisord), "the worker runs")
		return self.findings(supervisord)

	def has_begun(self, supervisord: ShownSupervisord) -> bool:
		return any("ready" in log.read_text() for log in Path(supervisord.folder).glob("w-stdout*.log"))

	def test_a_shell_that_waits_for_its_worker_swallows_the_order_to_stop(self):
		self.assertEqual(set(self.wrapped("{bench}\necho over\n")), {"shell-wrapper"})

	def test_a_shell_that_makes_way_is_none(self):
		self.assertEqual(self.wrapped("exec {bench}\n"), {})

	def test_a_shell_that_takes_care_of_the_order_itself_is_none(self):
		self.assertEqual(self.wrapped("trap 'kill $!; wait' TERM\n{bench} &\nwait\n"), {})


class TestWhichPrograms(SupervisorCase):
	def test_a_worker_outside_the_groups_that_bench_restarts_is_named(self):
		web = f"{self.bench}/env/bin/gunicorn frappe.app:application waits"
		supervisord = self.start(
			self.worker("inside", "worker --queue short", **GOOD)
			+ self.worker("outside", "worker --queue short", **GOOD)
			+ program("web", web, folder=self.bench / "sites", **{**GOOD, "stopwaitsecs": 40})
			+ group("bench-workers", "inside")
			+ group("bench-web", "web")
		)
		found = self.findings(supervisord)
		self.assertEqual(
			{check: [it.subject for it in its] for check, its in found.items()},
			{"program-group": ["outside"]},
		)

	def test_a_queue_whose_only_worker_was_started_by_hand_is_named(self):
		self.config = {"workers": {"email": {"timeout": 300}, "import": {}, "far": {}}}
		supervisord = self.start(self.worker("w", "worker --queue short,email", **GOOD))
		here, me = socket.gethostname(), worker_in_terminal(self, self.bench).pid
		self.workers = (
			Worker("a", here, me, ("short", "import"), WorkerState.IDLE, None, time.time(), time.time()),
			Worker("b", "elsewhere", 1, ("far",), WorkerState.IDLE, None, time.time(), time.time()),
		)
		[finding] = self.findings(supervisord)["missing-workers"]
		self.assertEqual(finding.subject, "import")


class TestLines(SupervisorCase):
	def test_the_lines_are_written_to_a_file_and_with_it_supervisor_does_well(self):
		# Given programs that are told badly, in a file that supervisord includes
		folder = self.home / "conf.d"
		folder.mkdir()
		(folder / "bench.conf").write_text(
			self.worker("w", "worker --queue long", autorestart="false", stopwaitsecs=30)
		)
		supervisord = self.start(f"[include]\nfiles = {folder}/*.conf\n")
		self.assertEqual(set(self.findings(supervisord)), {"stop-time", "kill-as-group", "autorestart"})
		before = (folder / "bench.conf").read_text()
		# When the fix is made, and an administrator does what the file says
		[step] = FIXES.all()["supervisor-lines"](self.view(supervisord))
		told = step.act()
		[written] = (self.bench / "config/fmx_restart").iterdir()
		self.assertIn(str(written), told)
		self.assertEqual((folder / "bench.conf").read_text(), before)
		supervisord.stop()
		(folder / written.name).write_text(written.read_text())
		supervisord.start()
		# Then nothing is left to say
		self.assertEqual(self.findings(supervisord), {})

	def test_where_nothing_lacks_nothing_is_written(self):
		supervisord = self.start(self.worker("w", "worker --queue short", **GOOD))
		self.assertEqual(list(FIXES.all()["supervisor-lines"](self.view(supervisord))), [])
