"""Who holds the bench, as it stands in a Redis where others can write too."""

from __future__ import annotations

import json
import unittest
from dataclasses import asdict
from datetime import timedelta, timezone

from fmx_restart.engine.identity import Holder, describe

ANNA = Holder("20261122-120000-beef", "anna@erp-1", "erp-1", 4242, "Drain", 1.6e9, identity="boot 77")


class TestHolder(unittest.TestCase):
	def test_its_note_is_read_as_it_was_written_whatever_the_owner_is_called(self):
		for owner in ("20261122-120000-beef", "fmx_restart:home-a b-bench:20261122-120000-beef/1f2e"):
			self.assertEqual(Holder.parse(f"{owner} {ANNA.note()}"), ANNA)

	def test_what_is_no_note_is_none(self):
		for value in (None, "", "1", "owner", "owner {}", "owner []", "owner {", "{" * 5000, '{"a": ' * 5000):
			self.assertIsNone(Holder.parse(value), value)

	def test_a_note_with_a_field_of_the_wrong_kind_is_none_and_is_described_all_the_same(self):
		wrong = {"operation": [1], "requested_by": None, "pid": "4242", "identity": 7, "since": 1e300}
		for name, value in (*wrong.items(), ("since", float("nan")), ("phase", {}), ("since", -1)):
			with self.subTest(name=name, value=value):
				note = f"owner {json.dumps({**asdict(ANNA), name: value})}"
				self.assertIsNone(Holder.parse(note))
				self.assertIn("anna" if name != "requested_by" else "owner", describe(note))

	def test_the_clock_time_names_its_zone(self):
		zone = timezone(timedelta(hours=5, minutes=30), "IST")
		self.assertIn("since 2020-09-13 17:56:40 IST, waiting for running jobs", ANNA.text(zone))
		self.assertRegex(str(ANNA), r"since 2020-09-1\d \d\d:\d\d:\d\d \S+, waiting for running jobs")

	def test_nothing_that_a_terminal_would_obey_is_shown_and_no_more_than_a_line(self):
		for text in ("\x1b[2J\x07anna\r\nroot", "\u202eanna\u2028", "anna" * 100_000):
			for value in (text, f"owner {Holder(text, text, text, 1, text, 1.0).note()}"):
				self.assertTrue(describe(value).isprintable())
				self.assertLess(len(describe(value)), 1000)
				self.assertIn("anna", describe(value))


if __name__ == "__main__":
	unittest.main()
