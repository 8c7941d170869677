"""The file that a launch executes: made once, by and for the bench user alone, and believed only whole."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from fmx_restart.commands import safe_restart
from fmx_restart.desk import start_request
from fmx_restart.desk.start_request import InvalidRequest, StartOrder, StartRequest

ID = "20261122-120000-d0c7"
ORDER = StartOrder(ID, "a.example.com", "api", "ada@example.com", StartRequest(sites=("a.example.com",)))


class TestStartOrder(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-order-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name) / "fmx_restart"
		start_request.write(self.folder, ORDER)
		self.path = self.folder / f"{ID}.request.json"

	def refused(self, reason: str) -> None:
		with self.assertRaisesRegex(InvalidRequest, reason):
			start_request.read(self.folder, ID)

	def change(self, **values) -> None:
		self.path.write_text(json.dumps({**json.loads(self.path.read_text()), **values}))

	def test_it_is_read_back_as_it_was_written_and_nobody_else_may_read_it(self):
		self.assertEqual(start_request.read(self.folder, ID), ORDER)
		self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
		self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

	def test_one_that_is_there_already_is_never_overwritten(self):
		with self.assertRaises(FileExistsError):
			start_request.write(self.folder, replace(ORDER, requested_by="eve@example.com"))
		self.assertEqual(start_request.read(self.folder, ID), ORDER)

	def test_a_symlink_is_neither_followed_nor_replaced(self):
		kept = self.folder / "elsewhere"
		self.path.rename(kept)
		self.path.symlink_to(kept)
		self.refused("cannot be used")
		self.path.unlink()
		self.path.symlink_to(self.folder / "not-there")
		with self.assertRaises(FileExistsError):
			start_request.write(self.folder, ORDER)

	def test_one_that_others_can_read_or_write_is_refused(self):
		for mode in (0o640, 0o604, 0o620, 0o602):
			self.path.chmod(mode)
			self.refused("nobody else")

	@unittest.skipUnless(os.geteuid() == 0, "only root can give a file away")
	def test_one_of_another_user_is_refused(self):
		os.chown(self.path, 12345, -1)
		self.refused("this user's")

	def test_a_fifo_is_refused_without_waiting_for_a_writer(self):
		self.path.unlink()
		os.mkfifo(self.path, 0o600)
		self.refused("cannot be used|this user's")

	def test_half_a_file_and_a_missing_one_are_refused_with_a_reason(self):
		self.path.write_text(self.path.read_text()[:-20])
		self.refused("cannot be used")
		start_request.remove(self.folder, ID)
		self.refused("has no file")

	def test_what_it_does_not_know_is_refused(self):
		for values in (
			{"format": 2},
			{"command": "bench safe-restart"},
			{"operation": "20261122-120000-d0c8"},
			{"operation": "../x"},
			{"site": "../x"},
			{"site": None},
			{"origin": "terminal"},
			{"origin": ["api"]},
			{"requested_by": "ada\n--migrate"},
			{"requested_by": ""},
			{"request": {"migrate_command": "id"}},
			{"request": None},
		):
			with self.subTest(values=values):
				start_request.remove(self.folder, ID)
				start_request.write(self.folder, ORDER)
				self.change(**values)
				self.refused("cannot be used|belongs to")

	def test_a_name_that_is_a_path_is_no_operation(self):
		for name in ("../../etc/passwd", "x", "", f"{ID}/..", f"{ID}\n"):
			with self.subTest(name=name), self.assertRaises(InvalidRequest):
				start_request.read(self.folder, name)

	def test_the_command_takes_who_started_it_as_values_and_not_as_options(self):
		request = replace(ORDER, requested_by="--migrate-command=id").argv()
		given = safe_restart.make_context("safe-restart", request).params
		self.assertEqual(given["requested_by"], "--migrate-command=id")
		self.assertEqual((given["operation"], given["origin"], given["yes"]), (ID, "api", True))
		self.assertIsNone(given["migrate_command"])


if __name__ == "__main__":
	unittest.main()
