from __future__ import annotations

import unittest

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.testing.clock import FakeClock


class ClockContract:
	def test_sleeping_moves_both_faces_of_the_clock(self):
		# Given the two times
		now, time = self.clock.now(), self.clock.time()
		# When we sleep
		self.clock.sleep(0.02)
		# Then both have moved by about that much
		self.assertGreaterEqual(self.clock.now() - now, 0.02)
		self.assertGreaterEqual(self.clock.time() - time, 0.019)

	def test_nobody_sleeps_a_negative_time(self):
		with self.assertRaises(ValueError):
			self.clock.sleep(-1)


class TestSystemClock(ClockContract, unittest.TestCase):
	def setUp(self):
		self.clock = SystemClock()


class TestFakeClock(ClockContract, unittest.TestCase):
	def setUp(self):
		self.clock = FakeClock()
		self.seen: list[tuple[str, float]] = []

	def note(self, what: str) -> None:
		self.seen.append((what, self.clock.now()))

	def test_scheduled_things_happen_in_order_each_at_its_own_moment(self):
		# Given three things, two of them at the same moment
		self.clock.at(3, lambda: self.note("third"))
		self.clock.at(1, lambda: self.note("first"))
		self.clock.at(1, lambda: self.note("second"))
		# When we sleep through two of them
		self.clock.sleep(2)
		# Then they have happened in the order in which they were asked for, and the clock is at the end
		self.assertEqual(self.seen, [("first", 1), ("second", 1)])
		self.assertEqual(self.clock.now(), 2)

	def test_what_happens_may_cause_more_in_the_same_sleep(self):
		self.clock.at(1, lambda: self.clock.after(1, lambda: self.note("consequence")))
		self.clock.sleep(5)
		self.assertEqual(self.seen, [("consequence", 2)])

	def test_what_is_asked_for_too_late_happens_in_the_next_sleep(self):
		self.clock.sleep(5)
		self.clock.at(1, lambda: self.note("late"))
		self.clock.sleep(0)
		self.assertEqual(self.seen, [("late", 5)])

	def test_it_remembers_how_long_each_sleep_was(self):
		self.clock.sleep(1)
		self.clock.sleep(0.5)
		self.assertEqual(self.clock.slept, [1, 0.5])
