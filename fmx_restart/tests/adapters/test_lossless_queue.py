"""What a queue must do for workers of this app, and where they stand beside RQ's own ones."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import SUSPENDED, WAKE_PREFIX
from fmx_restart.adapters.redis_queue.wakes import queues_to_ring
from fmx_restart.engine.ports import Worker, WorkerState
from fmx_restart.tests.adapters.queue_contract import QueueContract
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.test_queue import TestInMemoryQueue as InMemoryCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.worker_bench import WorkerBench

AT_ONCE = 0.5  # seconds; by itself a worker looks after 0.9 s


class WakesWithoutJobs:
	def test_a_wake_up_that_nobody_takes_is_called_back_and_the_jobs_behind_it_stay(self):
		"""There is none that could stay."""
		self.suspend("us")
		self.start_worker("short")
		workers = self.wait_for_workers(1, WorkerState.SUSPENDED)
		self.enqueue("a", "short")
		self.queue.wake(workers)
		self.assertEqual((self.traces(), self.waiting("short"), self.queue.recall()), (set(), ["a"], 0))

	def test_nothing_is_pushed_for_workers_that_look_by_themselves(self):
		self.start_worker("short", "default")
		idle = self.wait_for_workers(1)
		self.suspend("us")
		self.queue.wake(idle)
		self.assertEqual((self.traces(), self.queue.look().depths), (set(), {"short": 0, "default": 0}))
		self.wait_for_workers(1, WorkerState.SUSPENDED)
		self.assertEqual(self.queue.recall(), 0)


class TestInMemoryLosslessQueue(WakesWithoutJobs, InMemoryCase):
	def start_worker(self, *queues):
		pid = next(self.pids)
		return self.queue.add_worker(f"worker-{pid}", pid, queues, is_lossless=True).pid


del InMemoryCase  # else its tests run here, too


class LosslessCase(RedisTestCase):
	user: str | None = None

	def setUp(self):
		super().setUp()
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.bench = WorkerBench(self.server, Path(folder.name), user=self.user)
		self.addCleanup(self.bench.stop)
		self.queue = RedisQueue(self.bench.connection, self.bench.id, "operation-1")

	def suspend(self, value):
		self.admin.set(SUSPENDED, value)

	def traces(self):
		wake = WAKE_PREFIX.encode()
		return {key for key in self.admin.scan_iter() if wake in key or wake in (self.admin.dump(key) or b"")}


class TestLosslessQueue(WakesWithoutJobs, QueueContract, LosslessCase):
	def setUp(self):
		super().setUp()
		self.enqueue, self.finish = self.bench.enqueue, self.bench.finish
		self.stop_worker, self.forget, self.eventually = (
			self.bench.stop_worker,
			self.admin.flushall,
			eventually,
		)

	def start_worker(self, *queues):
		return self.bench.start(*queues, user=self.user)

	def waiting(self, queue):
		return self.bench.waiting(queue)

	def test_a_bell_reaches_all_at_once(self):
		for queues in (("short",), ("default", "short"), ("long", "default")):
			self.start_worker(*queues)
		idle = self.wait_for_workers(3)
		self.suspend("us")
		began = time.monotonic()
		self.queue.wake(idle)
		self.wait_for_workers(3, WorkerState.SUSPENDED)
		self.assertLess(time.monotonic() - began, AT_ONCE)

	def test_jobs_that_come_meanwhile_stay_where_they_are(self):
		self.start_worker("short")
		idle = self.wait_for_workers(1)
		self.suspend("us")
		for number in range(20):
			self.queue.wake(idle)
			self.enqueue(str(number))
		self.wait_for_workers(1, WorkerState.SUSPENDED)
		self.assertEqual(self.waiting("short"), [str(number) for number in range(20)])


class TestLosslessQueueWithFrappesPermissions(TestLosslessQueue):
	user = "home-anna-bench"

	def setUp(self):
		self.server.add_bench_user(self.user)
		super().setUp()


class TestBothKinds(LosslessCase):
	def test_only_the_queues_of_rqs_own_workers_get_wake_ups(self):
		# Given one of RQ's own, one of this app beside it, and one with a queue of its own
		for queues, kind in ((("short",), "stock"), (("short", "long"), "lossless"), (("long",), "lossless")):
			self.bench.start(*queues, kind=kind)
		idle = self.queue.look().workers
		# When nobody takes what is pushed, as the workers are told of it before the queue is suspended
		pushed = self.watch_pushes(idle)
		# Then there was one job, for the first
		self.assertEqual(pushed, {"short": 1})
		self.suspend("us")
		self.queue.wake(idle)
		eventually(
			lambda: {worker.state for worker in self.queue.look().workers} == {WorkerState.SUSPENDED},
			"all are suspended",
		)
		self.queue.recall()
		self.assertEqual(self.traces(), set())

	def watch_pushes(self, workers) -> dict[str, int]:
		"""Queue → jobs that were made for these workers."""
		made = []
		push = self.queue._wakes._push

		def watched(pipe, queue, *about):
			made.append(queue)
			return push(pipe, queue, *about)

		self.queue._wakes._push = watched
		self.queue.wake(workers)
		self.queue._wakes._push = push
		return {queue: made.count(queue) for queue in made}

	def test_few_bells_reach_all(self):
		workers = [a_worker(*queues) for queues in (("a", "b"), ("b", "c"), ("d", "a"), ("d",))]
		self.assertEqual(queues_to_ring(workers, {"b"}), ["a", "c", "d"])
		self.assertEqual(queues_to_ring(workers, set()), ["a", "b", "d"])


def a_worker(*queues: str) -> Worker:
	return Worker("w", "host-1", 1, queues, WorkerState.IDLE, None, 0.0, 0.0, is_lossless=True)
