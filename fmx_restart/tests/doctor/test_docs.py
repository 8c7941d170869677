"""Every finding has its page, and every page its finding."""

from __future__ import annotations

import re
import unittest
from pathlib import Path

from fmx_restart.doctor.registry import CHECKS
from fmx_restart.doctor.runner import FAILED, NO_MANAGER, UNREACHABLE

PAGES = Path(__file__).parents[3] / "docs" / "doctor"


@unittest.skipUnless(PAGES.is_dir(), "only a checkout has the documents")
class TestDocs(unittest.TestCase):
	def test_each_finding_has_a_page_of_its_name_and_there_are_no_others(self):
		pages = {page.stem for page in PAGES.glob("*.md")}
		self.assertEqual(pages, {*CHECKS.all(), FAILED, NO_MANAGER, UNREACHABLE})

	def test_each_page_is_linked_from_the_doctors_own(self):
		linked = set(re.findall(r"\[([a-z-]+)\]\(doctor/\1\.md\)", (PAGES.parent / "doctor.md").read_text()))
		self.assertEqual(linked, {page.stem for page in PAGES.glob("*.md")})

	def test_each_page_says_what_to_do(self):
		for page in PAGES.glob("*.md"):
			self.assertIn("**What to do.**", page.read_text(), page.name)
