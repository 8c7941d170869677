"""What a person types on one of two hosts that share a bench's folder over a real NFS, and what the other host sees of it."""

from __future__ import annotations

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from development.description import ROOT
from development.errors import CommandFailed
from development.managers.kernels import fetch
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.engine.identity import Holder
from fmx_restart.tests.adapters.hosts import FarRedis, can_have_hosts, switch
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.nfs import BENCH, BOOTS, QUEUES, NfsBench, ended
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import IS_LONG_RUN
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE

WAIT_WORKERS = ("--wait-workers", "--no-web", "--yes")
PAUSE = 0.4  # seconds between two jobs: each forks, in a kernel that is a process


@unittest.skipUnless(IS_LONG_RUN, "three kernels of their own: bin/test --long")
@unittest.skipUnless(can_have_hosts(), "this user may not make network namespaces")
class TestNfs(unittest.TestCase):
	"""All tests use the same machines, and leave them as they were."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		try:
			fetch()
		except CommandFailed as error:
			raise unittest.SkipTest(str(error)) from error
		network = switch()
		network.__enter__()
		cls.addClassCleanup(network.__exit__, None, None, None)
		ROOT.mkdir(exist_ok=True)
		folder = tempfile.TemporaryDirectory(prefix="nfs-", dir=ROOT)
		cls.addClassCleanup(folder.cleanup)
		cls.boot(Path(folder.name))

	@classmethod
	def boot(cls, folder: Path) -> None:
		redis = FarRedis(folder)
		cls.addClassCleanup(redis.stop)
		redis.start()
		cls.bench = NfsBench(folder, redis)
		cls.addClassCleanup(cls.bench.close)
		cls.bench.up()

	def setUp(self) -> None:
		self.rq, self.app1, self.app2 = self.bench.rq, self.bench.app1, self.bench.app2
		self.ids: list[str] = []

	def holder(self) -> Holder | None:
		value = self.rq.connection.get(lock_key(self.rq.id))
		return Holder.parse(value and value.decode())

	def phase(self) -> str:
		return holder.phase if (holder := self.holder()) else ""

	def test_rolling(self):
		self.assert_restarts_under_load("--rolling")

	def test_busy_workers_later(self):
		self.assert_restarts_under_load("--no-wait-workers")

	def test_a_plain_restart(self):
		self.assert_restarts_under_load()

	def test_one_host_after_the_other(self):
		self.assert_restarts_under_load("--wait-workers", "--host-batch", "1")

	def assert_restarts_under_load(self, *options: str) -> None:
		before = self.bench.workers()
		with Load(self.enqueue, PAUSE):
			eventually(lambda: any(self.rq.count(DONE, id) for id in self.ids), "jobs run", deadline=BOOTS)
			told, code = ended(self.bench.type(self.app1, *options, "--no-web", "--yes", "--json"))
		self.assertEqual(code, 0, told)
		self.assertEqual(json.loads(told.splitlines()[-1])["report"]["account"]["lost"], [])
		eventually(lambda: len(self.bench.workers() - before) == 4, "all are new", deadline=BOOTS)
		self.assertFalse(self.bench.workers() & before)
		self.assert_each_ran_once()

	def enqueue(self, id: str, queue: str) -> None:
		name = f"{self.id()}-{id}"
		self.rq.enqueue_counted(name, queue, seconds=0.2)
		self.ids.append(name)

	def test_a_restart_with_jobs_waiting_a_second_one_elsewhere_and_one_that_is_killed(self):
		first = self.drain_with("slow")
		told, code = ended(self.bench.type(self.app2, *WAIT_WORKERS))
		self.assertEqual(code, 75, told)
		self.assertRegex(told, r"Another operation holds this bench.* on app1\)")
		self.rq.finish("slow")
		told, code = ended(first)
		self.assertEqual(code, 0, told)
		self.assertIn("4 workers", told)
		self.assert_each_ran_once()
		self.kill_one()

	def kill_one(self) -> None:
		killed = self.drain_with("slower")
		self.app1.run("kill", "-9", self.holder().pid)
		self.assertIn("died", ended(killed)[0])
		eventually(lambda: self.holder() is None, "its guardian has cleaned up", deadline=BOOTS)
		self.assertIn('"outcome": "Recovered"', self.last_lines())
		self.assertIsNone(self.rq.connection.get("rq:suspended"))
		self.rq.finish("slower")
		self.assert_each_ran_once()

	def test_a_host_that_hung_changes_nothing_any_more_once_another_one_has_taken_over(self):
		"""And while an operation of the other host holds the bench."""
		before = self.bench.workers()
		hung = self.drain_with("frozen")
		self.app1.pause()
		self.addCleanup(self.bench.name_managers, "app1", "app2")
		try:
			other = self.take_over()
		finally:
			self.app1.go_on()
		told, code = ended(hung)
		self.assertEqual(code, 4, told)
		self.assertIn("app2 took it over", told)
		self.rq.finish("frozen")
		self.assertEqual((self.phase(), self.holder().host), ("Drain", "app2"))
		self.assertEqual(self.bench.workers(), before)
		self.rq.finish("other")
		told, code = ended(other)
		self.assertEqual(code, 0, told)
		self.assert_of_app2_alone(before)
		self.assert_each_ran_once()

	def take_over(self) -> subprocess.Popen:
		"""A restart of app2 that waits for a job, once app1's was ended from there."""
		eventually(lambda: self.holder() is None, "its lock has expired", deadline=BOOTS)
		told, code = ended(self.bench.type(self.app2, "recover", "--take-over"))
		self.assertEqual(code, 0, told)
		self.ids.append("other")
		self.rq.enqueue_counted("other", "short", waits=True)
		eventually(lambda: self.rq.count(BEGUN, "other"), "it runs", deadline=BOOTS)
		self.bench.name_managers("app2")
		other = self.bench.type(self.app2, *WAIT_WORKERS)
		eventually(lambda: self.phase() == "Drain", "it waits for the job", deadline=BOOTS)
		return other

	def assert_of_app2_alone(self, before: set[tuple[str, int]]) -> None:
		"""Its workers are new, those of app1 are as before."""
		eventually(lambda: len(self.bench.workers() - before) == 2, "two are new", deadline=BOOTS)
		self.assertEqual({host for host, _ in self.bench.workers() - before}, {"app2"})
		self.assertEqual({host for host, _ in self.bench.workers() & before}, {"app1"})

	def last_lines(self) -> str:
		"""Of all journals, as the other host sees them."""
		logs = BENCH / "logs/fmx_restart"
		return self.app2.run("find", logs, "-name", "*.jsonl", "-exec", "tail", "-qn", "1", "{}", "+")

	def assert_each_ran_once(self) -> None:
		eventually(
			lambda: all(self.rq.count(DONE, id) for id in self.ids), "each job has run", deadline=BOOTS
		)
		self.assertEqual({self.rq.count(BEGUN, id) for id in self.ids}, {1})

	def drain_with(self, id: str) -> subprocess.Popen:
		"""A restart on app1 that waits for this job; others wait behind it."""
		self.ids += [id, *(f"behind-{id}-{number}" for number in range(12))]
		self.rq.enqueue_counted(id, "long", waits=True)
		eventually(lambda: self.rq.count(BEGUN, id), "it runs", deadline=BOOTS)
		restart = self.bench.type(self.app1, *WAIT_WORKERS)
		eventually(lambda: self.phase() == "Drain", "it waits for the job", deadline=BOOTS)
		for number, other in enumerate(self.ids[-12:]):
			self.rq.enqueue_counted(other, QUEUES[number % 2])
		return restart
