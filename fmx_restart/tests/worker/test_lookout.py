"""Of the workers that have the same queues and no job, one hears of the next job; it calls another one before it runs that."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path

from redis.exceptions import ResponseError

from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.test_claims import ClaimsCase
from fmx_restart.tests.worker.test_worker import WorkerCase
from fmx_restart.tests.worker.worker_bench import DONE, WorkerBench
from fmx_restart.worker.claims import Claims, call_key, lookout_keys
from fmx_restart.worker.scripts import BE_LOOKOUT

IDLE = 8  # workers
JOBS = 10


class TestLookout(ClaimsCase):
	def setUp(self):
		super().setUp()
		self.third = self.worker("third")

	def look(self, claims: Claims, *queues: str) -> str:
		"""What it is told, where it would wait."""
		keys = [self.bench.queue(name).key for name in queues or ("short", "long")]
		return claims.pop(keys, stays=True)[0]

	def all_look(self) -> list[bool]:
		for claims in (self.mine, self.others, self.third):
			self.assertEqual(self.look(claims), "none")
		return [claims.is_lookout for claims in (self.mine, self.others, self.third)]

	def called(self) -> dict[str, str]:
		"""Names of workers, and to what; each is called once."""
		calls = {name: self.admin.lpop(call_key(self.bench.id, name)) for name in ("mine", "others", "third")}
		return {name: what.decode() for name, what in calls.items() if what}

	def test_of_workers_with_the_same_queues_in_any_order_one_is_the_lookout_and_remains_it(self):
		self.assertEqual(self.all_look(), [True, False, False])
		self.assertEqual(self.look(self.third, "long", "short"), "none")
		self.assertFalse(self.third.is_lookout)
		self.assertEqual(self.all_look(), [True, False, False])
		self.assertEqual(self.called(), {})

	def test_workers_with_other_queues_have_a_lookout_of_their_own(self):
		self.all_look()
		self.look(self.third, "short")
		self.assertTrue(self.third.is_lookout)

	def test_a_lookout_that_gets_a_job_calls_one_that_takes_its_place(self):
		self.all_look()
		self.bench.enqueue("a")
		self.assertEqual((self.look(self.mine), self.called()), ("job", {"third": BE_LOOKOUT}))
		self.assertEqual((self.look(self.others), self.others.is_lookout), ("none", False))
		self.assertEqual((self.look(self.third), self.third.is_lookout), ("none", True))

	def test_where_jobs_come_all_at_once_each_that_gets_one_calls_the_next(self):
		self.all_look()
		for id in "abc":
			self.bench.enqueue(id)
		told = [(self.look(claims), self.called()) for claims in (self.mine, self.third, self.others)]
		self.assertEqual(told, [("job", {"third": BE_LOOKOUT}), ("job", {"others": BE_LOOKOUT}), ("job", {})])

	def test_one_that_gets_a_job_while_another_is_the_lookout_calls_nobody(self):
		self.all_look()
		self.bench.enqueue("a")
		self.assertEqual((self.look(self.third), self.called()), ("job", {}))
		self.bench.enqueue("b")
		self.assertEqual((self.look(self.mine), self.called()), ("job", {"others": BE_LOOKOUT}))

	def test_at_the_fence_all_are_called_one_after_another(self):
		self.all_look()
		self.admin.set("rq:suspended", "")
		told = [(self.look(claims), self.called()) for claims in (self.mine, self.third, self.others)]
		self.assertEqual(
			told, [("suspended", {"third": "look"}), ("suspended", {"others": "look"}), ("suspended", {})]
		)

	def test_a_worker_that_leaves_or_was_called_for_nothing_calls_the_next(self):
		self.all_look()
		self.mine.leave()
		self.assertEqual(self.called(), {"third": BE_LOOKOUT})
		self.third.leave()
		self.assertEqual(self.called(), {"others": BE_LOOKOUT})
		self.assertEqual((self.look(self.others), self.others.is_lookout), ("none", True))

	def test_one_that_does_not_wait_is_no_lookout_and_one_that_leaves_was_none(self):
		keys = [self.bench.queue("short").key]
		self.assertEqual(self.mine.pop(keys)[0], "none")
		self.third.leave()  # it has never looked
		self.look(self.others, "short")
		self.assertEqual((self.mine.is_lookout, self.others.is_lookout), (False, True))

	def test_another_takes_the_place_of_a_lookout_that_looks_no_more(self):
		self.all_look()

		def has_taken_it() -> bool:
			self.look(self.others)
			return self.others.is_lookout

		began = time.monotonic()
		eventually(has_taken_it, "the place is free")
		self.assertGreater(time.monotonic() - began, 1.0)  # it looks once a second

	def test_what_they_write_expires(self):
		self.all_look()
		queues = [self.bench.queue(name).key for name in ("short", "long")]
		keys = lookout_keys(self.bench.id, queues)
		self.assertTrue(all(self.admin.pttl(key) > 0 for key in keys), keys)
		self.bench.enqueue("a")
		self.look(self.mine)
		self.assertGreater(self.admin.pttl(call_key(self.bench.id, "third")), 0)

	def test_a_redis_that_is_full_lets_them_wait_and_call(self):
		self.bench.enqueue("a")
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		self.assertEqual(
			(self.look(self.mine), self.look(self.others), self.look(self.third)), ("job", *["none"] * 2)
		)
		self.assertEqual((self.others.is_lookout, self.third.is_lookout), (True, False))
		self.others.leave()
		self.assertEqual(self.called(), {"third": BE_LOOKOUT})


class TestHerd(WorkerCase):
	def bells(self) -> int:
		"""That were hung up so far."""
		return self.admin.info("commandstats").get("cmdstat_blmove", {"calls": 0})["calls"]

	def run_one(self, number: int) -> None:
		self.bench.enqueue_counted(f"job-{number}")
		self.bench.is_done(f"job-{number}")

	def test_a_job_makes_one_of_many_idle_workers_hang_its_bells_anew(self):
		# Given idle workers of one queue
		before = self.bells()
		for _ in range(IDLE):
			self.bench.start()
		eventually(lambda: self.bells() > before, "one of them has hung its bell")
		# When jobs come one after another
		before = self.bells()
		for number in range(JOBS):
			self.run_one(number)
		# Then each costs a bell or two, and not one of each worker
		self.assertLessEqual(self.bells() - before, 4 * JOBS)

	def lookout(self, among: list[int]) -> int | None:
		"""Its pid."""
		[key, _] = lookout_keys(self.bench.id, [self.bench.queue("short").key])
		record = self.bench.fields(f"rq:worker:{(self.admin.get(key) or b'').decode()}")
		return next((pid for pid in among if record.get("pid") == str(pid)), None)

	def test_a_job_is_run_soon_after_the_lookout_was_killed_or_told_to_leave(self):
		pids = [self.bench.start() for _ in range(5)]
		for number, end in enumerate((signal.SIGKILL, signal.SIGTERM) * 2):
			# Given the one that listens for all is gone
			pid = eventually(lambda: self.lookout(among=pids), self.bench.log)
			pids.remove(pid)
			self.bench.signal(pid, end)
			# Then another one runs the next job
			began = time.monotonic()
			self.run_one(number)
			self.assertLess(time.monotonic() - began, 5)

	def test_with_a_redis_that_cannot_move_jobs_onto_their_places_they_run_too(self):
		with tempfile.TemporaryDirectory() as folder:
			server = OldRedis(Path(folder))
			server.start()
			self.addCleanup(server.stop)
			with self.assertRaises(ResponseError):
				server.connection().blmove("a", "a", 1)
			bench = WorkerBench(server, self.sites)
			self.addCleanup(bench.stop)
			for _ in range(2):
				bench.start()
			for number in range(JOBS):
				bench.enqueue_counted(f"job-{number}")
				bench.is_done(f"job-{number}")
			self.assertEqual([bench.count(DONE, f"job-{number}") for number in range(JOBS)], [1] * JOBS)
			bench.stop()


class OldRedis(RedisServer):
	"""As before 6.2."""

	persistence = (*RedisServer.persistence, "--rename-command", "BLMOVE", "")
