"""Who holds the queue back."""

from __future__ import annotations

import os

from rq.suspension import suspend

from fmx_restart.adapters.redis_queue.holds import RedisHolds
from fmx_restart.adapters.redis_queue.keys import FENCE_OWNERS, SUSPENDED, hold_owner, lock_key
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease
from fmx_restart.doctor.registry import FIXES, Severity
from fmx_restart.tests.doctor.support import DoctorTestCase, dead_note

CHECKS = ("queue-suspended", "stale-fence")
OPERATION = "20261122-120000-beef"


class TestSuspension(DoctorTestCase):
	def fence(self, bench: str = "", operation: str = OPERATION) -> RedisFence:
		"""As an operation raises it (this_bench.py)."""
		return RedisFence(self.admin, f"fmx_restart:{bench or self.rq.id}:{operation}", seconds=30)

	def lock(self, operation: str = OPERATION) -> RedisLease:
		return RedisLease(self.admin, lock_key(self.rq.id), operation, seconds=30)

	def test_a_queue_that_moves_is_fine(self):
		self.assert_clean(CHECKS)

	def test_somebody_elses_suspension_is_found_with_its_end(self):
		suspend(self.admin)
		self.assertIn("has no end", self.finding("queue-suspended").text)
		suspend(self.admin, ttl=120)
		self.assertIn("ends in", self.finding("queue-suspended").text)
		self.assert_clean(["stale-fence"])

	def test_the_fence_of_an_operation_that_runs_is_fine(self):
		self.lock().hold(f"{OPERATION} by anna, Drain, since today")
		self.fence().hold()
		self.assert_clean(CHECKS)
		(row,) = self.examine().details["suspension"]
		self.assertEqual((row.operation, row.by), (OPERATION, f"an operation of bench {self.rq.id}"))
		self.assertIn("by anna", row.holder)

	def test_the_fence_of_an_operation_that_is_gone_is_stale(self):
		self.fence().hold(dead_note(OPERATION))
		self.assertEqual(self.finding("stale-fence").fix, "stale-fence")
		self.lock("20261122-120001-cafe").hold("another one")
		self.assertEqual(self.finding("stale-fence").subject, OPERATION)

	def test_one_whose_process_is_not_proved_to_be_gone_is_left_to_its_lease(self):
		for note in ("", dead_note(OPERATION, host="erp-2"), dead_note(OPERATION, pid=os.getpid())):
			with self.subTest(note=note):
				self.fence().hold(note)
				found = self.finding("stale-fence")
				self.assertEqual((found.fix, "ends by itself in" in found.text), ("", True))

	def test_a_stale_fence_of_another_bench_is_told_and_left_to_that_bench(self):
		self.fence(bench="home-ben-bench").hold(dead_note(OPERATION))
		found = self.finding("stale-fence")
		self.assertEqual(found.fix, "")
		self.assertIn("home-ben-bench", found.remedy)

	def test_of_several_owners_only_the_dead_one_is_stale(self):
		# Given an operation that runs here, and a dead one of another bench, which is not the one that RQ's key names
		self.lock().hold("anna")
		self.fence().hold("anna")
		self.fence(bench="home-ben-bench", operation="20261122-120001-cafe").hold(dead_note("x"))
		# Then each is told, and one is stale
		self.assertEqual(self.finding("stale-fence").subject, "20261122-120001-cafe")
		rows = self.examine().details["suspension"]
		self.assertEqual({row.operation for row in rows}, {OPERATION, "20261122-120001-cafe"})

	def test_behind_somebody_elses_suspension_a_dead_owner_is_found_too(self):
		self.fence().hold(dead_note(OPERATION))
		suspend(self.admin)
		self.assertEqual({found.check for found in self.findings(*CHECKS)}, set(CHECKS))
		by = [row.by for row in self.examine().details["suspension"]]
		self.assertEqual(by, ["someone else", f"an operation of bench {self.rq.id}"])

	def test_a_fence_of_an_older_version_counts_by_its_value(self):
		self.admin.set(SUSPENDED, f"fmx_restart:{self.rq.id}:{OPERATION} {dead_note(OPERATION)}", px=20_000)
		self.assertEqual(self.finding("stale-fence").fix, "stale-fence")
		self.lock().hold("anna")
		self.assert_clean(CHECKS)


class TestHolds(DoctorTestCase):
	def hold(self, bench: str = "", owner: str = "ada") -> None:
		bench = bench or self.rq.id
		fence = RedisFence(self.admin, hold_owner(bench, f"{owner}/command"), seconds=30)
		fence.hold("{}")
		RedisHolds(self.admin, bench).make(owner, 600, fence, reason="deploy", by="ada@a.example")
		fence.release()

	def test_a_hold_is_neither_a_strangers_suspension_nor_left_over(self):
		self.hold()
		self.assert_clean(CHECKS)
		found = self.finding("queue-held")
		self.assertRegex(found.text, r"^ada \(deploy\) holds the queue until [\d: -]+\w+: no worker")
		self.assertEqual((found.severity, found.fix), (Severity.NOTE, ""))
		self.assertEqual(found.remedy, "bench safe-restart release --owner ada")
		(row,) = self.examine().details["suspension"]
		self.assertEqual(
			(row.by, row.holder), (f"a hold by ada (deploy), of bench {self.rq.id}", "ada@a.example")
		)

	def test_a_hold_without_its_record_is_not_a_strangers_either(self):
		self.hold()
		self.admin.delete(FENCE_OWNERS)
		self.assert_clean(CHECKS)

	def test_one_of_another_bench_is_lifted_there(self):
		self.hold(bench="home-ben-bench", owner="a b")
		self.assert_clean(CHECKS)
		remedy = "bench safe-restart release --owner 'a b', in the bench home-ben-bench"
		self.assertEqual(self.finding("queue-held").remedy, remedy)

	def test_one_that_someone_lifted_is_a_warning(self):
		self.hold()
		self.admin.delete(SUSPENDED)
		found = self.finding("queue-held")
		self.assertEqual(found.severity, Severity.WARNING)
		self.assertIn("someone lifted the suspension: jobs run", found.text)

	def test_a_fix_of_anything_else_leaves_it(self):
		self.hold()
		RedisFence(self.admin, f"fmx_restart:{self.rq.id}:{OPERATION}", seconds=30).hold(dead_note(OPERATION))
		self.assertEqual(self.finding("stale-fence").fix, "stale-fence")
		(step,) = FIXES.all()["stale-fence"](self.view())
		self.assertIn("still suspended by others", step.act())
		self.assert_clean(["stale-fence"])
		self.assertEqual([hold.owner for hold in RedisHolds(self.admin, self.rq.id).standing()], ["ada"])
		self.assertIsNotNone(self.admin.get(SUSPENDED))
