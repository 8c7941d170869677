from __future__ import annotations

import threading
import unittest
from collections import Counter

from fmx_restart.adapters.redis_queue.keys import FENCE_OWNERS, SUSPENDED
from fmx_restart.adapters.redis_queue.leases import RedisFence, owners
from fmx_restart.engine.ports import Hold
from fmx_restart.tests.adapters.fence_contract import ANNA, BEN, CARL, FenceContract
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.suspension import SuspensionInMemory, SuspensionInRedis

BENCH = "home-anna-bench"


class TestInMemoryFence(SuspensionInMemory, FenceContract, unittest.TestCase):
	def forget_owners(self):
		self.suspension.owners.clear()


class TestRedisFence(SuspensionInRedis, FenceContract, RedisTestCase):
	user: str | None = None

	def new_fence(self, owner, *, seconds=30.0, replaces=""):
		connection = self.server.connection(self.user)
		self.addCleanup(connection.close)
		return RedisFence(connection, owner, seconds=seconds, replaces=replaces)

	def forget_owners(self):
		self.admin.delete(FENCE_OWNERS)

	def test_neither_key_is_ever_without_an_expiry(self):
		first, second = self.new_fence(ANNA, seconds=20), self.new_fence(BEN)
		for act in (first.hold, first.hold, second.hold, first.hold, second.release):
			act()
			for key in (SUSPENDED, FENCE_OWNERS):
				left = self.admin.pttl(key)
				self.assertGreater(left, 15_000)
				self.assertLessEqual(left, 30_000)

	def test_the_last_owner_leaves_nothing_behind(self):
		fences = [self.new_fence(owner) for owner in (ANNA, BEN)]
		for fence in fences:
			fence.hold("note")
		for fence in fences:
			fence.release()
		self.assertEqual(self.admin.keys(), [])

	def test_redis_sees_no_moment_without_it_while_any_owner_is_left(self):
		# Given whoever hears everything that happens to the key
		self.admin.config_set("notify-keyspace-events", "KA")
		heard = self.admin.pubsub(ignore_subscribe_messages=True)
		self.addCleanup(heard.close)
		heard.subscribe(f"__keyspace@0__:{SUSPENDED}")
		self.assertIsNone(heard.get_message(timeout=1))
		# When owners come, renew and go, in some order
		fences = [self.new_fence(owner) for owner in (ANNA, BEN, CARL)]
		for first, second, third in (fences, fences[::-1], (fences[1], fences[0], fences[2])):
			for fence in (first, second, first, third, second):
				fence.hold("note")
			for fence in (first, third, second):
				fence.release()
		# Then it went only with the last of them
		events = []
		while message := heard.get_message(timeout=0.2):
			events.append(message["data"].decode())
		gone = [number for number, event in enumerate(events) if event in ("del", "expired", "evicted")]
		self.assertEqual(len(gone), 3, events)
		self.assertEqual(gone[-1], len(events) - 1)
		self.assertNotIn("del", events[: gone[0]])

	def test_of_many_owners_that_come_and_go_at_the_same_time_each_finds_it_standing(self):
		# Given owners who each check that the queue is suspended as long as they hold the fence
		start, found = threading.Barrier(4), []

		def come_and_go(fence: RedisFence) -> None:
			start.wait()
			for _ in range(50):
				found.append(fence.hold())
				found.append("gone" if fence.holder() is None else fence.hold())
				fence.release()

		fences = [self.new_fence(f"fmx_restart:bench-{number}:operation-1") for number in range(4)]
		threads = [threading.Thread(target=come_and_go, args=(fence,)) for fence in fences]
		for thread in threads:
			thread.start()
		for thread in threads:
			thread.join()
		# Then none found it gone, or was told that it had lapsed
		self.assertEqual(Counter(found), {Hold.TAKEN: 200, Hold.KEPT: 200})
		self.assertEqual(self.admin.keys(), [])

	def test_in_a_redis_that_is_full_it_is_renewed_handed_over_and_released_but_not_taken(self):
		first, second, third = (self.new_fence(owner) for owner in (ANNA, BEN, CARL))
		first.hold("Drain")
		second.hold("two")
		self.admin.pexpire(SUSPENDED, 10_000)
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		self.assertEqual((first.hold("Restart"), first.holder()), (Hold.KEPT, f"{ANNA} Restart"))
		self.assertGreater(self.admin.pttl(SUSPENDED), 25_000)
		with self.assertRaisesRegex(Exception, "refuses to write .OOM."):
			third.hold()
		self.assertEqual((first.release(), second.holder()), (True, f"{BEN} two"))
		self.assertEqual((second.release(), second.holder()), (True, None))

	def test_in_a_redis_that_is_full_a_fence_that_was_lifted_is_put_up_again(self):
		fence = self.new_fence(ANNA)
		fence.hold()
		self.plant(None)
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		self.assertEqual((fence.hold(), fence.holder()), (Hold.TAKEN, ANNA))

	def test_owners_are_listed_with_what_is_left_of_their_time(self):
		self.new_fence(ANNA, seconds=20).hold('{"a": 1}')
		self.new_fence(BEN, seconds=self.short).hold()
		one, two = owners(self.admin)
		self.assertEqual([(o.name, o.note) for o in (one, two)], [(ANNA, '{"a": 1}'), (BEN, "")])
		self.assertTrue(18 < one.left <= 20 and 0 < two.left <= self.short)
		self.eventually(lambda: [o.name for o in owners(self.admin)] == [ANNA], "one has expired")

	def test_entries_that_nobody_can_read_are_no_owners_and_go(self):
		self.admin.hset(
			FENCE_OWNERS, mapping={"a": "", b"\xff": b"\xff \xff", "b": "9" * 400 + "x", "c": "1 2"}
		)
		self.assertEqual(owners(self.admin), [])
		fence = self.new_fence(ANNA)
		self.assertEqual((fence.hold(), fence.hold()), (Hold.TAKEN, Hold.KEPT))
		self.assertEqual(self.admin.hkeys(FENCE_OWNERS), [ANNA.encode()])

	def test_a_value_that_is_no_text_is_told_all_the_same(self):
		self.admin.set(SUSPENDED, b"\xff by nobody")
		self.assertIn("by nobody", self.new_fence(ANNA).holder())
		self.assertIs(self.new_fence(ANNA).hold(), Hold.FOREIGN)


class TestRedisFenceWithFrappesPermissions(TestRedisFence):
	user = BENCH

	def setUp(self):
		super().setUp()
		self.server.add_bench_user(BENCH)
