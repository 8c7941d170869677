"""Our lines in sites/gunicorn.conf.py: put there, taken out, and a file of someone's own left whole."""

from __future__ import annotations

import unittest
from pathlib import Path

from fmx_restart.adapters.web.gunicorn_configuration import (
	LINES,
	Change,
	carry_out,
	plan_installation,
	plan_removal,
)
from fmx_restart.tests.adapters.benches import short_folder

OWN = "workers = 3\n\ndef when_ready(server):\n\tpass\n"


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

	def test_without_our_lines_there_is_nothing_to_remove(self):
		self.assertIs(plan_removal(self.sites).change, Change.NONE)
		self.file.write_text(OWN)
		self.assertIs(plan_removal(self.sites).change, Change.NONE)

	def test_lines_of_ours_that_someone_has_changed_are_not_cut(self):
		self.file.write_text(LINES.partition("# fmx_restart: end")[0])
		self.assertIs(plan_removal(self.sites).change, Change.BY_HAND)

	def test_the_lines_do_nothing_where_the_app_is_gone(self):
		gone = LINES.replace("fmx_restart.web", "app_that_is_gone.web")
		namespace: dict = {}
		exec(gone, namespace)
		self.assertNotIn("install", namespace)
