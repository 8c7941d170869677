"""Which job stands where, and the way back for jobs that a worker popped and never started."""

from __future__ import annotations

import threading

from rq import registry
from rq.job import JobStatus

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import QUEUES
from fmx_restart.adapters.redis_queue.registries import FailedJob, newest_failed
from fmx_restart.engine.ports import Place
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench

PLACES = {
	"canceled": (registry.CanceledJobRegistry, Place.CANCELED),
	"deferred": (registry.DeferredJobRegistry, Place.LATER),
	"scheduled": (registry.ScheduledJobRegistry, Place.LATER),
	"failed": (registry.FailedJobRegistry, Place.FAILED),
	"finished": (registry.FinishedJobRegistry, Place.FINISHED),
}


class QueueTestCase(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server)
		self.addCleanup(self.bench.stop)
		self.queue = self.new_queue()
		self.list = self.bench.queue("short").key

	def new_queue(self) -> RedisQueue:
		return RedisQueue(self.server.connection(), self.bench.id, "operation-1")

	def waiting(self) -> list[str]:
		return [id.decode() for id in self.admin.lrange(self.list, 0, -1)]

	def strand(self, id: str) -> None:
		"""A worker of one queue pops it with BLMOVE, and dies."""
		self.admin.lrem(self.list, 0, id)
		self.admin.lpush(f"{self.list}:intermediate", id)


class TestInventory(QueueTestCase):
	def test_every_registry_has_its_place(self):
		# Given a job in each registry, whatever its score
		self.bench.enqueue("waiting")
		for id, (kind, _) in PLACES.items():
			self.admin.zadd(kind(self.bench.queue("short").name, connection=self.admin).key, {id: 1})
		# Then each stands where RQ has put it
		expected = {id: place for id, (_, place) in PLACES.items()}
		self.assertEqual(self.queue.inventory().places, {"waiting": Place.WAITING, **expected})

	def test_reading_moves_nothing(self):
		# Given entries that RQ's own readers would clean away, because they are long expired
		self.bench.enqueue("waiting")
		for kind, _ in PLACES.values():
			self.admin.zadd(kind(self.bench.queue("short").name, connection=self.admin).key, {"old": 1})
		before = {key: self.admin.dump(key) for key in self.admin.scan_iter()}
		# When everything is read
		self.queue.inventory()
		self.queue.look()
		self.queue.unlisted([])
		self.queue.statuses(["waiting", "old"])
		self.queue.describe(["waiting", "old"])
		# Then Redis is as it was
		self.assertEqual({key: self.admin.dump(key) for key in self.admin.scan_iter()}, before)

	def test_an_id_in_several_lists_counts_for_the_one_that_moves_it_next(self):
		# Given a job that failed once, and was enqueued again
		self.bench.enqueue("again")
		self.admin.zadd(
			registry.FailedJobRegistry(self.bench.queue("short").name, self.admin).key, {"again": 1}
		)
		# Then it waits
		self.assertEqual(self.queue.inventory().places, {"again": Place.WAITING})

	def test_a_job_in_the_intermediate_list_is_stranded(self):
		self.bench.enqueue("stranded")
		self.strand("stranded")
		self.assertEqual(self.queue.inventory().places, {"stranded": Place.STRANDED})

	def test_a_bench_without_jobs_has_an_empty_inventory_with_a_time(self):
		inventory = self.queue.inventory()
		self.assertEqual(inventory.places, {})
		self.assertAlmostEqual(inventory.time, self.queue.look().time, delta=5)


class TestUnlisted(QueueTestCase):
	def test_only_hashes_that_say_queued_are_told(self):
		for status in JobStatus:
			self.bench.enqueue(status.value).set_status(status)
		self.assertEqual(set(self.queue.unlisted([])), {"queued"})

	def test_those_we_know_of_are_not_asked_for(self):
		for id in ("a", "b", "c"):
			self.bench.enqueue(id)
		self.assertEqual(set(self.queue.unlisted(["a", "c"])), {"b"})

	def test_what_is_no_job_hash_is_passed_over(self):
		# Given keys that begin like a job's, with another type and with nothing in them
		self.admin.sadd("rq:job:a:dependents", "b")
		self.admin.hset("rq:job:empty", "created_at", "x")
		self.bench.enqueue("job-1")
		self.assertEqual(set(self.queue.unlisted([])), {"job-1"})
		self.assertEqual(self.queue.statuses(["a:dependents"]).get("a:dependents"), None)

	def test_more_jobs_than_one_chunk_are_all_found(self):
		# Given 2,500 hashes that say queued, none of them in a list
		pipe = self.admin.pipeline()
		origin = self.bench.queue("short").name
		for number in range(2500):
			pipe.hset(f"rq:job:{number}", mapping={"status": "queued", "origin": origin})
		pipe.execute()
		# Then each is found and put back, the first one first
		found = sorted(self.queue.unlisted([]), key=int)
		self.assertEqual(len(found), 2500)
		self.assertEqual(len(self.queue.put_back(found)), 2500)
		self.assertEqual(self.waiting(), found)


class TestPutBack(QueueTestCase):
	def test_several_who_put_back_the_same_ghosts_push_each_once(self):
		# Given ten ghosts, and four who find them at the same time
		ids = [str(number) for number in range(10)]
		for id in ids:
			self.bench.enqueue(id)
		self.admin.delete(self.list)
		start, returned = threading.Barrier(4), []

		def put_back():
			queue = self.new_queue()
			start.wait()
			returned.append(queue.put_back(ids))

		threads = [threading.Thread(target=put_back) for _ in range(4)]
		for thread in threads:
			thread.start()
		for thread in threads:
			thread.join()
		# Then each was pushed by one of them
		self.assertEqual(sorted(self.waiting()), ids)
		self.assertEqual(sorted(id for by_one in returned for id in by_one), ids)

	def test_a_stranded_job_leaves_the_intermediate_list(self):
		self.bench.enqueue("stranded")
		self.strand("stranded")
		self.assertEqual(self.queue.put_back(["stranded"]), ["stranded"])
		self.assertEqual(self.waiting(), ["stranded"])
		self.assertFalse(self.admin.exists(f"{self.list}:intermediate"))

	def test_the_queue_is_known_to_rq_afterwards(self):
		# Given a ghost of a queue that RQ forgot, as it does with empty ones
		self.bench.enqueue("ghost")
		self.admin.delete(self.list, QUEUES)
		# When it is put back
		self.queue.put_back(["ghost"])
		# Then RQ's own readers find it
		self.assertEqual(self.admin.smembers(QUEUES), {self.list.encode()})

	def test_each_goes_to_its_own_queue(self):
		for id, queue in (("a", "short"), ("b", "long")):
			self.bench.enqueue(id, queue)
			self.admin.delete(self.bench.queue(queue).key)
		self.queue.put_back(["a", "b"])
		self.assertEqual(
			(self.bench.queue("short").job_ids, self.bench.queue("long").job_ids), (["a"], ["b"])
		)

	def test_a_hash_without_a_queue_is_left_alone(self):
		self.admin.hset("rq:job:homeless", "status", "queued")
		self.assertEqual(self.queue.put_back(["homeless"]), [])


class TestNewestFailed(QueueTestCase):
	def failed(self, id: str, queue: str, ended: str) -> None:
		self.bench.enqueue(id, queue, method="app.work", kwargs={"secret": "hunter2"})
		self.admin.hset(f"rq:job:{id}", "ended_at", ended)
		self.admin.zadd(
			registry.FailedJobRegistry(self.bench.queue(queue).name, connection=self.admin).key, {id: 1}
		)

	def newest(self, most: int) -> list[FailedJob]:
		return newest_failed(self.server.connection(), self.bench.id, ["short", "long", "empty"], most)

	def test_of_all_queues_the_newest_come_first_and_no_argument_is_told(self):
		self.failed("a", "short", "2026-01-01T00:00:01.000000Z")
		self.failed("b", "long", "2026-01-01T00:00:03.000000Z")
		self.failed("c", "short", "2026-01-01T00:00:02.000000Z")
		self.assertEqual([(job.id, job.queue) for job in self.newest(2)], [("b", "long"), ("c", "short")])
		(first, *_) = self.newest(2)
		self.assertEqual((first.site, first.method, first.ended), ("one.localhost", "app.work", 1767225603.0))
		self.assertNotIn("hunter2", repr(self.newest(9)))

	def test_one_that_rq_forgot_is_passed_over(self):
		self.failed("a", "short", "2026-01-01T00:00:01.000000Z")
		self.admin.delete("rq:job:a")
		self.assertEqual(self.newest(9), [])


class TestUsualDurations(QueueTestCase):
	def finished(self, id: str, seconds: float, **given) -> None:
		self.bench.enqueue(id, **given)
		times = {
			"started_at": "2025-01-01T10:00:00.000000Z",
			"ended_at": f"2025-01-01T10:00:{seconds:09.6f}Z",
		}
		self.admin.hset(f"rq:job:{id}", mapping=times)
		kind = registry.FinishedJobRegistry(self.bench.queue("short").name, connection=self.admin)
		self.admin.zadd(kind.key, {id: 1})

	def test_the_median_is_told_for_each_method_asked_for(self):
		for number, seconds in enumerate((1.5, 40, 2.5)):
			self.finished(f"work-{number}", seconds, method="app.work")
		self.finished("other", 3, method="app.other")
		self.finished("not-asked-for", 3, method="app.unasked")
		durations = self.queue.usual_durations(["app.work", "app.other", "app.never"])
		self.assertEqual(durations, {"app.work": 2.5, "app.other": 3.0})

	def test_what_is_incomplete_or_gone_is_passed_over(self):
		self.finished("a", 1, method="app.work")
		self.finished("b", 2, method="app.work")
		self.finished("c", 3, method="app.work")
		self.admin.hdel("rq:job:a", "ended_at")
		self.admin.delete("rq:job:b")
		self.assertEqual(self.queue.usual_durations(["app.work"]), {"app.work": 3.0})
