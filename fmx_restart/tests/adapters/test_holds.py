from __future__ import annotations

import json
import unittest

from rq.suspension import is_suspended

from fmx_restart.adapters.redis_queue.holds import KNOWN_FOR, RedisHolds
from fmx_restart.adapters.redis_queue.keys import FENCE_OWNERS, SUSPENDED, hold_key, hold_owner
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.ports import ReleaseEnd
from fmx_restart.testing.holds import InMemoryHolds
from fmx_restart.tests.adapters.hold_contract import COMMAND, HoldContract
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.suspension import SuspensionInMemory, SuspensionInRedis


class TestInMemoryHolds(SuspensionInMemory, HoldContract, unittest.TestCase):
	def setUp(self):
		super().setUp()
		self.benches: dict[str, InMemoryHolds] = {}

	def new_holds(self, bench="bench"):
		return self.benches.setdefault(bench, InMemoryHolds(self.suspension, bench))

	def lose_all_data(self):
		self.suspension.clear()
		for holds in self.benches.values():
			holds.records.clear()


class TestRedisHolds(SuspensionInRedis, HoldContract, RedisTestCase):
	def new_holds(self, bench="bench"):
		return RedisHolds(self.admin, bench)

	def new_fence(self, owner, *, seconds=30.0, replaces=""):
		return RedisFence(self.admin, owner, seconds=seconds, replaces=replaces)

	def lose_all_data(self):
		self.admin.flushall()

	def test_rq_itself_sees_the_suspension_and_every_key_has_an_end(self):
		self.make(seconds=60)
		self.assertTrue(is_suspended(self.admin))
		for key, seconds in ((SUSPENDED, 60), (FENCE_OWNERS, 60), (hold_key("bench", "ada"), 60 + KNOWN_FOR)):
			self.assertAlmostEqual(self.admin.pttl(key) / 1000, seconds, delta=3)

	def test_a_user_with_the_rules_of_frappe_may_hold_and_release(self):
		self.server.add_bench_user("bench")
		connection = self.server.connection("bench")
		self.addCleanup(connection.close)
		holds, fence = RedisHolds(connection, "bench"), RedisFence(connection, COMMAND, seconds=30)
		fence.hold()
		self.assertIsNotNone(holds.make("ada", 60, fence, reason="", by=""))
		fence.release()
		self.assertEqual(self.names(holds), ["ada"])
		self.assertGreater(holds.serves_since(), 0)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)

	def test_without_the_record_of_owners_its_name_in_the_suspension_is_enough(self):
		holds = self.new_holds()
		self.make(reason="deploy")
		self.admin.delete(FENCE_OWNERS)
		self.assertEqual(holds.standing(), [])
		done = holds.release("ada", "x")
		self.assertEqual((done.end, done.hold.reason, self.value()), (ReleaseEnd.LIFTED, "deploy", None))

	def test_in_a_redis_that_is_full_none_is_made_and_each_can_be_lifted(self):
		self.make("ada")
		self.make("ben", 90)
		fence = self.new_fence(COMMAND)
		fence.hold()
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		holds = self.new_holds()
		with self.assertRaisesRegex(QueueUnreachable, "OOM"):
			holds.make("carl", 60, fence, reason="", by="")
		fence.release()
		self.assertEqual([holds.release(owner, "x").end for owner in ("ben", "ada")], [ReleaseEnd.LIFTED] * 2)
		self.assertIsNone(self.value())

	def test_one_whose_keys_were_deleted_before_its_end_has_not_stood(self):
		holds = self.new_holds()
		self.make()
		self.admin.delete(FENCE_OWNERS, SUSPENDED)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.BROKEN)

	def test_a_name_that_others_wrote_is_shown_in_one_line(self):
		name = hold_owner("a\nbench", "ben\nThe queue is running. \x1b[2J")
		self.admin.hset(FENCE_OWNERS, name, f"{10**14} 0 ")
		(hold,) = self.new_holds().standing()
		self.assertEqual((hold.bench, hold.owner), (r"a\nbench", r"ben\nThe queue is running. \x1b[2J"))

	def test_what_others_wrote_in_its_place_ends_nothing(self):
		# Given notes that are none, a record of another type, and a hold among them
		holds = self.new_holds()
		self.make()
		far = 10**14
		for number, note in enumerate(("", "{", "[1]", '{"owner": 1}', "\xff", json.dumps({"until": 1e300}))):
			self.admin.hset(FENCE_OWNERS, hold_owner("bench", f"odd {number}"), f"{far} 0 {note}")
		self.admin.hset(FENCE_OWNERS, hold_owner("bench", "no number"), "soon 0 {}")
		self.admin.delete(hold_key("bench", "ada"))
		self.admin.rpush(hold_key("bench", "ada"), "a list")
		# Then each is told as far as it can be read, and can be lifted
		self.assertEqual(self.names(holds)[0], "ada")
		self.assertEqual(len(holds.standing()), 7)
		self.assertIs(holds.release("ada", "x").end, ReleaseEnd.LIFTED)
		for number in range(6):
			holds.release(f"odd {number}", "x")
		self.assertEqual((holds.standing(), self.value()), ([], None))
