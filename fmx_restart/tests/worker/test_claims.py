"""The three steps of a claim, and what an operation and the doctor make of claims, on a real Redis."""

from __future__ import annotations

import os
from unittest import mock

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.inventory import lost_jobs
from fmx_restart.tests.adapters.ghosts import Ghosts
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import SEPARATOR, RqBench
from fmx_restart.worker import owners
from fmx_restart.worker.claims import Claims, KilledJob
from fmx_restart.worker.owners import identity, is_gone, mark, process_space

RESTARTABLE = KilledJob("requeue", 1)


class ClaimsCase(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server)
		self.addCleanup(self.bench.stop)
		self.mine, self.others = self.worker("mine"), self.worker("others")
		self.queue = RedisQueue(self.admin, self.bench.id, "operation-1")

	def worker(self, name: str) -> Claims:
		"""Of this process, so it lives."""
		self.bench.register("short", name=name)
		mark(self.admin, f"rq:worker:{name}")
		return Claims(self.admin, self.bench.id, name)

	def pop(self, claims: Claims, recycles: str = ""):
		return claims.pop([self.bench.queue("short").key], recycles)[:2]

	def start(self, claims: Claims, claim, killed: KilledJob | None = None) -> bool:
		return claims.start(claim, killed or KilledJob(), 90)

	def status(self, id: str) -> bytes | None:
		return self.admin.hget(f"rq:job:{id}", "status")

	def waiting(self) -> list[bytes]:
		return self.admin.lrange(self.bench.queue("short").key, 0, -1)


class TestClaims(ClaimsCase):
	def test_a_pop_whose_answer_was_lost_is_answered_again(self):
		self.bench.enqueue("a")
		self.bench.enqueue("b")
		what, claim = self.pop(self.mine)
		self.assertEqual((what, self.pop(self.mine)), ("job", ("again", claim)))
		self.assertEqual(self.waiting(), [b"b"])

	def test_a_pop_brings_the_record_of_its_job_also_when_it_is_answered_again(self):
		self.bench.enqueue("a")
		key = self.bench.queue("short").key
		popped = [self.mine.pop([key]) for _ in range(2)]
		self.assertEqual([what for what, _, _ in popped], ["job", "again"])
		self.assertEqual([record for _, _, record in popped], [self.admin.hgetall("rq:job:a")] * 2)
		self.admin.delete("rq:job:a")
		self.admin.hdel(self.mine.key, "mine")
		self.admin.lpush(key, "a")
		self.assertEqual(self.mine.pop([key])[2], {})

	def test_whoever_takes_a_job_learns_whether_others_have_one_so_that_a_busy_worker_sweeps_too(self):
		for id in ("a", "b"):
			self.bench.enqueue(id)
		told = []
		for claims in (self.others, self.mine, self.mine):
			self.pop(claims)
			told.append(claims.others)
		self.assertEqual(told, [0, 1, 1])

	def test_a_start_whose_answer_was_lost_is_answered_again(self):
		self.bench.enqueue("a")
		_, claim = self.pop(self.mine)
		self.assertEqual([self.start(self.mine, claim) for _ in range(2)], [True, True])

	def test_under_the_fence_a_popped_job_goes_back_and_a_started_one_stays(self):
		self.bench.enqueue("a")
		self.bench.enqueue("b")
		self.start(self.others, self.pop(self.others)[1])
		self.pop(self.mine)
		self.admin.set("rq:suspended", "")
		self.assertEqual(self.pop(self.mine), ("suspended", None))
		self.assertEqual((self.waiting(), self.status("a")), ([b"b"], b"started"))

	def test_one_worker_at_a_time_is_recycled_and_none_under_the_fence_or_beside_an_operation(self):
		for key in ("rq:suspended", f"rq:fmx:{self.bench.id}:lock"):
			self.admin.set(key, "")
			self.assertNotEqual(self.pop(self.mine, "now")[0], "recycle")
			self.admin.delete(key)
		self.bench.enqueue("a")
		self.assertEqual(self.pop(self.mine, "now"), ("recycle", None))
		self.assertEqual(self.pop(self.mine, "now"), ("recycle", None))  # an answer was lost
		self.assertLess(self.admin.ttl(f"rq:fmx:{self.bench.id}:recycling"), 121)
		self.assertEqual(self.pop(self.others, "now")[0], "job")
		# One that has a job is not recycled, and one that may wait takes a job first
		self.admin.delete(f"rq:fmx:{self.bench.id}:recycling")
		self.assertEqual(self.pop(self.others, "now")[0], "again")
		self.bench.enqueue("b")
		self.assertEqual(self.pop(self.mine, "idle")[0], "job")

	def test_a_redis_that_is_full_keeps_workers_from_being_recycled_and_from_nothing_else(self):
		self.bench.enqueue("a")
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		self.assertEqual(self.pop(self.mine, "now")[0], "job")

	def test_who_lost_the_claim_does_not_start(self):
		self.bench.enqueue("a")
		_, claim = self.pop(self.mine)
		self.assertEqual(self.others.let_go("mine", claim.raw)[0], "returned")
		self.assertEqual((self.start(self.mine, claim), self.waiting()), (False, [b"a"]))
		self.assertEqual(self.status("a"), b"queued")

	def test_another_claim_than_the_one_that_was_read_is_not_touched(self):
		self.bench.enqueue("a")
		_, claim = self.pop(self.mine)
		self.start(self.mine, claim)
		self.assertEqual(self.others.let_go("mine", claim.raw), ("nothing", None))

	def test_a_job_that_was_deleted_or_canceled_does_not_start(self):
		for act in (lambda job: job.delete(), lambda job: job.cancel()):
			_, claim = self.pop(self.mine) if self.bench.enqueue("a") else None
			act(self.bench.queue("short").fetch_job("a"))
			self.assertFalse(self.start(self.mine, claim))
			self.assertEqual(self.pop(self.mine), ("none", None))

	def test_a_killed_job_goes_back_as_often_as_it_may_and_then_fails(self):
		self.bench.enqueue("a")
		outcomes = []
		for _ in range(2):
			self.start(self.mine, self.pop(self.mine)[1], RESTARTABLE)
			outcomes.append(self.others.let_go("mine")[0])
		self.assertEqual(outcomes, ["requeued", "failed"])
		# Until someone has recorded the failure, RQ lists it as started, and fails it by itself in a minute
		key = f"rq:wip:{self.bench.id}:short"
		[(_, expiry)] = self.admin.zrange(key, 0, -1, withscores=True)
		self.assertLess(expiry - self.admin.time()[0], 61)

	def test_a_job_that_has_ended_is_left_as_it_is(self):
		self.bench.enqueue("a")
		_, claim = self.pop(self.mine)
		self.start(self.mine, claim, RESTARTABLE)
		self.admin.hset("rq:job:a", "status", "finished")
		self.assertEqual(self.others.let_go("mine")[0], "over")
		self.assertEqual((self.waiting(), self.status("a")), ([], b"finished"))

	def test_ids_and_names_of_any_bytes_come_back_as_they_were(self):
		id = f'one"site{SEPARATOR}a\tb\\ä'
		self.bench.enqueue(id)
		_, claim = self.pop(self.mine)
		self.assertEqual(claim.id, id)
		self.others.let_go("mine")
		self.assertEqual(self.waiting(), [id.encode()])


class TestOwners(ClaimsCase):
	def claim_of(self, process: str):
		self.bench.enqueue("a")
		_, claim = self.pop(Claims(self.admin, self.bench.id, "mine", process))
		self.admin.delete("rq:worker:mine")  # Redis lost it, or let it expire
		return claim

	def test_a_process_of_this_machine_tells_whether_it_lives_though_its_record_is_gone(self):
		claim = self.claim_of(identity())
		self.assertFalse(is_gone(self.admin, "mine", claim))
		other = claim._replace(process=f"{process_space()} {os.getpid()} 1")  # it had this pid before
		self.assertTrue(is_gone(self.admin, "mine", other))

	def test_elsewhere_it_is_gone_with_its_record_if_redis_has_run_long_enough_for_another_one(self):
		claim = self.claim_of("another-machine pid:[1] 2 3")
		self.assertFalse(is_gone(self.admin, "mine", claim))
		with mock.patch.object(owners, "RECORDS_BACK", -1):  # nobody waits for a minute here
			self.assertTrue(is_gone(self.admin, "mine", claim))


class TestLedger(Ghosts, ClaimsCase):
	def test_a_job_that_a_living_worker_has_popped_is_not_lost(self):
		self.bench.enqueue("a")
		self.pop(self.mine)
		self.assertEqual(lost_jobs(self.admin, self.bench.id, most_keys=100)[0], [])

	def test_one_that_a_dead_worker_has_popped_is_lost_until_it_is_put_back(self):
		self.bench.enqueue("a")
		_, claim = self.pop(self.mine)
		self.admin.hset("rq:worker:mine", "fmx_born", "1")  # another process has its pid now
		self.assertEqual([job.id for job in lost_jobs(self.admin, self.bench.id, most_keys=100)[0]], ["a"])
		self.assertEqual(self.put_back(["a"]), ["a"])
		self.assertEqual((self.admin.hlen(self.mine.key), self.waiting()), (0, [b"a"]))
		# And whoever had the claim does not start it beside the next one
		self.assertFalse(self.start(self.mine, claim))

	def test_putting_back_takes_the_claim_of_that_job_alone(self):
		self.bench.enqueue("a")
		self.bench.enqueue("b")
		self.pop(self.mine)
		self.pop(self.others)
		self.admin.hset(self.mine.key, "a third one", "no claim")
		self.assertEqual(self.put_back(["a"]), ["a"])
		self.assertEqual(set(self.admin.hgetall(self.mine.key)), {b"others", b"a third one"})

	def test_what_is_no_claim_ends_nothing(self):
		self.bench.enqueue("a")
		self.admin.lpop(self.bench.queue("short").key)
		self.admin.set(self.mine.key, "no hash")
		self.assertEqual(self.put_back(["a"]), ["a"])
