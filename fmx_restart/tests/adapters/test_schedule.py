"""The files of scheduled starts: by and for the bench user alone, whole or not at all, and believed only whole."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from fmx_restart.adapters.schedule import Outcome, Schedule, ScheduledStart, lateness, latest, new_id
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.start_time import StartTime

SITE, ID, OPERATION = "a.example.com", "at-0123abcd", "20261128-220003-0a0b"
WHEN = StartTime(1795899600.0, 1795901400.0, "2026-11-28", "22:00", "", "Europe/Berlin", "weekly")
OPTIONS = Options(
	sites=(SITE,),
	migration=MigrationOptions(backup=True),
	maintenance=frozenset({Phase.MIGRATE}),
	requested_by="ada@example.com",
	origin="schedule",
)
START = ScheduledStart(
	ID, SITE, "ada@example.com", "desk", WHEN, OPTIONS, "key", OPERATION, Outcome(1.0, OPERATION, "busy")
)


class TestSchedule(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-schedule-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name) / "fmx_restart"
		self.schedule = Schedule(self.folder)
		with self.schedule.locked():
			self.schedule.write(START)
		self.path = self.folder / f"{ID}.schedule.json"

	def assert_unusable(self, why: str) -> None:
		self.assertEqual(self.schedule.all(), [])
		self.assertIsNone(self.schedule.find(ID))
		self.assertRegex(self.schedule.unreadable()[self.path.name], why)

	def test_it_is_read_back_as_it_was_written_and_nobody_else_may_read_it(self):
		self.assertEqual(self.schedule.all(), [START])
		self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
		self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

	def test_a_change_is_whole_or_not_there_and_what_a_killed_one_left_does_no_harm(self):
		with (
			patch.object(Path, "replace", side_effect=KeyboardInterrupt),
			self.assertRaises(KeyboardInterrupt),
		):
			self.schedule.write(replace(START, id=new_id()))
		(left,) = self.folder.glob(".*.new")
		left.unlink()
		left.symlink_to(self.folder / "elsewhere")
		changed = replace(START, starting="", last=None, is_over=True)
		self.schedule.write(changed)
		self.assertEqual(self.schedule.all(), [changed])
		self.assertFalse((self.folder / "elsewhere").exists())
		self.assertEqual(list(self.folder.glob(".*.new")), [])
		self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

	def test_the_next_one_comes_first_and_one_that_is_gone_is_gone(self):
		sooner = replace(START, id=new_id(), when=replace(WHEN, at=WHEN.at - 1))
		self.schedule.write(sooner)
		self.assertEqual(self.schedule.all(), [sooner, START])
		self.schedule.remove(ID)
		self.schedule.remove(ID)
		self.assertEqual(self.schedule.all(), [sooner])

	def test_one_that_others_can_read_or_that_is_a_link_starts_nothing(self):
		self.path.chmod(0o640)
		self.assert_unusable("nobody else")
		self.path.chmod(0o600)
		self.path.rename(self.folder / "elsewhere")
		self.path.symlink_to(self.folder / "elsewhere")
		self.assert_unusable(".")

	def test_what_it_does_not_know_starts_nothing(self):
		whole = json.loads(self.path.read_text())
		for values in (
			{"format": 2},
			{"command": "id"},
			{"id": "at-00000000"},
			{"id": "../../x"},
			{"site": "../x"},
			{"asked_from": "guest"},
			{"starting": "../x"},
			{"when": {**whole["when"], "repeat": "hourly"}},
			{"when": {**whole["when"], "at": "now"}},
			{"options": {**whole["options"], "migration": {"command": ["id"]}}},
			{"options": {**whole["options"], "origin": "root"}},
			{"options": {**whole["options"], "unknown": 1}},
			{"is_over": 1},
		):
			with self.subTest(values=values):
				self.path.write_text(json.dumps({**whole, **values}))
				self.assert_unusable(".")
		for text in ("", "[", "[" * 100_000, json.dumps(whole)[:-9]):
			self.path.write_text(text)
			self.assert_unusable(".")

	def test_a_name_that_is_a_path_is_no_id(self):
		for id in ("../x", "at-1", f"{ID}/..", f"{ID}\n", ""):
			self.assertIsNone(self.schedule.find(id))
			with self.assertRaises(ValueError):
				self.schedule.remove(id)

	def test_one_at_a_time_changes_them(self):
		seen: list[int] = []

		def look(_: int) -> None:
			with Schedule(self.folder).locked():
				seen.append(1)
				self.assertEqual(len(seen), 1)
				seen.clear()

		with ThreadPoolExecutor(8) as threads:
			list(threads.map(look, range(100)))
		with (
			self.schedule.locked(),
			self.assertRaisesRegex(WrongEnvironment, "schedule.lock locked. Nothing was changed") as raised,
			Schedule(self.folder).locked(0.0),
		):
			pass
		self.assertIn("fuser -v", raised.exception.hint)

	@unittest.skipIf(os.geteuid() == 0, "root writes everywhere")
	def test_a_folder_that_cannot_be_written_is_told(self):
		self.folder.chmod(0o500)
		self.addCleanup(self.folder.chmod, 0o700)
		with self.assertRaisesRegex(WrongEnvironment, "Nothing was changed"):
			self.schedule.write(START)

	def test_it_is_late_by_as_much_as_the_scheduler_looks_away(self):
		self.assertEqual(lateness({}), 300.0)
		self.assertEqual(lateness({"scheduler_interval": 60}), 120.0)
		self.assertEqual(lateness({"scheduler_interval": "soon"}), 300.0)

	def test_it_is_not_too_late_before_the_scheduler_has_looked(self):
		hourly = {"scheduler_interval": 3600}
		self.assertEqual(latest(WHEN, {}), WHEN.until)
		self.assertEqual(latest(WHEN, hourly), WHEN.at + 3660)
		self.assertEqual(latest(replace(WHEN, end="22:30"), hourly), WHEN.until)


if __name__ == "__main__":
	unittest.main()
