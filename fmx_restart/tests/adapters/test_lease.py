from __future__ import annotations

import threading
import unittest

from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.leases import RedisLease
from fmx_restart.engine.ports import Hold
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.leases import InMemoryLease, Slot
from fmx_restart.tests.adapters.lease_contract import LeaseContract
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.suspension import ClockMoves, TimePasses

BENCH = "home-anna-bench"


class TestInMemoryLease(ClockMoves, LeaseContract, unittest.TestCase):
	def setUp(self):
		self.clock, self.slot = FakeClock(), Slot()

	def new_lease(self, owner, *, seconds=30.0, replaces=""):
		return InMemoryLease(self.clock, self.slot, owner, seconds=seconds, replaces=replaces)

	def plant(self, value):
		self.slot.value = value

	def value(self):
		return self.slot.value


class TestRedisLease(TimePasses, LeaseContract, RedisTestCase):
	key, user = lock_key(BENCH), None

	def new_lease(self, owner, *, seconds=30.0, replaces=""):
		connection = self.server.connection(self.user)
		self.addCleanup(connection.close)
		return RedisLease(connection, self.key, owner, seconds=seconds, replaces=replaces)

	def plant(self, value):
		self.admin.set(self.key, value)

	def value(self):
		return self.admin.get(self.key)

	def test_it_is_never_without_an_expiry(self):
		# Given a lease that is taken, kept and replaced
		lease = self.new_lease("fmx:1", replaces="fmx:")
		for one in (lease, lease, self.new_lease("fmx:2", replaces="fmx:")):
			one.hold("note")
			# Then there is nothing but the lease between us and an end by itself
			left = self.admin.pttl(self.key)
			self.assertGreater(left, 25_000)
			self.assertLessEqual(left, 30_000)

	def test_value_and_expiry_are_one_write(self):
		# Given what Redis was told to do
		with self.admin.monitor() as monitor:
			self.new_lease("operation-1").hold("note")
			commands = [monitor.next_command()["command"]]
			while "SET " not in commands[-1]:
				commands.append(monitor.next_command()["command"])
		# Then a single command wrote both
		self.assertEqual(commands[-1], f"SET {self.key} operation-1 note PX 30000")

	def test_of_many_owners_at_the_same_instant_exactly_one_wins(self):
		for turn in range(10):
			self.admin.delete(self.key)
			answers = self.race([self.new_lease(f"{turn}-{number}") for number in range(6)])
			self.assertEqual(sorted(answers), [Hold.FOREIGN] * 5 + [Hold.TAKEN])

	def test_a_value_that_is_no_text_is_told_all_the_same(self):
		self.admin.set(self.key, b"\xff by nobody")
		self.assertIn("by nobody", self.new_lease("operation-1").holder())

	@staticmethod
	def race(leases: list[RedisLease]) -> list[Hold]:
		"""Every lease is wanted by a thread of its own; all begin at once."""
		start, answers = threading.Barrier(len(leases)), []

		def hold(lease: RedisLease) -> None:
			lease.holder()  # connects before the start
			start.wait()
			answers.append(lease.hold())

		threads = [threading.Thread(target=hold, args=(lease,)) for lease in leases]
		for thread in threads:
			thread.start()
		for thread in threads:
			thread.join()
		return answers


class TestRedisLeaseWithFrappesPermissions(TestRedisLease):
	"""A bench user may write rq:[^q]* only."""

	user = BENCH

	def setUp(self):
		super().setUp()
		self.server.add_bench_user(BENCH)
