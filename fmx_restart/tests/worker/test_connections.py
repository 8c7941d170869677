"""The connection that a worker keeps ready for its next job, on a real Redis."""

from __future__ import annotations

import psutil

from fmx_restart.tests.adapters.rq_bench import release_key
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.test_worker import WorkerCase
from fmx_restart.tests.worker.worker_bench import BEGUN


class TestSpare(WorkerCase):
	def setUp(self):
		super().setUp()
		self.worker = psutil.Process(self.bench.start())
		self.rests()

	def rests(self) -> None:
		"""Whatever its last job had is gone."""
		eventually(
			lambda: not self.worker.children() and self.unused(), "a worker with a connection to spare"
		)

	def clients(self) -> dict[str, dict[str, str]]:
		"""Of everyone but this test, by their numbers."""
		own = str(self.admin.client_id())
		return {it["id"]: it for it in self.admin.client_list() if it["id"] != own}

	def unused(self) -> set[str]:
		"""Those that have not sent a command of their own. redis-py may have told its name over them."""
		return {id for id, it in self.clients().items() if it["cmd"] in ("NULL", "client|setinfo")}

	def of_job(self) -> str:
		"""The connection of the job that waits."""
		[it] = (id for id, it in self.clients().items() if it["cmd"] == "blpop")
		return it

	def run_waiting(self, id: str) -> None:
		self.bench.enqueue_counted(id, waits=True)
		self.bench.has_begun(id)
		eventually(lambda: any(it["cmd"] == "blpop" for it in self.clients().values()), f"{id} waits")

	def end(self, id: str) -> None:
		self.bench.connection.lpush(release_key(id), 1)
		self.bench.is_done(id)

	def test_a_job_begins_on_a_connection_that_was_open_before(self):
		# Given a worker that is idle, when a job begins
		ready = self.unused()
		self.run_waiting("a")
		# Then it uses the connection that was ready, and the worker opens another one while the job runs
		self.assertIn(self.of_job(), ready)
		eventually(self.unused, "the next one is open")
		self.end("a")

	def test_a_job_begins_when_that_connection_was_closed_meanwhile(self):
		# Given a worker whose connections Redis has closed, all of them, at once
		for id in self.clients():
			self.admin.client_kill_filter(_id=id)
		# When a job comes, then it runs, once
		self.run_waiting("a")
		self.end("a")
		self.assertEqual(self.bench.count(BEGUN, "a"), 1)

	def test_connections_do_not_add_up(self):
		# Given a worker, and how many connections it has after one job
		self.bench.enqueue_counted("a", seconds=0.1)
		self.bench.is_done("a")
		self.rests()
		before = len(self.clients())
		# When it has run ten more, then it has as many
		for number in range(10):
			self.bench.enqueue_counted(f"b{number}", seconds=0.02 * number)
		self.bench.is_done("b9")
		self.rests()
		eventually(lambda: len(self.clients()) == before, "no connection is left over")
