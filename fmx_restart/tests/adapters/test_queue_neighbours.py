"""Several benches on one Redis, and records that are incomplete: what is ours, and what is not."""

from __future__ import annotations

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import QUEUES, WORKERS
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.engine.ledger import Place
from fmx_restart.engine.ports import Hold, WorkerState
from fmx_restart.tests.adapters.ghosts import Ghosts
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import SEPARATOR, RqBench
from fmx_restart.tests.adapters.waiting import eventually

JOBS = ("job-of-home-anna-bench", "job-of-home-ben-bench")


class TestOneBenchAmongOthers(Ghosts, RedisTestCase):
	def setUp(self):
		super().setUp()
		self.ours, *self.others = (
			RqBench(self.server, id) for id in ("home-bench", "home-bench-2", "home", "2-home-bench")
		)
		for bench in (self.ours, *self.others):
			self.addCleanup(bench.stop)
		self.queue = RedisQueue(self.ours.connection, self.ours.id, "operation-1")

	def test_workers_and_queues_of_other_benches_are_not_ours_though_their_names_begin_alike(self):
		# Given a worker and a waiting job on every bench
		for bench in (self.ours, *self.others):
			bench.register("short", "default", name=f"worker-of-{bench.id}")
			bench.enqueue(f"job-of-{bench.id}", "long")
		# Then we see ours only, and how many workers the others have
		look = self.queue.look()
		self.assertEqual([worker.name for worker in look.workers], ["worker-of-home-bench"])
		self.assertEqual(look.depths, {"short": 0, "default": 0, "long": 1})
		self.assertEqual(look.other_benches, {"home-bench-2": 1, "home": 1, "2-home-bench": 1})
		self.assertEqual(self.queue.inventory().places.as_dict(), {"job-of-home-bench": Place.WAITING})

	def test_ghosts_and_running_jobs_of_other_benches_are_not_ours(self):
		# Given a ghost and a running job on every bench
		for bench in (self.ours, *self.others):
			bench.enqueue(f"ghost-of-{bench.id}", "long")
			self.admin.delete(bench.queue("long").key)
			bench.start_worker("short")
			bench.enqueue(f"job-of-{bench.id}", "short", waits=True)
		running = [f"job-of-{bench.id}" for bench in (self.ours, *self.others)]
		eventually(lambda: set(self.queue.statuses(running).values()) == {"started"}, "four jobs run")
		# Then we see ours only
		self.assertEqual([job.id for job in self.queue.look().started], ["job-of-home-bench"])
		self.assertEqual(set(self.unlisted([])), {"ghost-of-home-bench"})

	def test_a_worker_of_two_benches_is_ours_with_our_queues(self):
		names = [f"{bench.id}:short" for bench in (*self.others, self.ours)]
		worker = self.ours.register("long", name="mixed")
		self.admin.hset(worker.key, "queues", ",".join(names))
		[seen] = self.queue.look().workers
		self.assertEqual((seen.queues, self.queue.look().other_benches), (("short",), {}))


class TestTwoFencesOnOneRedis(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.anna, self.ben = RqBench(self.server, "home-anna-bench"), RqBench(self.server, "home-ben-bench")
		self.fences = {}
		for bench in (self.anna, self.ben):
			self.addCleanup(bench.stop)
			owner = f"fmx_restart:{bench.id}:operation-1"
			self.fences[bench] = RedisFence(bench.connection, owner, seconds=30)

	def park(self, bench: RqBench) -> RedisQueue:
		queue = RedisQueue(bench.connection, bench.id, "operation-1")

		def is_parked() -> bool:
			states = {worker.state for worker in queue.look().workers}
			queue.wake([worker for worker in queue.look().workers if worker.state is WorkerState.IDLE])
			return states == {WorkerState.SUSPENDED}

		eventually(is_parked, f"the worker of {bench.id} is parked")
		queue.recall()
		return queue

	def wait_for_looks(self, queue: RedisQueue, number: int) -> None:
		"""A suspended worker beats each time that it looks at the suspension, once a second."""
		beats = {queue.look().workers[0].heartbeat}

		def has_looked() -> bool:
			beats.add(queue.look().workers[0].heartbeat)
			return len(beats) > number

		eventually(has_looked, f"the worker has looked {number} times")

	def test_real_workers_of_one_bench_stay_parked_when_the_other_bench_has_ended(self):
		# Given two benches that both hold the fence, one of which came first, and a job that waits on the second
		for bench in (self.anna, self.ben):
			bench.start_worker("short")
			self.fences[bench].hold("note")
		queues = {bench: self.park(bench) for bench in (self.anna, self.ben)}
		for bench in queues:
			bench.enqueue("job-of-" + bench.id)
		# When the first one ends, and workers have looked again
		self.assertTrue(self.fences[self.anna].release())
		for queue in queues.values():
			self.wait_for_looks(queue, 2)
		# Then nobody has started a job, and the second one's fence has stood all the time
		statuses = {id: status for queue in queues.values() for id, status in queue.statuses(JOBS).items()}
		self.assertEqual(statuses, dict.fromkeys(JOBS, "queued"))
		self.assertIs(self.fences[self.ben].hold("note"), Hold.KEPT)
		# And the queue is running when both have ended
		self.fences[self.ben].release()
		eventually(
			lambda: queues[self.ben].statuses(JOBS) == dict.fromkeys(JOBS, "finished"), "both have run"
		)


class TestIncompleteRecords(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server)
		self.addCleanup(self.bench.stop)
		self.queue = RedisQueue(self.bench.connection, self.bench.id, "operation-1")

	def test_a_worker_whose_record_has_expired_is_none(self):
		self.admin.sadd(WORKERS, "rq:worker:expired")
		self.assertEqual(self.queue.look().workers, ())

	def test_a_worker_that_has_just_registered_counts_as_started(self):
		self.bench.register("short")
		[worker] = self.queue.look().workers
		self.assertEqual((worker.state, worker.job_id), (WorkerState.STARTED, None))

	def test_a_worker_without_pid_state_and_heartbeat_is_still_seen(self):
		worker = self.bench.register("short", name="old")
		self.admin.hdel(worker.key, "pid", "state", "last_heartbeat", "birth", "hostname")
		[seen] = self.queue.look().workers
		self.assertEqual((seen.name, seen.pid, seen.heartbeat), ("old", 0, 0.0))

	def test_in_a_state_that_rq_does_not_have_a_worker_with_a_job_is_at_work_and_another_one_idle(self):
		worker = self.bench.register("short")
		self.admin.hset(worker.key, "state", "dreaming")
		self.assertIs(self.queue.look().workers[0].state, WorkerState.IDLE)
		self.admin.hset(worker.key, "current_job", "job-1")
		self.assertIs(self.queue.look().workers[0].state, WorkerState.BUSY)

	def test_a_started_entry_whose_hash_is_gone_has_no_worker(self):
		member = "job-1:execution" if SEPARATOR == "||" else "job-1"
		self.admin.sadd(QUEUES, self.bench.queue("short").key)
		self.admin.zadd(f"rq:wip:{self.bench.id}:short", {member: 2e9})
		[started] = self.queue.look().started
		self.assertEqual((started.id, started.worker, started.expires), ("job-1", None, 2e9))

	def test_ids_of_frappes_kind_are_told_right_while_they_run(self):
		# Given jobs with ids as Frappe makes them, and rq 2's started registry that adds the execution
		ids = [f"one.localhost{SEPARATOR}{name}" for name in ("a", "b-c", "scheduled_job", "x|y z")]
		for id in ids:
			self.bench.start_worker("short", "default")
			self.bench.enqueue(id, "default", waits=True)
		# Then every reader calls them by their names
		eventually(lambda: set(self.queue.statuses(ids).values()) == {"started"}, "all run")
		self.assertEqual({job.id for job in self.queue.look().started}, set(ids))
		eventually(lambda: {w.job_id for w in self.queue.look().workers} == set(ids), "workers name them")
		self.assertEqual(self.queue.inventory().places.as_dict(), dict.fromkeys(ids, Place.RUNNING))
		self.assertEqual(self.queue.describe(ids).keys(), set(ids))
