from __future__ import annotations

import unittest
from itertools import pairwise

from fmx_restart.engine.waiting import LONGEST_PAUSE, Patience, wait_until
from fmx_restart.testing.clock import FakeClock


class TestWaiting(unittest.TestCase):
	def setUp(self):
		self.clock = FakeClock()
		self.looks: list[float] = []  # when each look began

	def wait(self, patience: Patience, *, true_at: float = 1e9, look_takes: float = 0.0) -> bool:
		def condition() -> bool:
			self.looks.append(self.clock.now())
			self.clock.sleep(look_takes)
			return self.clock.now() >= true_at

		return wait_until(condition, patience, self.clock)

	def test_what_is_true_already_costs_one_look_and_no_time(self):
		self.assertTrue(self.wait(Patience(10), true_at=0))
		self.assertEqual((self.looks, self.clock.now()), ([0.0], 0.0))

	def test_it_is_noticed_at_the_next_look(self):
		self.assertTrue(self.wait(Patience(10, poll=0.5), true_at=1.2))
		self.assertEqual(self.looks, [0.0, 0.5, 1.0, 1.5])

	def test_time_is_up_at_the_deadline_and_not_later(self):
		self.assertFalse(self.wait(Patience(1, poll=0.4)))
		self.assertAlmostEqual(self.clock.now(), 1.0)

	def test_there_is_a_last_look_at_the_deadline(self):
		self.assertTrue(self.wait(Patience(1, poll=0.4), true_at=1.0))
		self.assertAlmostEqual(self.looks[-1], 1.0)

	def test_without_any_time_there_is_still_one_look(self):
		for timeout in (0, -5):
			with self.subTest(timeout=timeout):
				self.looks.clear()
				self.assertFalse(self.wait(Patience(timeout)))
				self.assertEqual(len(self.looks), 1)

	def test_a_look_that_outlasts_the_deadline_is_followed_by_one_more(self):
		# Given a look that takes longer than there is time
		self.assertFalse(self.wait(Patience(1), look_takes=3.0))
		# Then the state after the deadline was seen
		self.assertEqual(self.looks, [0.0, 3.0])

	def test_slow_looks_are_further_apart_so_that_looking_loads_nothing(self):
		self.wait(Patience(10, poll=0.01), true_at=0.3, look_takes=0.05)
		for earlier, later in pairwise(self.looks):
			self.assertAlmostEqual(later - earlier, 0.05 + 0.2)

	def test_no_pause_is_longer_than_what_a_change_may_wait_to_be_noticed(self):
		self.wait(Patience(10, poll=0.01), true_at=5, look_takes=1.0)
		for earlier, later in pairwise(self.looks):
			self.assertAlmostEqual(later - earlier, 1.0 + LONGEST_PAUSE)

	def test_what_a_look_raises_reaches_the_caller(self):
		with self.assertRaises(KeyError):
			wait_until(lambda: {}["missing"], Patience(10), self.clock)
