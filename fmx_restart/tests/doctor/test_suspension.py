"""Who holds the queue back."""

from __future__ import annotations

from rq.suspension import suspend

from fmx_restart.adapters.redis_queue.keys import SUSPENDED, lock_key
from fmx_restart.adapters.redis_queue.lease import RedisLease
from fmx_restart.tests.doctor.support import DoctorTestCase

CHECKS = ("queue-suspended", "stale-fence")
OPERATION = "20261122-120000-beef"


class TestSuspension(DoctorTestCase):
	def fence(self, bench: str = "", operation: str = OPERATION) -> RedisLease:
		"""As an operation raises it (this_bench.py)."""
		owner = f"fmx_restart:{bench or self.rq.id}:{operation}"
		return RedisLease(self.admin, SUSPENDED, owner, seconds=30)

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
		self.fence().hold()
		self.assertEqual(self.finding("stale-fence").fix, "stale-fence")
		self.lock("20261122-120001-cafe").hold("another one")
		self.assertEqual(self.finding("stale-fence").subject, OPERATION)

	def test_a_stale_fence_of_another_bench_is_told_and_left_to_that_bench(self):
		self.fence(bench="home-ben-bench").hold()
		found = self.finding("stale-fence")
		self.assertEqual(found.fix, "")
		self.assertIn("home-ben-bench", found.remedy)
