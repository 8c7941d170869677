"""The ticket of an operation that waits to be launched, on a Redis where others may write too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from fmx_restart.adapters.redis_queue.requests import LaunchTicket, Waiting
from fmx_restart.tests.adapters.redis_server import RedisTestCase

BENCH = "home-anna-bench"
FIRST, SECOND = "20261122-120000-d0c7", "20261122-120001-d0c7"


class TestLaunchTicket(RedisTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.ticket = LaunchTicket(self.admin, BENCH)

	def test_one_operation_has_it_and_one_caller_launches_that(self):
		self.assertIsNone(self.ticket.issue(FIRST))
		self.assertEqual(self.ticket.issue(SECOND), Waiting(FIRST, is_launched=False))
		self.assertEqual([self.ticket.take(FIRST), self.ticket.take(FIRST)], [True, False])
		self.assertEqual(self.ticket.waiting(), Waiting(FIRST, is_launched=True))
		self.assertTrue(self.ticket.give_back(FIRST))
		self.assertIsNone(self.ticket.waiting())

	def test_one_that_was_withdrawn_is_launched_by_nobody_and_bars_the_next_until_it_is_given_back(self):
		self.assertIsNone(self.ticket.issue(FIRST))
		self.assertEqual([self.ticket.withdraw(FIRST), self.ticket.withdraw(FIRST)], [True, False])
		self.assertFalse(self.ticket.take(FIRST))
		self.assertEqual(self.ticket.issue(SECOND), Waiting(FIRST, is_launched=False))
		self.assertTrue(self.ticket.give_back(FIRST))
		self.assertIsNone(self.ticket.issue(SECOND))
		self.assertFalse(self.ticket.withdraw(FIRST))

	def test_one_that_was_launched_cannot_be_withdrawn(self):
		self.ticket.issue(FIRST)
		self.assertTrue(self.ticket.take(FIRST))
		self.assertFalse(self.ticket.withdraw(FIRST))
		self.assertEqual(self.ticket.waiting(), Waiting(FIRST, is_launched=True))

	def test_a_worker_and_the_web_process_at_the_same_instant_launch_one_operation(self):
		both = [LaunchTicket(self.server.connection(), BENCH) for _ in range(2)]
		with ThreadPoolExecutor(2) as threads:
			for _ in range(200):
				self.assertIsNone(self.ticket.issue(FIRST))
				start = Barrier(2)
				taken = threads.map(
					lambda ticket, start=start: start.wait() >= 0 and ticket.take(FIRST), both
				)
				self.assertEqual(sorted(taken), [False, True])
				self.assertTrue(self.ticket.give_back(FIRST))

	def test_what_is_no_ticket_names_no_operation_and_bars_none(self):
		for value in (
			b"queued ../../../etc/passwd",
			b"\xff\xfe",
			b"",
			b"queued",
			b"sh -c id",
			b"launched x y",
		):
			with self.subTest(value=value):
				self.admin.set(self.ticket.key, value)
				self.assertIsNone(self.ticket.waiting())
				self.assertIsNone(self.ticket.issue(FIRST))
				self.assertEqual(self.ticket.waiting(), Waiting(FIRST, is_launched=False))
				self.assertLessEqual(self.admin.ttl(self.ticket.key), 600)
				self.admin.delete(self.ticket.key)
