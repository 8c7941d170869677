"""The log of a row has a beginning and an end, however long the operation takes."""

from __future__ import annotations

import unittest
from datetime import timezone

from fmx_restart.desk.projection import FIRST, LAST, OperationLog


class TestOperationLog(unittest.TestCase):
	def text(self, entries: int) -> str:
		log = OperationLog(timezone.utc)
		for number in range(entries):
			log.add(number, f"entry {number}")
		return log.text()

	def test_a_short_one_is_whole(self):
		lines = self.text(FIRST + LAST).splitlines()
		self.assertEqual(len(lines), FIRST + LAST)
		self.assertEqual(lines[0], "00:00:00  entry 0")

	def test_of_a_long_one_the_middle_is_counted(self):
		lines = self.text(20_000).splitlines()
		self.assertEqual(len(lines), FIRST + 1 + LAST)
		self.assertEqual(lines[FIRST - 1][10:], f"entry {FIRST - 1}")
		self.assertEqual(
			lines[FIRST], f"… {20_000 - FIRST - LAST} entries are left out here. The journal has them all."
		)
		self.assertEqual(lines[-1][10:], "entry 19999")
