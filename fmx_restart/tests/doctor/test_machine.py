"""Memory, the kernel's log, and what a container's PID 1 does with the order to stop."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import skipUnless

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import (
	Memory,
	journal_records,
	kernel_lines,
	kill_in,
	oom_kills,
	read_kmsg,
	read_memory,
	records_in,
)
from fmx_restart.adapters.redis_queue.look import QueueSurvey
from fmx_restart.doctor.checks.memory import kill_text
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.ports import Worker, WorkerState
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.host_bench import HostTestCase, look_at
from fmx_restart.tests.doctor.test_orphans import HELPER, no_manager

GIGABYTE = 2**30
CHECKOUT = Path(__file__).parents[3]
#: A worker with a job whose process takes 60 MB more, and goes when its worker does.
BUSY = """
import os, signal, time
worker = os.getpid()
if os.fork() == 0:
	ballast = bytearray(os.urandom(1 << 20)) * 60
	while os.getppid() == worker:
		time.sleep(0.2)
	os._exit(0)
while True:
	signal.pause()
"""


class TestMemory(HostTestCase):
	def setUp(self):
		super().setUp()
		self.memory = Memory(8 * GIGABYTE, 4 * GIGABYTE)
		self.workers: list[Worker] = []
		self.ways |= {"host": lambda: ThisHost(str(self.bench)), "processes": no_manager}

	def view(self):
		view = super().view()
		view.parts.get("memory", lambda: self.memory)
		view.parts.get("look", lambda: look_at(view.host, *self.workers))
		return view

	def names(self) -> list[str]:
		return [finding.check for finding in self.findings("memory-low", "too-many-workers")]

	def start_worker(self) -> None:
		pid = self.launch(*HELPER, "worker", code=BUSY)
		self.workers.append(
			Worker(str(pid), socket.gethostname(), pid, ("short",), WorkerState.BUSY, "1", 0.0, 0.0)
		)

	def test_memory_enough_is_clean(self):
		self.start_worker()
		self.assertEqual(self.names(), [])

	def test_memory_that_is_nearly_used_up_is_told(self):
		self.memory = Memory(8 * GIGABYTE, GIGABYTE // 4)
		self.assertEqual(self.names(), ["memory-low"])

	def test_workers_that_could_take_more_than_there_is_are_told(self):
		# Given two workers with a job of 60 MB and more each
		for _ in range(2):
			self.start_worker()
		self.memory = Memory(110 * 2**20, 100 * 2**20, is_limited=True)
		eventually(lambda: "too-many-workers" in self.names(), "both jobs have taken their memory")
		[finding] = self.findings("too-many-workers")
		self.assertIn("2 workers", finding.text)
		self.assertIn("its limit", finding.text)

	def test_a_queue_that_waits_while_memory_and_processors_are_idle_wants_another_worker(self):
		self.start_worker()
		waits = QueueSurvey("short", 9, 0, 0, 0, 0, 0, 0, (), None, 9, ())
		for load, oldest, memory, expected in (
			(0.2, 700, Memory(8 * GIGABYTE, 7 * GIGABYTE), ["too-few-workers"]),
			(1.5, 700, Memory(8 * GIGABYTE, 7 * GIGABYTE), []),
			(0.2, 30, Memory(8 * GIGABYTE, 7 * GIGABYTE), []),
			(0.2, 700, Memory(8 * GIGABYTE, 2 * GIGABYTE), []),
		):
			with self.subTest(load=load, oldest=oldest, memory=memory):
				self.memory = memory
				view = self.view()
				view.parts.get("load", lambda load=load: load)
				survey = replace(waits, oldest=time.time() - oldest)
				view.parts.get("surveys", lambda survey=survey: [survey])
				found = run_checks(view, ["too-few-workers"]).findings
				self.assertEqual([finding.check for finding in found], expected, found)

	def test_a_limit_of_a_group_is_one_for_us_and_none_is_none(self):
		groups, own = self.home / "cgroup", self.home / "own"
		(groups / "a/b").mkdir(parents=True)
		own.write_text("0::/a/b\n")
		(groups / "a/b/memory.max").write_text("max\n")
		self.assertFalse(read_memory(groups, own).is_limited)
		(groups / "a/memory.max").write_text(f"{2**20}\n")
		(groups / "a/memory.current").write_text(f"{2**19}\n")
		self.assertEqual(read_memory(groups, own), Memory(2**20, 2**19, is_limited=True))

	def test_the_unlimited_of_an_older_kernel_is_none(self):
		groups, own = self.home / "cgroup", self.home / "own"
		(groups / "memory").mkdir(parents=True)
		own.write_text("4:memory:/\n")
		(groups / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
		self.assertFalse(read_memory(groups, own).is_limited)


KILLS = (
	(
		"Out of memory: Killed process 2183 (python3) total-vm:9000kB, anon-rss:8192kB, file-rss:0kB, shmem-rss:0kB, "
		"UID:1000 pgtables:100kB oom_score_adj:0",
		("python3", 2183, 8192 * 1024, False),
	),
	(
		"Memory cgroup out of memory: Killed process 77 (redis-server) total-vm:9000kB, anon-rss:4kB, file-rss:0kB",
		("redis-server", 77, 4096, True),
	),
	("Out of memory: Kill process 5 (node (x)) score 900 or sacrifice child", ("node (x)", 5, None, False)),
	("oom_reaper: reaped process 2183 (python3), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB", None),
	("python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", None),
	("idle-reclaim (86): drop_caches: 1", None),
)


def may_read_kernel_log() -> bool:
	"""Its file's mode does not tell: with kernel.dmesg_restrict it is root's."""
	try:
		os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
	except OSError:
		return False
	return True


class TestKernelLog(unittest.TestCase):
	def test_who_was_killed_is_told_by_the_kernels_own_lines(self):
		for text, expected in KILLS:
			with self.subTest(text):
				kill = kill_in((1.0, text))
				found = kill and (kill.name, kill.pid, kill.memory, kill.is_group_limit)
				self.assertEqual(found, expected)

	def test_what_others_wrote_into_the_kernels_log_is_not_its_own(self):
		lines = [f"3,101,5000000,-;{KILLS[0][0]}\n", f"11,102,6000000,-;{KILLS[1][0]}\n", " SUBSYSTEM=x\n"]
		self.assertEqual(list(records_in(lines, 100.0)), [(105.0, f"{KILLS[0][0]}")])

	def test_the_journals_format_is_read_too(self):
		lines = [
			f"1759000428.368000 app kernel: {KILLS[0][0]}",
			"-- Boot 123 --",
			"1759000429.0 app kernel: x",
		]
		self.assertEqual([instant for instant, _ in journal_records(lines)], [1759000428.368, 1759000429.0])
		self.assertEqual(kill_in(next(journal_records(lines))).pid, 2183)

	def test_a_kill_is_told_with_its_memory_and_age(self):
		self.assertEqual(
			kill_text(kill_in((1000.0, KILLS[1][0])), 8200.0),
			"redis-server (pid 77, 0 MB, at its group's limit, 2 h ago)",
		)

	@skipUnless(may_read_kernel_log(), "the kernel's log is closed to this user")
	def test_the_real_log_ends_and_its_times_are_not_in_the_future(self):
		records = read_kmsg()
		if records:  # a container's kernel may have said nothing
			self.assertLess(records[-1][0], time.time() + 5)
		self.assertIsNotNone(oom_kills(time.time() + 3600))

	def test_a_log_that_is_closed_to_us_is_none(self):
		self.assertIsNone(read_kmsg(Path("/no/such/file")))

	def test_reading_stops_where_the_log_does(self):
		reading, writing = os.pipe2(os.O_NONBLOCK)
		os.write(writing, b"6,1,2,-;a")
		self.assertEqual(list(kernel_lines(reading)), ["6,1,2,-;a"])
		os.close(reading)
		os.close(writing)


INSIDE = """
from fmx_restart.doctor.runner import run_checks
from fmx_restart.doctor.bench_view import BenchView, BenchAccess
patient = BenchView({bench!r}, "bench", BenchAccess(**dict.fromkeys(BenchAccess.__dataclass_fields__)))
for found in run_checks(patient, ["container-stop"]).findings:
	print(found.check, found.severity.value, found.subject)
"""
#: As PID 1 it starts a worker, looks at it, and ends; the first of them takes care of TERM.
CAREFUL = "import signal; signal.signal(15, lambda *_: None)\n"
STARTS = """
import subprocess, sys
worker = subprocess.Popen([{worker!r}, "worker", "waits"], cwd={sites!r}, stdout=subprocess.PIPE)
worker.stdout.readline()
subprocess.run([sys.executable, "-c", {code!r}], cwd={checkout!r})
worker.kill()
"""


@skipUnless(os.geteuid() == 0 and sys.platform == "linux", "namespaces of our own are root's")
class TestContainer(HostTestCase):
	def inside(self, before: str) -> str:
		"""What the doctor says in a PID namespace whose PID 1 runs this."""
		code = INSIDE.format(bench=str(self.bench))
		text = before + STARTS.format(
			worker=str(self.bench / "env/bin/bench"),
			sites=str(self.bench / "sites"),
			code=code,
			checkout=str(CHECKOUT),
		)
		words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", text]
		done = subprocess.run(words, capture_output=True, text=True, timeout=60)
		if "Operation not permitted" in done.stderr:
			self.skipTest("no namespaces here")
		self.assertEqual(done.returncode, 0, done.stderr)
		return done.stdout.strip()

	def test_a_pid_1_that_takes_no_notice_is_an_error_and_one_that_does_is_none(self):
		self.assertRegex(self.inside(""), "^container-stop error python")
		self.assertEqual(self.inside(CAREFUL), "")
