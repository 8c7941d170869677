"""What a person writes for "when", and the instant it means; also where clocks are set."""

from __future__ import annotations

import unittest
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fmx_restart.engine.start_time import GRACE, InvalidStartTime, StartTime, following, parse, shown

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 20, 0, tzinfo=BERLIN)  # a Thursday


def zone_of(name: str) -> tzinfo | None:
	try:
		return ZoneInfo(name)
	except (ZoneInfoNotFoundError, ValueError):
		return None


def read(text: str, repeat: str = "", now: datetime = NOW) -> StartTime:
	return parse(text, repeat, now.timestamp(), "Europe/Berlin", zone_of)


def parse_late(text: str, late: float) -> StartTime:
	return parse(text, "", NOW.timestamp(), "Europe/Berlin", zone_of, late)


def local(at: float, zone: str = "Europe/Berlin") -> str:
	return f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%Y-%m-%d %H:%M}"


#: What is written → day and time in Berlin, typed on Thursday 2026-11-26 at 20:00
MEANT = {
	"22:00": "2026-11-26 22:00",
	"  22:00 ": "2026-11-26 22:00",
	"today 20:01": "2026-11-26 20:01",
	"tomorrow 3:05": "2026-11-27 03:05",
	"Thu 22:00": "2026-11-26 22:00",
	"thu 19:00": "2026-12-03 19:00",
	"sunday 03:00": "2026-11-29 03:00",
	"SUN 03:00": "2026-11-29 03:00",
	"2026-11-28 22:00": "2026-11-28 22:00",
	"2026-11-28T22:00": "2026-11-28 22:00",
	"22:00 UTC": "2026-11-26 23:00",
	"2026-11-27 08:00 Asia/Kolkata": "2026-11-27 03:30",
	"19:00-23:00": "2026-11-26 19:00",  # the window is open
	"22:00-02:00": "2026-11-26 22:00",
}
#: What is written → a word of the reason
REFUSED = {
	"": "not a time",
	"now": "not a time",
	"22": "not a time",
	"22.00": "not a time",
	"10pm": "not a time",
	"22:00:30": "not a time",
	"25:00": "No clock shows 25:00",
	"22:60": "No clock shows 22:60",
	"22:00-24:00": "No clock shows 24:00",
	"someday 22:00": "'someday' is not a day",
	"2026-02-30 22:00": "no day 2026-02-30",
	"22:00 Mars/Olympus": "not a time zone",
	"22:00 ../../etc/passwd": "not a time",
	"19:00": 'has passed. Write "tomorrow 19:00"',
	"20:00": "has passed",
	"today 20:00": "has passed",
	"2026-11-26 19:59": "has passed. Write a later one",
	"18:00-19:30": "has passed",
	"2028-01-01 22:00": "more than a year ahead",
	"22:00; reboot": "not a time",
	"22:00" + " " * 100 + "reboot": "not a time",
	"9999-12-31 22:00-02:00": "9999-12-31 is more than a year ahead",
	"0001-01-01 00:00 Pacific/Kiritimati": "0001-01-01 has passed, more than a year ago",
	"x" * 100_000: "not a time",
}


class TestParsing(unittest.TestCase):
	def test_what_is_written_is_what_is_meant(self):
		for text, meant in MEANT.items():
			with self.subTest(text):
				self.assertEqual(local(read(text).at), meant)

	def test_what_cannot_be_meant_is_refused_with_what_to_write(self):
		for text, reason in REFUSED.items():
			with self.subTest(text[:40]), self.assertRaises(InvalidStartTime) as raised:
				read(text)
			self.assertIn(reason, str(raised.exception))
			self.assertLess(len(str(raised.exception)), 300)

	def test_without_a_window_it_may_start_half_an_hour_late_and_with_one_until_its_end(self):
		self.assertEqual(read("22:00").until - read("22:00").at, GRACE)
		self.assertEqual(local(read("22:00-02:00").until), "2026-11-27 02:00")
		self.assertEqual(local(read("22:00-23:15").until), "2026-11-26 23:15")

	def test_a_window_that_the_scheduler_may_not_see_is_refused(self):
		for text, is_long_enough in {"22:00-22:05": True, "22:00-22:04": False, "19:00-20:04": False}.items():
			with self.subTest(text):
				if is_long_enough:
					self.assertEqual(parse_late(text, 300).end, text[-5:])
				else:
					with self.assertRaisesRegex(
						InvalidStartTime, "too short a window: the scheduler may look only 5 min after"
					):
						parse_late(text, 300)

	def test_a_time_that_is_repeated_need_not_lie_ahead(self):
		self.assertEqual(local(read("19:00", "daily").at), "2026-11-27 19:00")
		self.assertEqual(local(read("19:00", "weekly").at), "2026-12-03 19:00")
		self.assertEqual(local(read("2026-11-01 03:00", "weekly").at), "2026-11-29 03:00")
		with self.assertRaisesRegex(InvalidStartTime, "not a repetition. Write daily or weekly"):
			read("22:00", "hourly")


class TestClocksThatAreSet(unittest.TestCase):
	SPRING = datetime(2026, 3, 27, 12, 0, tzinfo=BERLIN)
	AUTUMN = datetime(2026, 10, 24, 12, 0, tzinfo=BERLIN)

	def test_a_time_that_is_left_out_is_told_and_starts_once(self):
		start = read("2026-03-29 02:30", now=self.SPRING)
		self.assertEqual(local(start.at), "2026-03-29 03:30")
		self.assertIn(
			"there is no 02:30 on that day, as clocks are set forward; it starts at 03:30",
			shown(start, BERLIN),
		)

	def test_a_window_of_which_all_is_left_out_is_as_long_as_on_other_days(self):
		start = read("2026-03-29 02:30-03:00", now=self.SPRING)
		self.assertEqual((local(start.at), local(start.until)), ("2026-03-29 03:30", "2026-03-29 04:00"))
		longer = read("2026-03-29 02:30-05:00", now=self.SPRING)
		self.assertEqual(local(longer.until), "2026-03-29 05:00")

	def test_of_a_time_that_is_there_twice_the_first_is_meant(self):
		start = read("2026-10-25 02:30", now=self.AUTUMN)
		self.assertEqual(local(start.at, "UTC"), "2026-10-25 00:30")
		self.assertIn("02:30 comes twice on that day", shown(start, BERLIN))

	def test_a_repetition_keeps_its_clock_time(self):
		start = read("sun 03:00", "weekly", now=datetime(2026, 3, 20, 12, 0, tzinfo=BERLIN))
		for day in ("2026-03-29", "2026-04-05"):
			start = following(start, start.at, BERLIN)
			self.assertEqual(local(start.at), f"{day} 03:00")
		self.assertEqual(start.note, "")

	def test_what_was_missed_is_passed_over(self):
		start = read("22:00", "daily")
		found = following(start, NOW.timestamp() + 10 * 86400, BERLIN)
		self.assertEqual(local(found.at), "2026-12-06 22:00")
		week = following(read("sun 03:00", "weekly"), NOW.timestamp() + 60 * 86400, BERLIN)
		self.assertEqual(local(week.at), "2027-01-31 03:00")


if __name__ == "__main__":
	unittest.main()
