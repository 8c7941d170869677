from __future__ import annotations

import unittest

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_restart.desk.sample_lines import at_even_times, counts_in, number_in, sample_in


class TestSampleLines(unittest.TestCase):
	def test_what_we_wrote_is_read(self):
		self.assertEqual(
			sample_in(b'{"time": 5.5, "depths": {"short": 3}}'), {"time": 5.5, "depths": {"short": 3}}
		)
		self.assertEqual((counts_in(b"[3, 0]"), number_in(b"1790000040.0")), ([3, 0], 1790000040.0))

	def test_what_others_wrote_is_none(self):
		odd = (
			b"",
			b"\xff",
			b"[" * 100_000,
			b"5",
			b'{"time": "now", "depths": {}}',
			b'{"time": NaN, "depths": {}}',
		)
		for text in (
			*odd,
			b'{"time": 5}',
			b'{"time": 5, "depths": {"short": "many"}}',
			b'{"time": 5, "depths": [1]}',
		):
			self.assertIsNone(sample_in(text), text[:30])
		for text in (b"[1]", b"[1, 2, 3]", b'["a", "b"]', b"{}", b"1"):
			self.assertIsNone(counts_in(text), text)
		for text in (b"soon", b"nan", b"inf", b"\xff"):
			self.assertIsNone(number_in(text), text)

	def test_a_chart_gets_points_at_equal_distances_in_time(self):
		samples = [{"time": time, "depths": {"short": time}} for time in (100.0, 110.0, 120.0, 400.0, 700.0)]
		points = at_even_times(samples, 7, 10.0)
		self.assertEqual(
			[point["time"] for point in points], [100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0]
		)
		self.assertEqual([point["depths"]["short"] for point in points], [100, 120, 120, 400, 400, 400, 700])
		few = at_even_times(samples[:3], 120, 10.0)
		self.assertEqual([point["time"] for point in few], [100.0, 110.0, 120.0])
		self.assertEqual((at_even_times([], 120, 10.0), len(at_even_times(samples[:1], 120, 10.0))), ([], 1))

	@settings(deadline=None)
	@given(st.binary())
	def test_any_bytes_are_a_sample_or_none(self, text):
		sample_in(text), counts_in(text), number_in(text)
