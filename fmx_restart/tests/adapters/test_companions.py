"""A real supervisord whose web program has forked an RQ worker, as gunicorn's companions are; on a real Redis."""

from __future__ import annotations

import sys
from contextlib import closing

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.workers import Locator, runners, with_workers
from fmx_restart.tests.adapters.benches import Supervisord, make_bench, program, short_folder
from fmx_restart.tests.adapters.redis_server import CHECKOUT, RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.adapters.waiting import eventually

#: A master with two children: one that answers requests (it waits), and one that takes jobs. All three have one command.
MASTER = """#!{python}
import os, signal, sys
if os.fork() == 0:
	signal.pause()
if os.fork() == 0:
	sys.path.insert(0, {checkout!r})
	from fmx_restart.tests.adapters.rq_bench import work
	work("worker", {url!r}, {queue!r})
	os._exit(0)
while True:
	signal.pause()
"""


class TestCompanions(RedisTestCase):
	def setUp(self):
		super().setUp()
		folder = short_folder(self)
		self.bench = make_bench(folder / "bench")
		self.rq = RqBench(self.server, folder=self.bench)
		self.addCleanup(self.rq.stop)
		gunicorn = self.bench / "env/bin/gunicorn"
		gunicorn.write_text(
			MASTER.format(
				python=sys.executable,
				checkout=str(CHECKOUT),
				url=self.server.url(),
				queue=f"{self.rq.id}:short",
			)
		)
		command = f"{gunicorn} -b 127.0.0.1:8000 frappe.app:application"
		supervisord = Supervisord(
			folder,
			program("web", command, folder=self.bench / "sites", stopasgroup="true", killasgroup="true"),
		)
		self.addCleanup(supervisord.stop)
		supervisord.start()
		self.processes = SupervisorProcesses(supervisord.address, str(self.bench))
		self.queue = RedisQueue(self.server.connection(), self.rq.id, "operation")

	def test_the_worker_is_found_below_the_web_program_and_marks_it(self):
		with closing(self.processes):
			eventually(lambda: self.queue.look().workers, "the companion has registered")
			host, listed = ThisHost(str(self.bench)), self.processes.list()
			locator = Locator(host, self.queue, SystemClock())
			# Without the manager's word nothing tells it from a process that answers requests
			self.assertEqual(locator.locate(self.queue.look()).local.running, {})
			# With it, it is of this machine, and its command does not say so
			look = locator.locate(self.queue.look(), lambda: listed)
			[worker] = look.workers
			self.assertEqual(look.local.pids, {worker.pid})
			self.assertEqual(look.local.companions, {worker.name})
			# And web is a worker too
			[web] = with_workers(listed, look, host)
			self.assertEqual((web.kind, web.has_workers, web.runs_jobs), (ProcessKind.WEB, True, True))
			self.assertEqual(
				[it.name for it in look.workers if it.name not in runners([web], look, host)], []
			)
