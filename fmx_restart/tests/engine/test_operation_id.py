from __future__ import annotations

import unittest
from datetime import datetime, timedelta

from fmx_restart.engine.identity import STAMP, is_operation_id, new_operation_id


class TestOperationId(unittest.TestCase):
	def test_it_tells_when_it_was_made(self):
		made = datetime.strptime(new_operation_id()[:15], STAMP)
		self.assertLess(abs(datetime.now() - made), timedelta(seconds=5))

	def test_it_sorts_after_the_last_one_also_in_one_second_and_where_the_clock_was_set_back(self):
		for ahead in (timedelta(0), timedelta(hours=1), timedelta(days=4000)):
			last = f"{datetime.now() + ahead:{STAMP}}-ffff"
			ids = [last, *(last := new_operation_id(last) for _ in range(3))]
			self.assertEqual(ids, sorted(ids))
			self.assertTrue(all(map(is_operation_id, ids)))

	def test_a_last_one_that_is_no_id_or_no_time_is_no_obstacle(self):
		for last in ("", "guardian", "99999999-999999-ffff", "99991231-235959-ffff"):
			with self.subTest(last):
				self.assertTrue(is_operation_id(new_operation_id(last)))


if __name__ == "__main__":
	unittest.main()
