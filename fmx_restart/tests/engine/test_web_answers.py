"""The account of what users get from web, request by request."""

from __future__ import annotations

import unittest

from fmx_restart.engine.web_answers import Tally, WebAnswers, outage


class TestTally(unittest.TestCase):
	def setUp(self):
		self.tally = Tally("127.0.0.1:8000")
		self.now = 100.0

	def wait(self, seconds: float) -> float:
		self.now += seconds
		return self.now

	def good(self, *, after: float = 0.1, takes: float = 0.02) -> None:
		sent = self.wait(after)
		self.tally.good(sent, self.wait(takes))

	def failed(self, *, after: float = 0.1, reason: str = "connection refused") -> None:
		self.tally.failed(self.wait(after), reason)

	def seen(self) -> WebAnswers:
		return self.tally.answers(self.now)

	def restart(self) -> None:
		self.tally.restart_begins(self.now)

	def test_a_request_that_waits_and_is_answered_is_slow_and_no_time_without_an_answer(self):
		self.good()
		self.restart()
		self.good(takes=3.0)
		self.assertTrue(self.seen().is_flawless)
		self.assertAlmostEqual(self.seen().slowest, 3.0)

	def test_several_silences_are_added_and_the_longest_is_known(self):
		self.good()
		self.restart()
		for seconds in (0.5, 1.5):
			self.failed(after=seconds)
			self.good(after=0.1, takes=0)
		seen = self.seen()
		self.assertAlmostEqual(seen.unanswered, 2.2)
		self.assertAlmostEqual(seen.longest, 1.6)
		self.assertEqual(seen.silence, 0)

	def test_while_a_silence_lasts_it_counts_until_now(self):
		self.good()
		self.failed(after=1.0)
		self.wait(2.0)
		self.assertAlmostEqual(self.seen().silence, 3.0)
		self.assertAlmostEqual(self.seen().unanswered, 3.0)

	def test_one_that_did_not_answer_before_owes_the_restart_nothing(self):
		self.failed(reason="HTTP 500")
		self.restart()
		self.failed(after=5.0)
		self.good(after=5.0)
		self.assertEqual((self.seen().before, self.seen().unanswered), ("HTTP 500", 0))
		# When it answers for once, then what follows is the restart's
		self.failed(after=0.1)
		self.good(after=1.0, takes=0)
		self.assertAlmostEqual(self.seen().unanswered, 1.1)

	def test_one_that_was_just_starting_and_answers_when_the_restart_begins_did_answer_before(self):
		self.failed()
		self.good()
		self.restart()
		self.assertEqual(self.seen().before, "")

	def test_one_that_is_silent_when_the_restart_begins_did_not_answer_before(self):
		self.good()
		self.failed(after=9.0, reason="HTTP 502")
		self.restart()
		self.good(after=5.0)
		self.assertEqual((self.seen().before, self.seen().unanswered), ("HTTP 502", 0))

	def test_a_request_that_was_sent_before_the_restart_and_answered_after_it_began_was_only_slow(self):
		sent = self.wait(0.1)
		self.wait(1.0)
		self.restart()
		self.assertEqual(self.seen().before, "no answer yet")
		self.tally.good(sent, self.wait(1.0))
		self.assertEqual(self.seen().before, "")

	def test_only_the_first_beginning_of_a_restart_counts(self):
		# Given a migration, which stops web before the restart phase does
		self.good()
		self.restart()
		self.failed(after=1.0)
		self.restart()
		self.good(after=1.0, takes=0)
		self.assertEqual((self.seen().before, self.seen().unanswered), ("", 2.0))

	def test_a_minute_in_which_nobody_measured_is_no_silence_whatever_came_before_and_after(self):
		for first, last in (("good", "failed"), ("failed", "good"), ("failed", "failed"), ("good", "good")):
			with self.subTest(first=first, last=last):
				self.setUp()
				self.good()
				self.restart()
				getattr(self, first)()
				began = self.now
				self.tally.skip(began, self.wait(60.0))
				getattr(self, last)()
				self.assertLess(self.seen().unanswered, 0.5)
				self.assertAlmostEqual(self.seen().unmeasured, 60.0)

	def test_a_closed_site_is_closed_and_what_fails_within_that_time_is_not(self):
		self.good()
		self.restart()
		self.tally.closed(self.wait(0.1))
		self.tally.closed(self.wait(10.0))
		self.failed(after=1.0)
		self.tally.closed(self.wait(1.0))
		self.good(after=5.0, takes=0)
		self.assertAlmostEqual(self.seen().closed, 15.1)
		self.assertAlmostEqual(self.seen().unanswered, 2.0)

	def test_a_request_that_is_under_way_at_the_end_counts_when_it_has_waited_for_long(self):
		for waited, is_silent in ((0.9, False), (4.0, True)):
			with self.subTest(waited=waited):
				self.setUp()
				self.good(takes=0)
				self.restart()
				sent = self.now
				self.tally.end(self.wait(waited), sent)
				self.assertEqual(self.seen().silence > 0, is_silent)
		self.assertEqual(self.seen().reason, "no answer within 4 s")

	def test_the_longest_outage_at_any_address_and_none_where_nobody_knows(self):
		flawless, away = WebAnswers("a", slowest=0.1), WebAnswers("b", slowest=0.1, unanswered=2.4)
		self.assertEqual(outage([flawless, away]), 2.4)
		self.assertEqual(outage([flawless, WebAnswers("c", before="HTTP 500")]), 0)
		self.assertIsNone(outage([WebAnswers("c", before="HTTP 500")]))
		self.assertIsNone(outage([]))
