"""Real pid namespaces that share our host name, as containers can: one pid, two processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.process_table import clients_of
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Look
from fmx_restart.engine.workers import Locator, live_workers, running_jobs
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.adapters.waiting import eventually

NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
#: The next process that is started in this namespace gets that pid; the shell stays, as init of its namespace.
AT_PID = 'echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid; shift; "$@" & wait'
CHECKOUT = Path(__file__).parents[3]


def can_unshare() -> bool:
	if not shutil.which("unshare"):
		return False
	return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(can_unshare(), "this user may not make a pid namespace")
class TestTwoNamespaces(RedisTestCase):
	has_port = True

	def setUp(self):
		super().setUp()
		self.bench = make_bench(short_folder(self) / "bench")
		self.rq = RqBench(self.server, folder=self.bench)
		self.addCleanup(self.rq.stop)
		self.queue = RedisQueue(self.server.connection(), self.rq.id, "operation", settled_after=0)
		self.host = ThisHost(str(self.bench))
		self.locator = Locator(self.host, self.queue, SystemClock())

	def look(self) -> Look:
		return self.locator.locate(self.queue.look())

	def start_inside(self, pid: int, *queues: str) -> int:
		"""A worker that has this pid in a namespace of its own. Returns the pid of the namespace's outer end."""
		return self.rq.start_worker(*queues, inside=[*NAMESPACE, "sh", "-c", AT_PID, "sh", str(pid)])

	def name_of(self, queue: str) -> str:
		found = eventually(
			lambda: [worker.name for worker in self.queue.look().workers if worker.queues == (queue,)],
			f"a worker listens to {queue}",
		)
		return found[0]

	def test_two_workers_with_one_host_name_and_one_pid_are_told_apart(self):
		# Given a worker that we see, and another one with its host name and its pid that we do not see
		pid = self.rq.start_worker("here")
		here = self.name_of("here")
		self.start_inside(pid, "inside")
		inside = self.name_of("inside")
		records = {(worker.host, worker.pid) for worker in self.queue.look().workers}
		self.assertEqual(records, {(self.host.name, pid)})
		# Then the process is one of them, whichever: no word of it tells which. The other one is alive
		look = self.look()
		self.assertEqual(len(look.local.running), 1)
		self.assertEqual({worker.name for worker in live_workers(look)}, {here, inside})
		self.assertEqual(look.local.ended, set())

	def test_a_busy_worker_that_we_do_not_see_runs_its_job(self):
		# Given a worker at work in another namespace, and no process with its pid in ours
		free = 2**22 - 2
		outer = self.start_inside(free, "inside")
		name = self.name_of("inside")
		self.rq.enqueue("job-1", "inside", waits=True)
		eventually(lambda: self.queue.statuses(["job-1"]) == {"job-1": "started"}, "it works")
		# Then it lives elsewhere, and its job runs
		look = self.look()
		self.assertEqual((len(look.local.running), look.local.ended), (0, frozenset()))
		self.assertEqual([job.id for job in running_jobs(look)], ["job-1"])
		self.assertEqual([worker.name for worker in live_workers(look)], [name])
		# And of its processes, all of which can be seen from here, only unshare looks like an orphan of ours
		self.assertEqual([process.pid for process in self.host.orphan_horses([])], [outer])
		# And when it has ended, nobody is connected whom we do not see
		self.rq.kill_worker(outer)
		eventually(lambda: name in self.look().local.ended, "its end is known")
		self.assertEqual(running_jobs(self.look()), [])

	def test_a_worker_of_ours_that_is_killed_has_ended_at_once_though_others_are_connected(self):
		self.start_inside(2**22 - 2, "inside")
		self.name_of("inside")
		pid = self.rq.start_worker("here")
		name = self.name_of("here")
		self.assertIn(name, self.look().local.running)
		self.rq.kill_worker(pid)
		look = self.look()
		self.assertEqual(look.local.ended, {name})
		self.assertEqual(len(live_workers(look)), 1)

	def test_a_worker_that_was_killed_before_we_looked_has_ended_where_nobody_else_is_connected(self):
		pid = self.rq.start_worker("here")
		name = self.name_of("here")
		self.rq.kill_worker(pid)
		eventually(lambda: name in self.look().local.ended, "its end is known")

	def test_inside_a_namespace_clients_outside_of_it_have_no_name(self):
		self.rq.start_worker("here")
		self.name_of("here")
		self.assertIsNotNone(clients_of(self.server.port))
		code = f"from fmx_restart.adapters.process_table import clients_of; print(clients_of({self.server.port}))"
		done = subprocess.run(
			[*NAMESPACE, sys.executable, "-c", code],
			cwd=CHECKOUT,
			capture_output=True,
			text=True,
			check=True,
		)
		self.assertEqual(done.stdout.strip(), "None")

	def test_a_proc_of_another_namespace_is_refused(self):
		code = f"from fmx_restart.adapters.host import ThisHost; ThisHost({str(self.bench)!r})"
		done = subprocess.run(
			["unshare", "--pid", "--fork", sys.executable, "-c", code],
			cwd=CHECKOUT,
			capture_output=True,
			text=True,
			check=False,
		)
		self.assertIn(f"{WrongEnvironment.__name__}: /proc shows", done.stderr)
