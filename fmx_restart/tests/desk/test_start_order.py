"""The file that a launch executes: made once, by and for the bench user alone, and believed only whole."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from fmx_restart.desk import start_order
from fmx_restart.desk.start_order import InvalidOrder, StartOrder
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options

ID = "20261122-120000-d0c7"
SITE = "a.example.com"
OPTIONS = Options(sites=(SITE,), web_sites=(SITE,), requested_by="ada@example.com", origin="api")
ORDER = StartOrder(ID, SITE, OPTIONS)
#: As the version before wrote it: words for a command line
OLDER = {
	"format": 1,
	"operation": ID,
	"site": SITE,
	"origin": "api",
	"requested_by": "ada@example.com",
	"request": {"strategy": "wait-workers", "sites": [SITE], "web": True, "workers": True},
}


class TestStartOrder(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-order-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name) / "fmx_restart"
		start_order.write(self.folder, ORDER)
		self.path = self.folder / f"{ID}.request.json"

	def refused(self, reason: str) -> None:
		with self.assertRaisesRegex(InvalidOrder, reason):
			start_order.read(self.folder, ID)

	def change(self, **values) -> None:
		self.path.write_text(json.dumps({**json.loads(self.path.read_text()), **values}))

	def test_it_is_read_back_as_it_was_written_and_nobody_else_may_read_it(self):
		self.assertEqual(start_order.read(self.folder, ID), ORDER)
		self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
		self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

	def test_one_that_is_there_already_is_never_overwritten(self):
		with self.assertRaises(FileExistsError):
			start_order.write(self.folder, replace(ORDER, site="b.example.com"))
		self.assertEqual(start_order.read(self.folder, ID), ORDER)

	def test_a_symlink_is_neither_followed_nor_replaced(self):
		kept = self.folder / "elsewhere"
		self.path.rename(kept)
		self.path.symlink_to(kept)
		self.refused("cannot be used")
		self.path.unlink()
		self.path.symlink_to(self.folder / "not-there")
		with self.assertRaises(FileExistsError):
			start_order.write(self.folder, ORDER)

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
		start_order.remove(self.folder, ID)
		self.refused("has no file")

	def test_what_it_does_not_know_is_refused(self):
		for values in (
			{"format": 3},
			{"command": "bench safe-restart"},
			{"operation": "20261122-120000-d0c8"},
			{"operation": "../x"},
			{"site": "../x"},
			{"site": None},
			{"origin": "api"},
			{"options": None},
			{"options": {}},  # nobody asked for it, and from nowhere
		):
			with self.subTest(values=values):
				self.write_anew()
				self.change(**values)
				self.refused("cannot be used|belongs to")

	def test_an_option_that_nobody_may_order_is_refused(self):
		for values in (
			{"origin": "terminal"},
			{"origin": ["api"]},
			{"requested_by": "ada\n--migrate"},
			{"requested_by": ""},
			{"requested_by": "x" * 141},
			{"migration": {"command": ["id"]}},
			{"migrate_command": "id"},
			{"start_stopped_web": True},
			{"queue_limit": 1},
			{"report_every": 0.1},
			{"drain_timeout": "300"},
			{"sites": ["../x"]},
			{"sites": ["a"] * 10_001},
		):
			with self.subTest(values=values):
				self.write_anew()
				self.change(options={**OPTIONS.to_json(), **values})
				self.refused("cannot be used")

	def test_who_asked_for_it_is_a_name_and_never_an_option(self):
		options = replace(OPTIONS, requested_by="--migrate-command=id")
		start_order.remove(self.folder, ID)
		start_order.write(self.folder, replace(ORDER, options=options))
		found = start_order.read(self.folder, ID).options
		self.assertEqual((found.requested_by, found.migration), ("--migrate-command=id", None))

	def test_one_that_an_older_version_wrote_is_refused_with_a_sentence(self):
		self.path.write_text(json.dumps(OLDER))
		self.refused("Another version of fmx_restart wrote it")

	def test_no_program_can_be_ordered_in_code_either(self):
		migration = MigrationOptions(command=("id",))
		with self.assertRaisesRegex(InvalidOrder, "migration"):
			replace(ORDER, options=replace(OPTIONS, migration=migration))

	def test_json_of_any_depth_is_refused_and_breaks_nothing(self):
		self.path.write_text("[" * 100_000)
		self.refused("cannot be used")

	def write_anew(self) -> None:
		start_order.remove(self.folder, ID)
		start_order.write(self.folder, ORDER)

	def test_a_name_that_is_a_path_is_no_operation(self):
		for name in ("../../etc/passwd", "x", "", f"{ID}/..", f"{ID}\n"):
			with self.subTest(name=name), self.assertRaises(InvalidOrder):
				start_order.read(self.folder, name)


if __name__ == "__main__":
	unittest.main()
