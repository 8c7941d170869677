"""Jobs that a worker which has to leave ends in time, and jobs that end by themselves because it has to."""

from __future__ import annotations

import json
import math
import signal
import time
import unittest

from rq.job import Job

import fmx_restart
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.tests.adapters.rq_bench import SEPARATOR
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.test_worker import HERE, WorkerCase
from fmx_restart.tests.worker.worker_bench import BEGUN, CURSORS, polite
from fmx_restart.worker.grace import SETTING, VARIABLE, grace_of


class TestGrace(WorkerCase):
	def test_a_job_that_does_not_end_in_time_fails_before_the_worker_is_killed(self):
		self.bench.set(**{SETTING: {"short,long": 3}})
		pid = self.bench.start("short", "long")
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		began = time.monotonic()
		self.bench.signal(pid, signal.SIGTERM)
		self.bench.wait(pid)
		self.assertGreater(time.monotonic() - began, 1.8)
		self.assertEqual((self.bench.status("a"), self.started(), self.bench.claims()), ("failed", [], {}))
		self.assertIn("was told to leave", self.reason("a"))

	def test_one_that_may_run_again_goes_back(self):
		self.bench.set(**{SETTING: 1})
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True, method=f"{HERE}.worker_bench.decorated")
		self.bench.has_begun("a")
		self.bench.signal(pid, signal.SIGTERM)
		self.bench.wait(pid)
		self.assertEqual((self.bench.status("a"), self.bench.waiting()), ("queued", ["a"]))


class TestPoliteJobs(WorkerCase):
	def polite_job(self) -> str:
		id = f"one.localhost{SEPARATOR}a"
		self.bench.enqueue_counted(id, func=polite, timeout=77)
		self.bench.has_begun(id)
		return id

	def assert_resumed(self, id: str) -> None:
		eventually(lambda: self.admin.llen(CURSORS), self.bench.log)
		[told] = self.admin.lrange(CURSORS, 0, -1)
		self.assertEqual(json.loads(told), {"seconds": 0, "waits": False, "cursor": {"row": 7}})
		[other] = set(self.admin.hkeys(BEGUN)) - {id.encode()}
		self.assertTrue(other.startswith(f"one.localhost{SEPARATOR}".encode()))
		[first, second] = (Job.fetch(it, connection=self.admin) for it in (id, other.decode()))
		for field in ("origin", "timeout", "func_name", "description"):
			self.assertEqual(getattr(first, field), getattr(second, field))

	def test_a_job_learns_that_its_worker_has_to_leave_and_goes_on_elsewhere(self):
		pid = self.bench.start()
		id = self.polite_job()
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual(self.bench.wait(pid), 0)
		self.assertEqual(self.bench.status(id), "finished")
		self.bench.start(burst=True)
		self.assert_resumed(id)

	def test_it_learns_that_an_operation_waits_for_it(self):
		fence = RedisFence(self.admin, f"fmx_restart:{self.bench.id}:operation-1", seconds=30)
		self.bench.start()
		id = self.polite_job()
		fence.hold()
		self.bench.is_done(id)
		fence.release()
		self.assert_resumed(id)

	def test_in_a_worker_without_processes_of_jobs_too(self):
		pid = self.bench.start(kind="nofork")
		id = self.polite_job()
		self.bench.signal(pid, signal.SIGTERM)
		self.bench.wait(pid)
		self.assertEqual(self.bench.status(id), "finished")


class TestOutside(unittest.TestCase):
	def test_nobody_asks_a_job_elsewhere_to_stop(self):
		self.assertIs(fmx_restart.should_stop(), False)

	def test_nothing_can_be_resumed_that_is_no_job(self):
		with self.assertRaises(RuntimeError):
			fmx_restart.resume_later(cursor=1)

	def test_restartable_wants_a_number_of_tries(self):
		for tries in (0, True, "3"):
			with self.assertRaises(ValueError):
				fmx_restart.restartable(tries=tries)

	def test_grace_by_setting_and_environment(self):
		queues = ["bench:short", "bench:default"]
		for setting, variable, seconds in (
			(None, None, math.inf),
			(20, None, 18),
			("20", None, 18),
			({"short,default": 100, "*": 20}, None, 90),
			({"long": 100, "*": 20}, None, 18),
			({"long": 100}, None, math.inf),
			(20, "10", 9),
			(20, "soon", 18),
			(-1, None, math.inf),
			(True, None, math.inf),
			(1, None, 0.5),
			("1e999", None, math.inf),
		):
			environ = {} if variable is None else {VARIABLE: variable}
			self.assertEqual(grace_of({SETTING: setting}, queues, environ), seconds, (setting, variable))


class TestCursor(WorkerCase):
	def test_a_cursor_that_is_not_json_is_refused(self):
		for cursor in (object(), math.nan, {1, 2}):
			job = self.bench.queue("short").create_job(refused_by, args=(cursor,))
			self.assertTrue(job.perform())
		self.assertEqual(self.bench.waiting(), [])


def refused_by(cursor: object) -> bool:
	"""A job: whether its cursor is refused."""
	try:
		fmx_restart.resume_later(cursor=cursor)
	except TypeError:
		return True
	return False
