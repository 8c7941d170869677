"""Real processes of a bench that lost their parent; and all those that did not, or are not the bench's."""

from __future__ import annotations

import os
import socket
import sys
import unittest

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import Orphan, Role, find_orphans, role_of
from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.doctor.checks import leftovers
from fmx_restart.doctor.registry import FIXES
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Worker, WorkerState
from fmx_restart.tests.adapters.benches import make_bench, worker_in_terminal
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.host_bench import REFUSES, HostTestCase, look_at

HELPER = ("frappe.utils.bench_helper", "frappe")
READY = "print('ready', flush=True)"


def no_manager():
	raise WrongEnvironment("no supervisord was found", hint="")


class OrphansCase(HostTestCase):
	def setUp(self):
		super().setUp()
		self.ways |= {"host": lambda: ThisHost(str(self.bench)), "processes": no_manager}
		self.workers: list[Worker] = []

	def view(self):
		view = super().view()
		view.parts.get("look", lambda: look_at(view.host, *self.workers))
		return view

	def subjects(self) -> dict[str, str]:
		return {finding.subject: finding.text for finding in self.findings("orphans")}


class TestOrphans(OrphansCase):
	def test_every_kind_of_process_that_lost_its_parent_is_found_with_its_memory(self):
		browser = self.bench / "chromium"
		browser.symlink_to(sys.executable)
		launched = {
			self.launch(program=browser): "A browser",
			self.launch(*HELPER, "schedule"): "A scheduler",
			self.launch(*HELPER, "worker", "--queue", "long"): "A process of a job",
			self.launch(str(self.bench / "env/bin/gunicorn"), "frappe.app:application"): "A web server",
		}
		texts = self.subjects()
		self.assertEqual(set(texts), {f"pid {pid}" for pid in launched})
		for pid, expected in launched.items():
			self.assertTrue(texts[f"pid {pid}"].startswith(expected), texts)
			self.assertRegex(texts[f"pid {pid}"], r"It has run for [\d.]+ s and uses \d+ MB\.$")

	def test_a_worker_that_redis_knows_takes_jobs_and_is_an_error(self):
		pid = self.launch(*HELPER, "worker")
		[job] = self.findings("orphans")
		self.workers.append(
			Worker("w", socket.gethostname(), pid, ("short",), WorkerState.IDLE, None, 0.0, 0.0)
		)
		[known] = self.findings("orphans")
		self.assertEqual((job.severity, known.severity), ("warning", "error"))
		self.assertIn("takes jobs", known.text)

	def test_it_is_the_benchs_by_its_folder_its_words_or_its_environment(self):
		words = self.launch(str(self.bench / "env/bin/python"), *HELPER, "worker", folder=self.home)
		told = self.launch(
			*HELPER, "worker", folder=self.home, env={**os.environ, "FRAPPE_BENCH_ROOT": str(self.bench)}
		)
		self.assertEqual(set(self.subjects()), {f"pid {words}", f"pid {told}"})

	def test_what_is_another_benchs_or_something_else_is_not_touched(self):
		other = make_bench(self.home / "bench2")
		self.launch(*HELPER, "worker", folder=other / "sites")
		self.launch(str(self.bench / "env/bin/python"), *HELPER, "worker", folder=other / "sites")
		self.launch(*HELPER, "safe-restart", "--wait-workers")
		self.launch(*HELPER, "migrate")
		self.launch("redis-server", str(self.bench / "config/redis_queue.conf"))
		self.launch(*HELPER, "worker", folder=self.home)
		self.assertEqual(self.subjects(), {})

	def test_a_worker_in_a_terminal_has_a_parent(self):
		worker_in_terminal(self, self.bench)
		self.assertEqual(self.subjects(), {})


class TestFix(OrphansCase):
	def test_each_orphan_is_a_step_of_its_own_and_ends_with_what_it_started(self):
		# Given one that obeys, and one that does not and has a child
		parent = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {REFUSES!r}])\n{REFUSES}"
		obeys, refuses = self.launch(*HELPER, "worker"), self.launch(*HELPER, "schedule", code=parent)
		eventually(lambda: len(psutil.Process(refuses).children()) == 1, "it has a child")
		[child] = psutil.Process(refuses).children()
		eventually(lambda: is_deaf(child.pid) and is_deaf(refuses), "they take no TERM")
		view = self.view()
		# When the fix is made
		steps = list(FIXES.all()["end-orphans"](view))
		self.assertEqual(len(steps), 2)
		told = {
			orphan.pid: leftovers.end(view, orphan, grace=0.3) for orphan in leftovers.find_orphans_of(view)
		}
		# Then all are gone, and it is told how
		self.assertNotIn("KILL", told[obeys])
		self.assertIn("KILL", told[refuses])
		self.assertFalse(any(view.host.family(pid) for pid in (obeys, refuses, child.pid)))

	def test_one_that_is_gone_or_no_orphan_any_more_is_left_alone(self):
		pid = self.launch(*HELPER, "worker")
		view = self.view()
		[step] = FIXES.all()["end-orphans"](view)
		psutil.Process(pid).kill()
		eventually(lambda: not view.host.family(pid), "it is gone")
		self.assertIn("nothing was done", step.act())


def is_deaf(pid: int) -> bool:
	"""Whether it ignores TERM by now."""
	ignored = next(line for line in open(f"/proc/{pid}/status") if line.startswith("SigIgn"))  # noqa: PTH123, SIM115
	return bool(int(ignored.split()[1], 16) >> 14 & 1)


class TestContainers(OrphansCase):
	"""What PID 1 is differs from container to container; the bench's process is a real one."""

	def orphans(self, init: str, managed: set[int] | None = None) -> list[Orphan]:
		pid = self.launch(*HELPER, "worker")
		process = psutil.Process(pid)
		rows = [
			Row(1, 0, init, (init,), 1.0, 0),
			Row(pid, 1, "python", tuple(process.cmdline()), 3.0, 0),
		]
		if init in ("tini", "docker-init"):
			rows.insert(1, Row(2, 1, "bench", ("bench", "start"), 2.0, 0))
		managed = {pid} if managed == {0} else managed
		return find_orphans(BenchFolder(str(self.bench)), ProcessTable(rows), managed)

	def test_a_child_of_supervisord_that_it_does_not_know_is_an_orphan(self):
		self.assertEqual(len(self.orphans("supervisord", set())), 1)

	def test_a_child_that_supervisord_knows_is_none_and_without_its_word_nobody_is(self):
		self.assertEqual(self.orphans("supervisord", {0}), [])
		self.assertEqual(self.orphans("supervisord", None), [])

	def test_a_worker_as_pid_1_has_horses_of_its_own(self):
		self.assertEqual(self.orphans("python", None), [])
		self.assertEqual(self.orphans("honcho", None), [])

	def test_an_init_for_containers_adopts_all_but_the_first(self):
		self.assertEqual(len(self.orphans("tini", None)), 1)

	def test_the_first_child_of_such_an_init_is_what_the_container_is_for(self):
		pid = self.launch(*HELPER, "worker")
		process = psutil.Process(pid)
		rows = [Row(1, 0, "tini", ("tini",), 1.0, 0), Row(pid, 1, "python", tuple(process.cmdline()), 2.0, 0)]
		self.assertEqual(find_orphans(BenchFolder(str(self.bench)), ProcessTable(rows), None), [])


class TestRoles(unittest.TestCase):
	def test_words_tell_what_a_process_is_for(self):
		for command, expected in (
			("env/bin/python -m frappe.utils.bench_helper frappe worker --queue short", Role.WORKER),
			("env/bin/python -m frappe.utils.bench_helper frappe worker-pool", Role.WORKER),
			("rq:worker:abc: Forked 12 at 1700000000", Role.WORKER),
			("env/bin/python env/bin/gunicorn -b 127.0.0.1:8000 frappe.app:application", Role.WEB),
			("gunicorn: worker [frappe.app:application]", Role.WEB),
			("/usr/bin/node apps/frappe/socketio.js", Role.REALTIME),
			("/usr/bin/node apps/frappe/realtime/index.js", Role.REALTIME),
			("/usr/lib/chromium/chromium --headless --print-to-pdf", Role.BROWSER),
			("wkhtmltopdf --quiet - out.pdf", Role.BROWSER),
			("vim apps/frappe/socketio.js", None),
			("grep -r gunicorn .", None),
			("env/bin/python -m frappe.utils.bench_helper frappe migrate", None),
			("redis-server *:11000", None),
			("", None),
		):
			with self.subTest(command):
				self.assertEqual(role_of(command.split()), expected)
