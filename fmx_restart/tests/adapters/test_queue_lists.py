"""Which job stands where, and the way back for jobs that a worker popped and never started."""

from __future__ import annotations

import threading

from rq import registry
from rq.job import JobStatus

from fmx_restart.adapters.redis_queue import RedisQueue, ghosts
from fmx_restart.adapters.redis_queue.inventory import PAGE
from fmx_restart.adapters.redis_queue.jobs import FailedJob, newest_failed
from fmx_restart.adapters.redis_queue.keys import HAS_EXECUTIONS, QUEUES
from fmx_restart.adapters.redis_queue.look import jobs_of_site
from fmx_restart.engine.ledger import Place
from fmx_restart.tests.adapters.ghosts import Ghosts
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench

PLACES = {
	"canceled": (registry.CanceledJobRegistry, Place.CANCELED),
	"deferred": (registry.DeferredJobRegistry, Place.LATER),
	"scheduled": (registry.ScheduledJobRegistry, Place.LATER),
	"failed": (registry.FailedJobRegistry, Place.FAILED),
	"finished": (registry.FinishedJobRegistry, Place.FINISHED),
}


class QueueTestCase(Ghosts, RedisTestCase):
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
		self.assertEqual(self.queue.inventory().places.as_dict(), {"waiting": Place.WAITING, **expected})

	def test_reading_moves_nothing(self):
		# Given entries that RQ's own readers would clean away, because they are long expired
		self.bench.enqueue("waiting")
		for kind, _ in PLACES.values():
			self.admin.zadd(kind(self.bench.queue("short").name, connection=self.admin).key, {"old": 1})
		before = {key: self.admin.dump(key) for key in self.admin.scan_iter()}
		# When everything is read
		self.queue.inventory()
		self.queue.look()
		self.unlisted([])
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
		self.assertEqual(self.queue.inventory().places.as_dict(), {"again": Place.WAITING})

	def test_a_job_in_the_intermediate_list_is_stranded(self):
		self.bench.enqueue("stranded")
		self.strand("stranded")
		self.assertEqual(self.queue.inventory().places.as_dict(), {"stranded": Place.STRANDED})

	def test_a_bench_without_jobs_has_an_empty_inventory_with_a_time(self):
		inventory = self.queue.inventory()
		self.assertEqual(inventory.places.as_dict(), {})
		self.assertAlmostEqual(inventory.time, self.queue.look().time, delta=5)


class TestPages(QueueTestCase):
	"""Lists that are longer than what is read at once, and that change in between."""

	JOBS = 3 * PAGE + 5

	def setUp(self):
		super().setUp()
		self.admin.sadd(QUEUES, self.list)
		self.ids = [f"{number:06}" for number in range(self.JOBS)]
		self.admin.rpush(self.list, *self.ids)
		self.beats = 0

	def inventory(self, act=None) -> dict[str, Place]:
		def beat() -> None:
			self.beats += 1
			if act:
				act(self.beats)

		return self.queue.inventory(beat).places.as_dict()

	def test_every_job_is_there_and_there_is_a_beat_for_each_page(self):
		self.assertEqual(self.inventory(), dict.fromkeys(self.ids, Place.WAITING))
		self.assertGreater(self.beats, 4)

	def test_jobs_that_are_taken_and_come_meanwhile_keep_no_other_from_being_seen(self):
		# Given workers that take jobs, and others that come at both ends, between any two pages
		taken = []

		def others_act(beat: int) -> None:
			for id in self.admin.lpop(self.list, 20) or ():
				taken.append(id.decode())
				self.admin.zadd(self.registry(registry.StartedJobRegistry), {member(id.decode()): 2e9})
			self.admin.rpush(self.list, *(f"new-{beat}-{number}" for number in range(30)))
			self.admin.lpush(self.list, f"front-{beat}")

		places = self.inventory(others_act)
		# Then each job that waited all the while is there, and each that was taken, where it was or where it is
		self.assertGreater(len(taken), 50)
		self.assertEqual({places[id] for id in set(self.ids) - set(taken)}, {Place.WAITING})
		self.assertLessEqual(
			{places[id] for id in set(taken) & set(self.ids)}, {Place.WAITING, Place.RUNNING}
		)

	def test_a_long_registry_is_seen_as_a_whole_while_jobs_come_and_go(self):
		key = self.registry(registry.FailedJobRegistry)
		self.admin.delete(self.list)
		self.admin.zadd(key, {id: number for number, id in enumerate(self.ids)})

		def others_act(beat: int) -> None:
			self.admin.zadd(key, {f"new-{beat}-{number}": 0 for number in range(50)})
			self.admin.zrem(key, *(f"new-{beat - 1}-{number}" for number in range(50)))

		places = self.inventory(others_act)
		self.assertEqual({places[id] for id in self.ids}, {Place.FAILED})

	def test_a_job_that_ends_meanwhile_is_seen_running_or_ended(self):
		# Given running jobs that end one by one between any two looks
		running = [f"runs-{number}" for number in range(10)]
		started, finished = map(self.registry, (registry.StartedJobRegistry, registry.FinishedJobRegistry))
		self.admin.zadd(started, {member(id): 2e9 for id in running})

		def one_ends(beat: int) -> None:
			for id in running[beat : beat + 2]:
				self.admin.zrem(started, member(id))
				self.admin.zadd(finished, {id: 1})

		places = self.inventory(one_ends)
		self.assertLessEqual({places[id] for id in running}, {Place.RUNNING, Place.FINISHED})

	def test_hashes_are_read_with_beats_in_between(self):
		pipe = self.admin.pipeline()
		for id in self.ids:
			pipe.hset(f"rq:job:{id}", "status", "queued")
		pipe.execute()
		self.queue.hashes(lambda: setattr(self, "beats", self.beats + 1))
		self.assertGreater(self.beats, self.JOBS / 2000)
		self.beats = 0
		self.queue.statuses(self.ids, lambda: setattr(self, "beats", self.beats + 1))
		self.assertGreater(self.beats, self.JOBS / 2000)

	def registry(self, kind: type) -> str:
		return kind(self.bench.queue("short").name, connection=self.admin).key

	def test_jobs_of_a_site_are_counted_on_every_page(self):
		self.admin.rpush(self.list, *(f"one.localhost||{id}" for id in self.ids), "one.localhost::old")
		self.admin.rpush(self.list, *(f"two.localhost||{number}" for number in range(7)))
		counted = {
			site: jobs_of_site(self.admin, self.bench.id, ["short", "long"], site)
			for site in ("one.localhost", "two.localhost", "three.localhost")
		}
		self.assertEqual(counted["one.localhost"], {"short": self.JOBS + 1, "long": 0})
		self.assertEqual(counted["two.localhost"], {"short": 7, "long": 0})
		self.assertEqual(counted["three.localhost"], {"short": 0, "long": 0})


def member(id: str) -> str:
	"""Of the started registry."""
	return f"{id}:execution" if HAS_EXECUTIONS else id


class TestUnlisted(QueueTestCase):
	def test_only_hashes_that_say_queued_are_told(self):
		for status in JobStatus:
			self.bench.enqueue(status.value).set_status(status)
		self.assertEqual(set(self.unlisted([])), {"queued"})

	def test_those_we_know_of_are_not_asked_for(self):
		for id in ("a", "b", "c"):
			self.bench.enqueue(id)
		self.assertEqual(set(self.unlisted(["a", "c"])), {"b"})

	def test_what_is_no_job_hash_is_passed_over(self):
		# Given keys that begin like a job's, with another type and with nothing in them
		self.admin.sadd("rq:job:a:dependents", "b")
		self.admin.hset("rq:job:empty", "created_at", "x")
		self.bench.enqueue("job-1")
		self.assertEqual(set(self.unlisted([])), {"job-1"})
		self.assertEqual(self.queue.statuses(["a:dependents"]).get("a:dependents"), None)

	def test_more_jobs_than_one_chunk_are_all_found(self):
		# Given 2,500 hashes that say queued, none of them in a list
		pipe = self.admin.pipeline()
		origin = self.bench.queue("short").name
		for number in range(2500):
			pipe.hset(f"rq:job:{number}", mapping={"status": "queued", "origin": origin})
		pipe.execute()
		# Then each is found and put back, the first one first
		found = sorted(self.unlisted([]), key=int)
		self.assertEqual(len(found), 2500)
		self.assertEqual(len(self.put_back(found)), 2500)
		self.assertEqual(self.waiting(), found)


class TestPutBack(QueueTestCase):
	def test_several_who_put_back_the_same_ghosts_push_each_once(self):
		# Given ten ghosts, and four who find them at the same time
		ids = [str(number) for number in range(10)]
		for id in ids:
			self.bench.enqueue(id)
		self.admin.delete(self.list)
		start, returned, fence = threading.Barrier(4), [], self.new_fence()
		fence.hold()

		def put_back():
			queue = self.new_queue()
			start.wait()
			returned.append(queue.put_back(ids, fence).pushed)

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
		self.assertEqual(self.put_back(["stranded"]), ["stranded"])
		self.assertEqual(self.waiting(), ["stranded"])
		self.assertFalse(self.admin.exists(f"{self.list}:intermediate"))

	def test_the_queue_is_known_to_rq_afterwards(self):
		# Given a ghost of a queue that RQ forgot, as it does with empty ones
		self.bench.enqueue("ghost")
		self.admin.delete(self.list, QUEUES)
		# When it is put back
		self.put_back(["ghost"])
		# Then RQ's own readers find it
		self.assertEqual(self.admin.smembers(QUEUES), {self.list.encode()})

	def test_each_goes_to_its_own_queue(self):
		for id, queue in (("a", "short"), ("b", "long")):
			self.bench.enqueue(id, queue)
			self.admin.delete(self.bench.queue(queue).key)
		self.put_back(["a", "b"])
		self.assertEqual(
			(self.bench.queue("short").job_ids, self.bench.queue("long").job_ids), (["a"], ["b"])
		)

	def test_a_hash_without_a_queue_is_left_alone(self):
		self.admin.hset("rq:job:homeless", "status", "queued")
		self.assertEqual(self.put_back(["homeless"]), [])


class TestPutBackIntoALongQueue(QueueTestCase):
	"""Longer than what Redis may search at once, and others change it while it is read. Every id stays in it once."""

	JOBS = 5 * ghosts.PAGE

	def setUp(self):
		super().setUp()
		self.ghosts = ["a", "b", "c"]
		for id in self.ghosts:
			self.bench.enqueue(id)
		self.admin.delete(self.list)
		self.ids = [f"{number:06}" for number in range(self.JOBS)]
		self.admin.rpush(self.list, *self.ids)
		self.beats, self.fence = 0, self.new_fence()
		self.fence.hold()

	def put_back_while(self, act) -> list[str]:
		def beat() -> None:
			self.beats += 1
			act(self.beats)

		return self.queue.put_back(self.ghosts, self.fence, beat).pushed

	def assert_each_ghost_stands_once(self) -> None:
		waiting = self.waiting()
		self.assertEqual([waiting.count(id) for id in self.ghosts], [1, 1, 1])

	def test_it_is_read_page_by_page_and_the_fence_is_renewed_in_between(self):
		self.assertEqual(self.put_back_while(lambda beat: None), ["c", "b", "a"])
		self.assertGreater(self.beats, self.JOBS / ghosts.PAGE)
		self.assertEqual(self.waiting(), ["a", "b", "c", *self.ids])

	def test_one_that_somebody_else_puts_back_meanwhile_is_not_pushed_again(self):
		for push in (self.admin.rpush, self.admin.lpush):
			for moment in range(1, 10):
				with self.subTest(push=push.__name__, moment=moment):
					self.admin.delete(self.list)
					self.admin.rpush(self.list, *self.ids)
					self.beats = 0
					self.put_back_while(lambda beat: beat == moment and self.push_missing("b", push))  # noqa: B023
					self.assertGreaterEqual(self.beats, moment)
					self.assert_each_ghost_stands_once()

	def push_missing(self, id: str, push) -> None:
		if self.admin.lpos(self.list, id) is None:
			push(self.list, id)

	def test_jobs_that_come_and_are_taken_all_the_while_change_nothing(self):
		def others_act(beat: int) -> None:
			self.admin.rpush(self.list, *(f"new-{beat}-{number}" for number in range(300)))
			self.admin.lpush(self.list, f"front-{beat}")
			self.admin.lpop(self.list, 2)

		self.put_back_while(others_act)
		waiting = self.waiting()
		self.assertLessEqual({waiting.count(id) for id in self.ghosts}, {0, 1})
		self.assertEqual(len(waiting), len(set(waiting)))

	def test_where_more_comes_than_the_ends_can_tell_of_it_is_read_again(self):
		def many_come(beat: int) -> None:
			if beat == 8:  # after its last page was asked for
				self.admin.rpush(self.list, "b", *(f"new-{number}" for number in range(2 * ghosts.EDGE)))

		self.assertEqual(self.put_back_while(many_come), ["c", "a"])
		self.assertGreater(self.beats, 2 * self.JOBS / ghosts.PAGE)
		self.assert_each_ghost_stands_once()

	def test_where_it_is_never_the_same_for_long_enough_it_is_searched_at_once(self):
		# Given someone who takes so many jobs out of its end that there is a gap before each page, and one that waits
		self.admin.linsert(self.list, "BEFORE", self.ids[-3 * ghosts.PAGE], "b")

		def many_are_taken(beat: int) -> None:
			self.admin.rpop(self.list, 200)

		self.assertEqual(self.put_back_while(many_are_taken), ["c", "a"])
		self.assert_each_ghost_stands_once()


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
