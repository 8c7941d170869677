from __future__ import annotations

import unittest
from itertools import count

from rq.job import Job

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import SUSPENDED, WAKE_PREFIX
from fmx_restart.engine.ports import WorkerState
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.leases import InMemoryFence
from fmx_restart.testing.queue import InMemoryQueue
from fmx_restart.testing.workers import WAKE
from fmx_restart.tests.adapters.queue_contract import QueueContract
from fmx_restart.tests.adapters.queue_jobs_contract import QueueJobsContract
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.adapters.waiting import eventually


class TestInMemoryQueue(QueueContract, QueueJobsContract, unittest.TestCase):
	def setUp(self):
		self.clock = FakeClock()
		self.queue = InMemoryQueue(self.clock)
		self.pids = count(1001)

	def start_worker(self, *queues):
		pid = next(self.pids)
		return self.queue.add_worker(f"worker-{pid}", pid, queues).pid

	def enqueue(self, id, queue="short", *, waits=False, **given):
		self.queue.enqueue(id, queue=queue, seconds=100 if waits else 0, **given)

	def fill(self, queue, many, name):
		for number in range(many):
			self.enqueue(f"{name}-{number}", queue)

	def kill_worker(self, pid):
		self.queue.kill_worker(f"worker-{pid}")

	def stop_worker(self, pid):
		self.queue.stop_worker(f"worker-{pid}")

	def forget(self):
		self.queue.forget()

	def finish(self, id):
		self.clock.sleep(100)

	def new_fence(self):
		return InMemoryFence(self.queue.suspension, "fmx_restart:in-memory:operation-1")

	def reason(self, id):
		return self.queue.tasks[id].reason

	def lose(self, id):
		self.queue.lose(id)

	def suspend(self, value):
		self.queue.suspension.value = value

	def lift(self):
		self.queue.suspension.value = None

	def waiting(self, queue):
		return self.queue.lists.get(queue, [])

	def traces(self):
		listed = {id for ids in self.queue.lists.values() for id in ids}
		return {id for id in listed | self.queue.tasks.keys() if id.startswith(WAKE)}

	def eventually(self, condition, what):
		for _ in range(1000):
			if answer := condition():
				return answer
			self.clock.sleep(0.01)
		raise AssertionError(f"not within 10 s: {what}")


class TestRedisQueue(QueueContract, QueueJobsContract, RedisTestCase):
	user: str | None = None  # of the bench and of the queue under test

	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server, user=self.user)
		self.addCleanup(self.bench.stop)
		self.start_worker, self.enqueue = self.bench.start_worker, self.bench.enqueue
		self.finish, self.kill_worker = self.bench.finish, self.bench.kill_worker
		self.eventually, self.forget = eventually, self.admin.flushall
		self.stop_worker = self.bench.stop_worker
		self.queue = RedisQueue(self.bench.connection, self.bench.id, "operation-1")

	def fill(self, queue, many, name):
		"""With ids alone: nobody looks at their hashes."""
		self.admin.rpush(self.bench.queue(queue).key, *(f"{name}-{number}" for number in range(many)))

	def lose(self, id):
		self.admin.lrem(self.bench.queue("short").key, 0, id)

	def suspend(self, value):
		self.admin.set(SUSPENDED, value)

	def lift(self):
		self.admin.delete(SUSPENDED)

	def waiting(self, queue):
		return [id.decode() for id in self.admin.lrange(self.bench.queue(queue).key, 0, -1)]

	def reason(self, id):
		return Job.fetch(id, connection=self.bench.connection).latest_result().exc_string

	def traces(self):
		"""Keys that are named after a wake-up or mention one, whatever they hold."""
		wake = WAKE_PREFIX.encode()
		return {key for key in self.admin.scan_iter() if wake in key or wake in (self.admin.dump(key) or b"")}

	def test_one_round_of_wake_ups_reaches_every_worker(self):
		# Given workers that share queues, each kind twice, and the greediest first
		for queues in (("long", "default", "short"), ("email",), ("short", "default")) * 2:
			self.start_worker(*queues)
		idle = self.wait_for_workers(6)
		# When each gets one wake-up
		self.suspend("us")
		self.queue.wake(idle)
		# Then all are suspended: no wake-up was taken by someone who did not need it
		self.wait_for_workers(6, WorkerState.SUSPENDED)
		self.assertEqual((self.queue.recall(), self.traces()), (0, set()))

	def test_the_reason_for_a_kill_is_told_though_the_worker_recorded_its_own(self):
		# Given a job whose process is killed while its worker lives, and records that in its words
		pid = self.start_worker("short", "default")
		self.enqueue("job-1", waits=True)
		self.wait_until_running("job-1")
		self.bench.kill_horse(pid)
		self.eventually(lambda: self.queue.statuses(["job-1"]) == {"job-1": "failed"}, "it has failed")
		self.wait_for_workers(1)
		# When we say why
		self.queue.fail(["job-1"], "killed by operation-1")
		# Then that is what people read, and the job can be put back
		self.assertEqual(self.reason("job-1"), "killed by operation-1")
		self.bench.kill_worker(pid)
		self.assertEqual(self.queue.requeue(["job-1"], "killed by operation-1"), ["job-1"])

	def test_frappes_readers_survive_a_wake_up_that_waits(self):
		# Given a wake-up in a queue
		self.bench.register("short")
		self.queue.wake(self.queue.look().workers)
		# When it is read as bench doctor, show-pending-jobs, purge-jobs and RQ Job do
		[job] = self.bench.queue("short").jobs
		# Then everything is there, and it is a job of no site
		self.assertLessEqual({"site", "user", "method", "event", "job_name", "kwargs"}, job.kwargs.keys())
		self.assertEqual(job.kwargs["kwargs"].get("job_type"), None)
		self.assertFalse(job.kwargs["site"].endswith(".localhost"))
		self.assertEqual((job.origin, job.get_status()), (self.bench.queue("short").name, "queued"))
		self.assertGreater(job.timeout, 0)
		self.assertTrue(job.to_dict())

	def test_a_restarted_redis_that_forgot_our_scripts_gets_them_again(self):
		# Given a Redis that knows our scripts, and a wake-up that still waits
		self.bench.register("short")
		self.queue.wake(self.queue.look().workers)
		self.admin.script_flush()
		# Then both kinds of call go on: alone, and in a pipeline
		self.assertEqual(len(self.queue.look().workers), 1)
		self.admin.script_flush()
		self.assertEqual(self.queue.recall(), 1)


class TestRedisQueueWithFrappesPermissions(TestRedisQueue):
	user = "home-anna-bench"

	def setUp(self):
		self.server.add_bench_user(self.user)
		super().setUp()
