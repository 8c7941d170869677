"""Workers of this app on a real Redis: they run jobs as RQ's do, and lose none when they are stopped."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from pathlib import Path

from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry

from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE, FAILED, WorkerBench, on_failure
from fmx_restart.worker.claims import Claims, failures_key
from fmx_restart.worker.scripts import RECORDED_AGAIN

HERE = "fmx_restart.tests.worker"


class WorkerCase(RedisTestCase):
	def setUp(self):
		super().setUp()
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.sites = Path(folder.name)
		self.bench = WorkerBench(self.server, self.sites)
		self.addCleanup(self.bench.stop)

	def reason(self, id: str) -> str:
		return Job.fetch(id, connection=self.admin).latest_result().exc_string

	@property
	def started_key(self) -> str:
		return StartedJobRegistry.key_template.format(f"{self.bench.id}:short")

	def started(self) -> list[bytes]:
		return self.admin.zrange(self.started_key, 0, -1)

	def failed(self) -> list[bytes]:
		return self.admin.zrange(FailedJobRegistry.key_template.format(f"{self.bench.id}:short"), 0, -1)


class TestWork(WorkerCase):
	def test_jobs_run_in_the_order_of_the_queues_and_leave_nothing(self):
		# Given three jobs in two queues, before a worker serves them
		for id, queue in (("a", "long"), ("b", "short"), ("c", "short")):
			self.bench.enqueue_counted(id, queue)
		pid = self.bench.start("short", "long")
		# Then it runs them all, the first queue's first, and has neither a claim nor a started job left
		self.bench.is_done("a")
		ended = {id: Job.fetch(id, connection=self.admin).ended_at for id in "abc"}
		self.assertEqual(sorted(ended, key=ended.get), ["b", "c", "a"])
		eventually(lambda: not self.bench.claims(), "no claim is left")
		self.assertEqual(self.started(), [])
		self.assertTrue(self.bench.is_ours(pid))

	def test_an_idle_worker_hears_of_a_job_at_once(self):
		self.bench.start("short", "long")
		took = []
		for number in range(5):
			began = time.monotonic()
			self.bench.enqueue_counted(str(number), "long")
			eventually(lambda number=number: self.bench.count(DONE, str(number)), "it is done")
			took.append(time.monotonic() - began)
		self.assertLess(min(took), 0.9)  # without the bell it looks once a second

	def test_burst_ends_when_there_is_no_job_and_at_the_fence(self):
		self.bench.enqueue_counted("a")
		self.bench.enqueue_counted("b")
		self.admin.delete("rq:job:a")  # someone deleted it
		self.bench.start("short", burst=True)
		self.assertEqual((self.bench.status("b"), self.bench.claims()), ("finished", {}))
		self.admin.set("rq:suspended", 1)
		self.bench.enqueue_counted("c")
		self.bench.start("short", burst=True)
		self.assertEqual(self.bench.waiting(), ["c"])

	def test_a_job_that_cannot_be_read_fails_and_ends_no_worker(self):
		self.bench.enqueue_counted("a")
		self.bench.enqueue_counted("b")
		self.admin.hset("rq:job:a", "enqueued_at", "no time stamp")
		self.bench.start("short", burst=True)
		self.assertEqual((self.bench.status("a"), self.bench.status("b")), ("failed", "finished"))
		self.assertEqual((self.failed(), self.bench.claims()), ([b"a"], {}))

	def test_round_robin_takes_from_each_queue_in_turn(self):
		for id, queue in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
			self.bench.enqueue_counted(id, queue)
		self.bench.start("a", "b", burst=True, dequeue_strategy="round_robin")
		ended = {id: Job.fetch(id, connection=self.admin).ended_at for id in ("a1", "a2", "b1", "b2")}
		self.assertEqual(sorted(ended, key=ended.get), ["a1", "b1", "a2", "b2"])

	def test_frappes_redis_user_suffices(self):
		self.server.add_bench_user(self.bench.id)
		self.bench.enqueue_counted("a")
		self.bench.start("short", burst=True, user=self.bench.id)
		self.assertEqual(self.bench.status("a"), "finished", self.bench.log)

	def test_a_worker_without_processes_of_jobs_runs_them_too(self):
		self.bench.enqueue_counted("a")
		self.bench.enqueue_counted("b", seconds=30, timeout=1)
		self.bench.start("short", burst=True, kind="nofork")
		self.assertEqual((self.bench.status("a"), self.bench.status("b")), ("finished", "failed"))
		self.assertEqual((self.bench.claims(), self.started()), ({}, []))


class TestFence(WorkerCase):
	def test_an_idle_worker_sees_the_fence_within_a_second_and_resumes(self):
		pid = self.bench.start()
		self.admin.set("rq:suspended", 1)
		began = time.monotonic()
		eventually(lambda: self.bench.state(pid) == "suspended", "it waits at the fence")
		self.assertLess(time.monotonic() - began, 5)  # RQ's own needs a job for that
		# When a job comes, it stays where it is
		self.bench.enqueue_counted("a")
		time.sleep(1.2)  # longer than a look takes
		self.assertEqual((self.bench.waiting(), self.bench.claims()), (["a"], {}))
		self.admin.delete("rq:suspended")
		self.bench.is_done("a")

	def test_a_worker_that_waits_at_the_fence_leaves_when_it_is_told_to(self):
		self.admin.set("rq:suspended", 1)
		pid = self.bench.start()
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual(self.bench.wait(pid), 0)


class TestTerm(WorkerCase):
	def test_an_idle_worker_leaves(self):
		pid = self.bench.start("short", "long")
		self.bench.signal(pid, signal.SIGTERM)
		self.assertEqual((self.bench.wait(pid), self.bench.record(pid)), (0, {}))

	def test_rqs_own_order_to_leave_works_too(self):
		pid = self.bench.start()
		[name] = self.admin.smembers("rq:workers")
		send_shutdown_command(self.admin, name.decode().removeprefix("rq:worker:"))
		self.assertEqual(self.bench.wait(pid), 0)

	def test_a_busy_worker_leaves_when_its_job_is_done_whoever_else_gets_the_signal(self):
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.enqueue_counted("b")
		self.bench.has_begun("a")
		# When the worker and the process of its job are told to leave, as systemd tells all of a unit
		self.bench.signal_horse(pid, signal.SIGTERM)
		self.bench.signal(pid, signal.SIGTERM)
		eventually(lambda: "shutdown_requested_date" in self.bench.record(pid), "it says that it leaves")
		self.bench.finish("a")
		self.assertEqual(self.bench.wait(pid), 0)
		self.assertEqual((self.bench.status("a"), self.bench.waiting()), ("finished", ["b"]))

	def test_told_twice_it_ends_the_job_too(self):
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.bench.signal(pid, signal.SIGTERM)
		time.sleep(1.1)  # two signals within a second are one
		self.bench.signal(pid, signal.SIGTERM)
		self.bench.wait(pid)
		self.assertEqual((self.bench.status("a"), self.started()), ("failed", []))
		self.assertIn("killed", self.reason("a"))

	def test_no_job_is_lost_that_comes_while_workers_are_told_to_leave(self):
		# Given, in each round, two workers that are told to leave just when jobs come
		ids = []
		for number in range(4):
			workers = [self.bench.start("short", "long") for _ in range(2)]
			for queue in ("short", "long"):
				ids.append(f"{number}-{queue}")
				self.bench.enqueue_counted(ids[-1], queue)
			time.sleep(number * 0.001)
			for pid in workers:
				self.bench.signal(pid, signal.SIGTERM)
			for pid in workers:
				self.bench.wait(pid)
		self.bench.start("short", "long", burst=True)
		self.assertEqual([id for id in ids if self.bench.status(id) != "finished"], [])
		self.assertEqual([id for id in ids if self.bench.count(BEGUN, id) != 1], [])


class TestKill(WorkerCase):
	def test_a_job_in_the_middle_fails_and_says_why_and_its_callback_runs(self):
		pid, other = self.bench.start(), self.bench.start()
		self.bench.enqueue_counted("a", waits=True, on_failure=on_failure)
		self.bench.has_begun("a")
		if self.bench.state(pid) != "busy":
			pid, other = other, pid
		self.bench.kill(pid)
		eventually(lambda: self.bench.status("a") == "failed", self.bench.log)
		eventually(lambda: self.reason("a"), "its result is there")
		self.assertIn("was killed by a process manager", self.reason("a"))
		eventually(lambda: self.bench.state(other) == "idle" and not self.started(), "all is noted")
		self.assertEqual((self.failed(), self.bench.claims()), ([b"a"], {}))
		self.assertEqual([self.bench.count(key, "a") for key in (BEGUN, DONE, FAILED)], [1, 0, 1])

	def test_a_job_that_was_not_started_runs(self):
		# Given a worker that has a job, and still loads what the job needs
		pid = self.bench.start()
		self.bench.enqueue_counted("a", method=f"{HERE}.gate.through")
		eventually(self.bench.claims, "it has the job")
		time.sleep(0.2)
		self.bench.kill(pid)
		(self.bench.sites / "gate-is-open").touch()
		self.bench.start()
		self.bench.is_done("a")
		self.assertEqual((self.bench.count(BEGUN, "a"), self.started()), (1, []))

	def test_a_job_that_is_given_to_another_worker_meanwhile_runs_once(self):
		# Given a worker that has a job and is slow, so that someone else puts the job back
		self.bench.start()
		self.bench.enqueue_counted("a", method=f"{HERE}.gate.through")
		[(name, claim)] = eventually(self.bench.claims, "it has the job").items()
		elsewhere = {**json.loads(claim.raw), "at": 1, "process": f"another machine {claim.process}"}
		self.admin.hset(f"rq:fmx:{self.bench.id}:claims", name, json.dumps(elsewhere))
		self.bench.start()
		eventually(lambda: self.bench.claims().keys() - {name}, self.bench.log)
		# When both go on
		(self.bench.sites / "gate-is-open").touch()
		self.bench.is_done("a")
		eventually(lambda: not self.started() and not self.bench.claims(), "both are idle")
		self.assertEqual(self.bench.count(BEGUN, "a"), 1)

	def test_a_restartable_job_runs_again_as_often_as_it_may(self):
		self.bench.enqueue_counted("a", waits=True, method=f"{HERE}.worker_bench.decorated")
		for times in (1, 2, 3):
			pid = self.bench.start()
			self.bench.has_begun("a", times)
			self.bench.kill(pid)
		self.bench.start()
		eventually(lambda: self.failed(), "it is not run a fourth time")
		self.assertEqual((self.bench.status("a"), self.bench.count(BEGUN, "a")), ("failed", 3))

	def test_jobs_of_a_queue_run_again_where_a_setting_says_so(self):
		self.bench.set(fmx_restart_killed_jobs={"short": "requeue"})
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		# When only the process of the job is killed, as the kernel does where memory is short
		self.bench.signal_horse(pid, signal.SIGKILL)
		self.bench.has_begun("a", 2)
		self.bench.finish("a")
		self.bench.is_done("a")

	def test_a_job_whose_own_process_is_killed_fails_as_with_rq(self):
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.bench.signal_horse(pid, signal.SIGKILL)
		eventually(lambda: self.failed() and not self.started(), "it has failed")
		self.assertIn("signal 9", self.reason("a"))

	def test_one_whose_failure_nobody_recorded_fails_soon_and_once(self):
		# Given a killed worker, and another one that took its claim away and did not learn what it had to do
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True, on_failure=on_failure)
		self.bench.has_begun("a")
		self.bench.kill(pid)
		[(owner, claim)] = self.bench.claims().items()
		sweeper = Claims(self.admin, self.bench.id, "sweeper")
		self.assertEqual(sweeper.let_go(owner, claim.raw)[0], "failed")
		# Then it may be at it for a while, and is gone after that
		self.assertEqual(sweeper.unrecorded(), [])
		key = failures_key(self.bench.id)
		entry = json.loads(self.admin.hget(key, "a"))
		self.admin.hset(key, "a", json.dumps({**entry, "failed": entry["failed"] - RECORDED_AGAIN}))
		for _ in range(2):
			self.bench.start()
		eventually(
			lambda: self.failed() and not self.started() and not self.admin.exists(key), self.bench.log
		)
		self.assertEqual((self.bench.count(FAILED, "a"), self.bench.status("a")), (1, "failed"))
		self.assertIn("killed", self.reason("a"))

	def test_a_failure_that_was_recorded_leaves_nothing(self):
		for kill in (self.bench.signal_horse, lambda pid, _signal: self.bench.kill(pid)):
			pid = self.bench.start()
			self.bench.start()
			self.bench.enqueue_counted(f"a{pid}", waits=True)
			self.bench.has_begun(f"a{pid}")
			[owner] = self.bench.claims()
			kill(int(self.bench.fields(f"rq:worker:{owner}")["pid"]), signal.SIGKILL)
			eventually(lambda pid=pid: self.bench.status(f"a{pid}") == "failed", self.bench.log)
			eventually(lambda: not self.admin.exists(failures_key(self.bench.id)), "nothing is left")

	def test_a_job_that_a_person_stops_is_not_run_again(self):
		self.bench.set(fmx_restart_killed_jobs="requeue")
		self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		send_stop_job_command(self.admin, "a")
		eventually(lambda: self.bench.status("a") == "stopped", self.bench.log)
		self.assertEqual((self.bench.waiting(), self.bench.count(BEGUN, "a")), ([], 1))

	def test_under_the_fence_no_worker_decides_about_anothers_job(self):
		# An operation that killed the job is just about to say what becomes of it
		pid = self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		self.admin.set("rq:suspended", 1)
		self.bench.kill(pid)
		self.bench.start()
		time.sleep(5.5)  # longer than between two sweeps
		self.assertEqual((self.bench.status("a"), len(self.bench.claims())), ("started", 1))
		self.admin.delete("rq:suspended")
		eventually(lambda: self.bench.status("a") == "failed", self.bench.log)
