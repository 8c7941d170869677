from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import unittest
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fmx_restart.adapters.host import ThisHost, words_of
from fmx_restart.adapters.process_table import read_stat, stat_from_psutil
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import HostProcess, Likeness, Worker, WorkerState
from fmx_restart.testing.processes import InMemoryHost
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.waiting import eventually

# A worker that forks a horse, tells its pid and waits, as RQ's does while a job runs
WORKER = """
import os, signal, sys
horse = os.fork()
if not horse and "helper" not in sys.argv:
	os.setpgrp()
if horse:
	print(horse, flush=True)
while True:
	signal.pause()
"""


class HostContract:
	"""Each implementation can start a worker with one horse, and kill a process."""

	def start_worker(self, command: str = "worker") -> tuple[int, int]:
		"""The pids of worker and horse."""
		raise NotImplementedError

	def kill(self, pid: int) -> None:
		raise NotImplementedError

	def orphans(self, *managed: int) -> set[int]:
		return {process.pid for process in self.host.orphan_horses(managed)}

	def test_a_family_is_a_process_and_its_children(self):
		worker, horse = self.start_worker()
		self.assertEqual({process.pid for process in self.host.family(worker)}, {worker, horse})
		self.assertEqual({process.pid for process in self.host.family(horse)}, {horse})
		other, another = self.start_worker()
		both = [process.pid for process in self.host.family(other, worker)]
		self.assertEqual((set(both[:2]), set(both[2:])), ({worker, other}, {horse, another}))

	def test_a_horse_is_known_by_the_group_that_it_leads_and_a_helper_of_the_worker_is_none(self):
		worker, horse = self.start_worker()
		eventually(
			lambda: [process.pid for process in self.host.horses(worker)] == [horse], "it leads its group"
		)
		self.assertEqual(self.host.horses(horse), [])
		helped, _ = self.start_worker("helper")
		self.assertEqual(self.host.horses(helped), [])

	def test_a_process_that_is_gone_has_no_family_and_is_not_alive(self):
		# Given a worker that we have seen
		worker, horse = self.start_worker()
		family = self.host.family(worker)
		# When it is killed
		self.kill(worker)
		# Then only its horse is left
		self.assertIsNone(self.host.process(worker))
		self.assertEqual(self.host.process(horse).pid, horse)
		self.assertEqual(self.host.family(worker), [])
		self.assertEqual([process.pid for process in self.host.alive(family)], [horse])

	def test_a_later_process_with_the_same_pid_is_another_one(self):
		worker, _ = self.start_worker()
		[now] = [process for process in self.host.family(worker) if process.pid == worker]
		self.assertEqual(now, self.host.process(worker))
		later = replace(now, identity=now.identity + "1")
		self.assertEqual(self.host.alive([now, later]), [now])
		# And it gets no signal that was meant for the earlier one
		self.host.end([later])
		self.host.terminate(later)
		self.assertEqual(self.host.alive([now]), [now])

	def test_a_process_of_which_only_the_pid_was_noted_is_waited_for_and_never_signalled(self):
		# Given what an older version noted
		worker, _ = self.start_worker()
		noted = HostProcess(worker)
		# Then it may be there still, so no signal is sent
		self.assertEqual(self.host.alive([noted]), [noted])
		self.host.end([noted])
		self.host.terminate(noted)
		self.assertIsNotNone(self.host.process(worker))
		# And when nobody has its pid any more it is gone
		self.kill(worker)
		self.assertEqual(self.host.alive([noted]), [])

	def test_what_is_below_a_process(self):
		worker, horse = self.start_worker()
		other, _ = self.start_worker()
		self.assertEqual(self.host.head(horse, [worker]), worker)
		self.assertEqual(self.host.head(horse, [worker, horse]), horse)
		self.assertEqual(self.host.head(worker, [other, worker]), worker)
		for pid, heads in ((horse, [other]), (worker, [horse]), (worker, [])):
			self.assertIsNone(self.host.head(pid, heads))

	def likeness(self, pid: int, name: str = "w") -> Likeness:
		"""To a worker of that name."""
		worker = Worker(name, self.host.name, pid, ("short",), WorkerState.IDLE, None, 0.0, 0.0)
		return self.host.likeness(self.host.process(pid), worker)

	def test_a_worker_of_this_bench_is_known_by_what_it_runs(self):
		worker, horse = self.start_worker()
		self.assertIs(self.likeness(worker), Likeness.WORKER)
		self.assertIs(
			self.likeness(horse), Likeness.WORKER
		)  # nothing tells it from a worker, but no record has its pid

	def test_a_process_that_ended_is_like_nothing(self):
		worker, _ = self.start_worker()
		process = self.host.process(worker)
		self.kill(worker)
		record = Worker("w", self.host.name, worker, ("short",), WorkerState.IDLE, None, 0.0, 0.0)
		self.assertIs(self.host.likeness(process, record), Likeness.NONE)

	def test_a_horse_that_lost_its_worker_is_an_orphan(self):
		worker, horse = self.start_worker()
		self.kill(worker)
		self.assertEqual(self.orphans(), {horse})

	def test_a_horse_whose_worker_is_known_is_no_orphan(self):
		worker, _ = self.start_worker()
		self.assertEqual(self.orphans(worker), set())

	def test_the_parent_of_a_known_worker_is_no_orphan(self):
		# Given a worker pool, whose parent nobody lists, and its child, which RQ lists
		_, child = self.start_worker("worker-pool")
		self.assertEqual(self.orphans(child), set())

	def test_one_worker_that_is_known_does_not_hide_the_orphan_of_another(self):
		known, _ = self.start_worker()
		lost, horse = self.start_worker()
		self.kill(lost)
		self.assertEqual(self.orphans(known), {horse})


class TestInMemoryHost(HostContract, unittest.TestCase):
	def setUp(self):
		self.host = InMemoryHost()
		self.host.add(1)
		self.last_pid = 100

	def start_worker(self, command="worker"):
		self.last_pid += 2
		self.host.add(self.last_pid, parent=1, is_horse=True)
		self.host.add(self.last_pid + 1, parent=self.last_pid, is_horse=command != "helper")
		return self.last_pid, self.last_pid + 1

	def kill(self, pid):
		self.host.remove(pid)


class TestThisHost(HostContract, unittest.TestCase):
	def setUp(self):
		self.bench = make_bench(short_folder(self) / "bench")
		self.host = ThisHost(str(self.bench))
		self.workers: dict[int, subprocess.Popen] = {}

	def start_worker(self, command="worker", *, bench: Path | None = None):
		bench = bench or self.bench
		helper = bench / "apps/frappe/frappe/utils/bench_helper.py"
		helper.parent.mkdir(parents=True, exist_ok=True)
		helper.write_text(WORKER)
		for package in (
			helper.parent,
			helper.parent.parent,
		):  # an installed Frappe would be found before a bare folder
			(package / "__init__.py").touch()
		worker = subprocess.Popen(
			[sys.executable, "-m", "frappe.utils.bench_helper", "frappe", command, "--queue", "short"],
			cwd=bench / "sites",
			env={**os.environ, "PYTHONPATH": str(bench / "apps/frappe")},
			stdout=subprocess.PIPE,
			text=True,
		)
		self.workers[worker.pid] = worker
		horse = int(worker.stdout.readline())
		self.addCleanup(self.clean_up, worker, horse)
		return worker.pid, horse

	def kill(self, pid):
		self.workers[pid].kill()
		self.workers[pid].wait()

	def clean_up(self, worker: subprocess.Popen, horse: int) -> None:
		worker.kill()
		worker.wait()
		worker.stdout.close()
		with suppress(ProcessLookupError):
			os.kill(horse, signal.SIGKILL)

	def test_one_that_computes_is_runnable_and_one_that_waits_or_is_gone_is_not(self):
		worker, _ = self.start_worker()
		eventually(lambda: not self.host.is_runnable(worker), "it waits for a signal")
		busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
		self.addCleanup(busy.wait)
		self.addCleanup(busy.kill)
		eventually(lambda: self.host.is_runnable(busy.pid), "it computes")
		self.kill(worker)
		self.assertFalse(self.host.is_runnable(worker))

	def test_its_processors_are_those_that_this_process_may_use(self):
		self.assertEqual(self.host.processors, len(os.sched_getaffinity(0)))

	def test_its_name_is_what_rq_writes_into_a_workers_hash(self):
		self.assertEqual(self.host.name, socket.gethostname())

	def test_the_orphan_of_another_bench_is_not_ours(self):
		# Given a bench whose path begins like ours, with an orphan
		other = make_bench(self.bench.with_name(self.bench.name + "2"))
		worker, horse = self.start_worker(bench=other)
		self.kill(worker)
		# Then it is theirs alone
		self.assertEqual(self.orphans(), set())
		self.assertEqual([it.pid for it in ThisHost(str(other)).orphan_horses([])], [horse])

	def test_the_orphan_of_a_bench_that_is_reached_through_a_symlink_is_found(self):
		link = self.bench.with_name(self.bench.name + "-link")
		link.symlink_to(self.bench)
		worker, horse = self.start_worker(bench=link)
		self.kill(worker)
		self.assertEqual([it.pid for it in ThisHost(str(link)).orphan_horses([])], [horse])

	def test_a_web_or_scheduler_process_is_no_horse(self):
		worker, _ = self.start_worker("schedule")
		self.kill(worker)
		self.assertEqual(self.orphans(), set())

	def test_a_zombie_is_not_alive(self):
		# Given a worker that has ended and that its parent, which is us, has not asked for
		worker, horse = self.start_worker()
		family = self.host.family(worker)
		os.kill(worker, signal.SIGKILL)
		eventually(lambda: self.host.process(worker) is None, "the worker has ended")
		# Then it is in no list any more
		self.assertIsNone(self.workers[worker].returncode)
		self.assertEqual([it.pid for it in self.host.alive(family)], [horse])
		self.assertNotIn(worker, [it.pid for it in self.host.family(os.getpid())])

	# what a process is

	def start(self, *words: str | Path, folder: Path | None = None, name: str | Path = sys.executable) -> int:
		"""Python under these words, the first of which it takes for its name."""
		process = subprocess.Popen(
			[name, "-c", "import signal; print(1, flush=True); signal.pause()", *words],
			executable=sys.executable,
			cwd=folder or self.bench / "sites",
			stdout=subprocess.PIPE,
		)
		self.addCleanup(process.communicate)
		self.addCleanup(process.kill)
		process.stdout.readline()
		return process.pid

	def test_a_worker_of_another_bench_or_of_none_is_not_ours(self):
		other = make_bench(self.bench.with_name("other"))
		worker, _ = self.start_worker(bench=other)
		self.assertIs(self.likeness(worker), Likeness.NONE)
		self.assertIs(self.likeness(self.start("bench", "worker", folder=Path("/"))), Likeness.NONE)

	def test_what_gunicorn_forked_looks_like_gunicorn(self):
		web = self.start("frappe.app:application", name=self.bench / "env/bin/gunicorn")
		self.assertIs(self.likeness(web), Likeness.BENCH)
		self.assertIs(self.likeness(self.start("-m", "multiprocessing.forkserver")), Likeness.BENCH)

	def test_a_process_of_this_bench_that_does_something_else_is_no_worker(self):
		for words in (("bench", "schedule"), ("apps/frappe/socketio.js",)):
			with self.subTest(words):
				self.assertIs(self.likeness(self.start(*words)), Likeness.NONE)

	def test_a_title_names_one_worker_and_no_other(self):
		pid = self.start(name="rq:worker:w.1: Listening on short")
		self.assertIs(self.likeness(pid, "w.1"), Likeness.NAMED)
		self.assertIs(self.likeness(pid, "w"), Likeness.NONE)

	# who it is

	def test_another_process_gives_it_the_same_identity(self):
		"""As a recovery does that reads what the dead operation noted."""
		code = "import sys; from fmx_restart.adapters.process_table import identity_of; print(identity_of(int(sys.argv[1])))"
		done = subprocess.run(
			[sys.executable, "-c", code, str(os.getpid())], capture_output=True, text=True, check=True
		)
		self.assertEqual(done.stdout.strip(), self.host.me().identity)

	def test_it_stays_the_same_when_it_becomes_another_program(self):
		process = subprocess.Popen(["sh", "-c", "read x; exec sleep 60"], stdin=subprocess.PIPE)
		self.addCleanup(process.communicate)
		self.addCleanup(process.kill)
		before = self.host.process(process.pid)
		process.stdin.write(b"go\n")
		process.stdin.flush()
		eventually(lambda: words_of(process.pid)[:1] == ["sleep"], "it has become another program")
		self.assertEqual(self.host.process(process.pid), before)

	def test_a_name_with_brackets_and_spaces_deceives_nobody(self):
		program = self.bench / "a) Z 1 (b"
		program.symlink_to("/bin/sleep")
		process = subprocess.Popen([program, "60"])
		self.addCleanup(process.communicate)
		self.addCleanup(process.kill)
		stat = read_stat(process.pid)
		self.assertEqual((stat.parent, stat.is_over), (os.getpid(), False))

	def test_psutil_tells_the_same_where_the_kernel_has_no_files_for_it(self):
		told, read = stat_from_psutil(os.getpid()), read_stat(os.getpid())
		self.assertEqual((told.pid, told.parent, told.is_over), (read.pid, read.parent, read.is_over))
		self.assertIsNone(stat_from_psutil(2**22 + 1))

	@unittest.skipUnless(os.geteuid() == 0, "only root can become someone else")
	def test_a_process_of_another_user_that_cannot_be_ended_is_a_fault_and_not_silence(self):
		worker, _ = self.start_worker()
		process = self.host.process(worker)
		child = os.fork()
		if not child:
			os.setuid(65534)
			try:
				self.host.end([process])
			except ProcessFault:
				os._exit(7)
			os._exit(1)
		_, status = os.waitpid(child, 0)
		self.assertEqual(os.waitstatus_to_exitcode(status), 7)
		self.assertEqual(self.host.alive([process]), [process])
