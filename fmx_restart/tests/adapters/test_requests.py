"""The mailbox of an operation: what is asked, and whatever else someone puts there."""

from __future__ import annotations

import json
import unittest

from fmx_restart.adapters.redis_queue.requests import LARGEST, MOST, RedisRequests
from fmx_restart.engine.ports import LONGEST_EXTENSION, Mail, Request, RequestKind
from fmx_restart.testing.queue import InMemoryRequests
from fmx_restart.tests.adapters.redis_server import RedisTestCase

BENCH = "home-anna-bench"
CANCEL = Request(RequestKind.CANCEL, "anna@example.com")
ASKED = [CANCEL, Request(RequestKind.EXTEND, "ben", 60.0), Request(RequestKind.FORCE, "Ärmel Ünal"), CANCEL]
GOOD = {"wish": "extend", "by": "anna", "seconds": 60}
WRONG = {
	"wish": (None, "", "reboot", "CANCEL", 7, ["cancel"], {"cancel": 1}),
	"by": (None, "", 7, ["anna"], " \t\n "),
	"seconds": (
		None,
		"60",
		True,
		[],
		float("nan"),
		float("inf"),
		-1,
		0,
		1e300,
		LONGEST_EXTENSION + 1,
		10**400,
	),
}


class RequestsContract:
	def test_each_request_is_taken_once_in_the_order_in_which_they_came(self):
		for request in ASKED:
			self.requests.put(request)
		self.assertEqual(self.requests.take(), Mail(tuple(ASKED)))
		self.assertEqual(self.requests.take(), Mail())


class TestInMemoryRequests(RequestsContract, unittest.TestCase):
	def setUp(self):
		self.requests = InMemoryRequests()


class TestRedisRequests(RequestsContract, RedisTestCase):
	user: str | None = None

	def setUp(self):
		super().setUp()
		self.requests = RedisRequests(self.server.connection(self.user), BENCH, "operation-1")

	def taken(self, *entries) -> Mail:
		"""Whatever stands before and after these, one request is behind them."""
		self.admin.rpush(self.requests.key, *entries)
		self.requests.put(CANCEL)
		mail = self.requests.take()
		self.assertEqual(mail.requests[-1], CANCEL)
		self.assertEqual(self.requests.take(), Mail())
		return mail

	def test_what_is_no_request_is_counted_and_the_next_one_is_taken(self):
		for entry in (b"", b"\xff\xfe", b"{", b"null", b"7", b'"cancel"', b"[]", b"{}", b"[" * 2000, b"\x00"):
			with self.subTest(entry=entry[:20]):
				mail = self.taken(entry)
				self.assertEqual((len(mail.requests), len(mail.unreadable)), (1, 1))

	def test_a_field_that_is_missing_or_wrong_is_told_without_what_stood_there(self):
		for name, values in WRONG.items():
			for value in values:
				with self.subTest(name=name, value=str(value)[:20]):
					mail = self.taken(json.dumps({**GOOD, name: value}))
					self.assertEqual((len(mail.requests), len(mail.unreadable)), (1, 1))
					self.assertNotIn(str(value) if value else "anna", mail.unreadable[0])
			missing = {key: value for key, value in GOOD.items() if key != name}
			self.assertEqual(len(self.taken(json.dumps(missing)).unreadable), 1)

	def test_seconds_mean_nothing_where_no_time_is_asked_for(self):
		for seconds in (None, "x", float("nan")):
			mail = self.taken(json.dumps({"wish": "force", "by": "anna", "seconds": seconds}))
			self.assertEqual(mail.requests[0], Request(RequestKind.FORCE, "anna"))

	def test_what_another_version_adds_is_left_out(self):
		mail = self.taken(json.dumps({**GOOD, "reason": "because"}))
		self.assertEqual(mail.requests[0], Request(RequestKind.EXTEND, "anna", 60.0))

	def test_a_name_is_shown_as_one_line_of_printable_characters(self):
		mail = self.taken(json.dumps({**GOOD, "by": "\x1b[31manna\n\u202e" + "a" * 500}))
		name = mail.requests[0].by
		self.assertTrue(name.isprintable() and name.startswith(r"\x1b[31manna\n\u202eaaa"), name)
		self.assertLess(len(name), 200)

	def test_one_that_is_too_long_never_leaves_redis(self):
		before = self.admin.info("stats")["total_net_output_bytes"]
		self.assertEqual(len(self.taken("x" * 5_000_000, b"y" * (LARGEST + 1)).unreadable), 2)
		self.assertLess(self.admin.info("stats")["total_net_output_bytes"] - before, 100_000)

	def test_only_so_many_are_taken_at_once_and_the_rest_is_taken_later(self):
		self.admin.rpush(self.requests.key, *["garbage"] * (2 * MOST))
		self.requests.put(CANCEL)
		first, second, third = (self.requests.take() for _ in range(3))
		self.assertEqual((len(first.unreadable), len(second.unreadable)), (MOST, MOST))
		self.assertEqual(third, Mail((CANCEL,)))

	def test_a_key_of_another_type_is_taken_away(self):
		self.admin.set(self.requests.key, "x")
		self.assertEqual(len(self.requests.take().unreadable), 1)
		self.requests.put(CANCEL)
		self.assertEqual(self.requests.take(), Mail((CANCEL,)))

	def test_an_empty_mailbox_is_read_where_nothing_can_be_written(self):
		self.admin.execute_command("REPLICAOF", "127.0.0.1", "1")
		self.addCleanup(self.admin.execute_command, "REPLICAOF", "NO", "ONE")
		self.assertEqual(self.requests.take(), Mail())


class TestRedisRequestsWithFrappesPermissions(TestRedisRequests):
	user = BENCH

	def setUp(self):
		self.server.add_bench_user(BENCH)
		super().setUp()
