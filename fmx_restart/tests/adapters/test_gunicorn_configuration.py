"""Our lines in sites/gunicorn.conf.py: put there, taken out, and a file of someone's own left whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fmx_restart.adapters.control_sites import mark_site, unmark_site
from fmx_restart.adapters.web.gunicorn_configuration import (
	LINES,
	Change,
	advice_at_installation,
	carry_out,
	plan_installation,
	plan_removal,
	remove_where_unused,
)
from fmx_restart.adapters.web.ways import MARK, is_set_up
from fmx_restart.tests.adapters.benches import short_folder

OWN = "workers = 3\n\ndef when_ready(server):\n\tpass\n"


@contextmanager
def full_disk() -> Iterator[None]:
	"""No file may grow beyond 10 bytes."""
	limits = resource.getrlimit(resource.RLIMIT_FSIZE)
	resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
	try:
		yield
	finally:
		resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def nobody() -> Iterator[None]:
	"""A user who owns nothing there."""
	if os.geteuid() != 0:
		raise unittest.SkipTest("needs root to become another user")
	os.seteuid(65534)
	try:
		yield
	finally:
		os.seteuid(0)


class TestConfiguration(unittest.TestCase):
	def setUp(self):
		self.sites = short_folder(self)
		self.file = Path(self.sites, "gunicorn.conf.py")

	def test_a_file_is_created_and_deleted_again(self):
		planned = plan_installation(self.sites)
		self.assertEqual((planned.change, self.file.exists()), (Change.CREATE, False))
		carry_out(planned)
		self.assertEqual(self.file.read_text(), LINES)
		self.assertIs(plan_installation(self.sites).change, Change.NONE)
		carry_out(plan_removal(self.sites))
		self.assertEqual(list(self.sites.iterdir()), [])

	def test_a_file_of_ones_own_is_as_it_was_afterwards(self):
		self.file.write_text(OWN)
		carry_out(plan_installation(self.sites))
		self.assertTrue(self.file.read_text().startswith(OWN))
		self.assertTrue(self.file.read_text().endswith(LINES))
		carry_out(plan_removal(self.sites))
		self.assertEqual(self.file.read_text(), OWN)

	def test_every_letter_of_it_is(self):
		for own in (
			OWN,
			"\n\n# only this",
			"workers = 3\r\nthreads = 4\r\n",
			"name = 'ä'\n\n\n",
			"\tx = 1\n"[1:],
		):
			self.file.write_bytes(own.encode())
			carry_out(plan_installation(self.sites))
			self.assertTrue(is_set_up(self.sites))
			carry_out(plan_removal(self.sites))
			self.assertIn(self.file.read_bytes().decode(), (own, f"{own}\n"))

	def test_lines_that_someone_added_below_ours_stay(self):
		carry_out(plan_installation(self.sites))
		self.file.write_text(f"{LINES}threads = 4\n")
		carry_out(plan_removal(self.sites))
		self.assertEqual(self.file.read_text(), "threads = 4\n")

	def test_what_cannot_be_changed_safely_is_left_to_the_person(self):
		self.file.write_text("workers = (\n")
		self.assertIs(plan_installation(self.sites).change, Change.BY_HAND)
		self.file.unlink()
		self.file.symlink_to(self.sites / "elsewhere.py")
		self.assertIs(plan_installation(self.sites).change, Change.BY_HAND)

	def test_a_link_to_a_file_that_has_the_lines_is_set_up_and_they_are_taken_out_by_hand(self):
		(self.sites / "elsewhere.py").write_text(OWN + LINES)
		self.file.symlink_to(self.sites / "elsewhere.py")
		self.assertIs(plan_installation(self.sites).change, Change.NONE)
		self.assertIs(plan_removal(self.sites).change, Change.BY_HAND)

	def test_what_is_no_text_is_never_changed(self):
		self.file.write_bytes(b"\xff\xfe\0x")
		self.assertIs(plan_installation(self.sites).change, Change.BY_HAND)
		self.assertIs(plan_removal(self.sites).change, Change.NONE)
		self.file.write_bytes(b"\xff" + LINES.encode())
		self.assertIs(plan_removal(self.sites).change, Change.BY_HAND)

	def test_lines_that_are_a_comment_do_nothing(self):
		self.file.write_text("".join(f"# {line}\n" for line in LINES.splitlines()))
		self.assertFalse(is_set_up(self.sites))
		self.assertIs(plan_installation(self.sites).change, Change.APPEND)

	def test_a_full_disk_leaves_everything_as_it_was(self):
		for own in ("", OWN):
			if own:
				self.file.write_text(own)
			before = {path.name: path.read_text() for path in self.sites.iterdir()}
			with full_disk(), self.assertRaises(OSError):
				carry_out(plan_installation(self.sites))
			self.assertEqual({path.name: path.read_text() for path in self.sites.iterdir()}, before)

	def test_a_folder_in_which_one_may_not_write_and_a_file_of_another_user_stay_as_they_are(self):
		self.sites.chmod(0o755)
		for text in ("", OWN):
			if text:
				self.file.write_text(text)
			with nobody(), self.assertRaises(PermissionError):
				carry_out(plan_installation(self.sites))
			self.assertEqual([path.read_text() for path in self.sites.iterdir()], [text] if text else [])

	def test_without_our_lines_there_is_nothing_to_remove(self):
		self.assertIs(plan_removal(self.sites).change, Change.NONE)
		self.file.write_text(OWN)
		self.assertIs(plan_removal(self.sites).change, Change.NONE)

	def test_lines_of_ours_that_someone_has_changed_are_not_cut(self):
		self.file.write_text(LINES.partition("# fmx_restart: end")[0])
		self.assertIs(plan_removal(self.sites).change, Change.BY_HAND)

	def test_the_lines_do_nothing_and_say_nothing_where_the_app_is_gone_or_broken(self):
		package = self.sites / "broken_app"
		package.mkdir()
		for code in (
			None,
			"def (:",
			"raise RuntimeError",
			"raise SystemExit(3)",
			"import app_that_is_gone",
			"",
		):
			if code is not None:
				(package / "hooks.py").write_text(code)
			(self.sites / "lines.py").write_text(LINES.replace(MARK, "broken_app.hooks"))
			words = [sys.executable, "-B", "-c", "import lines; print('as always')"]
			done = subprocess.run(words, cwd=self.sites, capture_output=True, text=True)
			self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "as always\n", ""), code)


class TestTheAppLeaves(unittest.TestCase):
	"""The last site takes our lines with it, and nothing of that may keep the app from leaving."""

	def setUp(self):
		self.sites = short_folder(self)
		self.file = Path(self.sites, "gunicorn.conf.py")
		for site in ("one", "two"):
			(self.sites / site).mkdir()
			(self.sites / site / "site_config.json").write_text("{}")
			mark_site(site, self.sites)
		carry_out(plan_installation(self.sites))

	def leave(self, *sites: str) -> str:
		for site in sites:
			unmark_site(site, self.sites)
		return remove_where_unused(self.sites)

	def test_the_lines_stay_as_long_as_a_site_has_the_app(self):
		self.assertEqual(self.leave("one"), "")
		self.assertEqual(self.file.read_text(), LINES)

	def test_they_go_with_the_last_one_and_a_file_of_ones_own_stays(self):
		self.file.write_text(f"{OWN}\n{LINES}")
		self.assertIn("were removed", self.leave("one", "two"))
		self.assertEqual(self.file.read_text(), OWN)
		self.assertEqual(self.leave("one", "two"), "")

	def test_lines_that_someone_changed_are_left_to_the_person(self):
		self.file.write_text(LINES.partition("# fmx_restart: end")[0])
		self.assertIn("by hand", self.leave("one", "two"))
		self.assertTrue(self.file.exists())

	def test_what_cannot_be_written_is_told_with_what_to_type(self):
		self.file.write_text(f"{OWN}\n{LINES}")
		draft = self.sites / ".gunicorn.conf.py.fmx_restart"
		draft.mkdir()  # what root could not write either
		self.assertIn("bench safe-restart setup web --remove", self.leave("one", "two"))
		self.assertIn(LINES, self.file.read_text())

	def test_at_the_installation_the_command_is_told_unless_it_was_typed_already(self):
		self.assertEqual(advice_at_installation(self.sites), "")
		self.file.unlink()
		self.assertIn("bench safe-restart setup", advice_at_installation(self.sites))
		self.assertFalse(self.file.exists())
