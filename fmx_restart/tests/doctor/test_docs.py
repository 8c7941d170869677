"""Every finding has its page, every page its finding, and what the documents name exists."""

from __future__ import annotations

import importlib
import json
import re
import unittest
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from pathlib import Path

from fmx_restart.doctor.registry import CHECKS, Finding
from fmx_restart.doctor.runner import FAILED, NO_MANAGER, UNREACHABLE
from fmx_restart.engine.identity import Holder

CHECKOUT = Path(__file__).parents[3]
PAGES = CHECKOUT / "fmx_restart" / "doctor" / "pages"
IMPORTED = re.compile(r"^from (fmx_restart[\w.]*) import (\w+)$", re.MULTILINE)
TEST = re.compile(
	r"\b((?:bench|engine|adapters|doctor|desk|commands|console)/(?:test_)?\w+\.py)((?:::Test\w+)?)"
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")
PATH = re.compile(r"`((?:fmx_restart|engine|console|desk|doctor|commands|adapters|tests)/[\w/.]*)`")


def documents() -> list[Path]:
	return [*(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"]


def anchors(text: str) -> set[str]:
	"""Those that GitHub makes of a page's headings."""
	headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
	return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@unittest.skipUnless(PAGES.is_dir(), "only a checkout has the documents")
class TestDocs(unittest.TestCase):
	def test_each_finding_has_a_page_of_its_name_and_there_are_no_others(self):
		pages = {page.stem for page in PAGES.glob("*.md")}
		self.assertEqual(pages, {*CHECKS.all(), FAILED, NO_MANAGER, UNREACHABLE})

	def test_each_page_is_linked_from_the_doctors_own(self):
		"""Once, in the row of its group."""
		linked = re.findall(
			r"\[([a-z-]+)\]\(\S*/pages/\1\.md\)", (CHECKOUT / "docs" / "doctor.md").read_text()
		)
		self.assertEqual(sorted(linked), sorted(page.stem for page in PAGES.glob("*.md")))

	def test_each_page_has_the_same_parts_in_the_same_order(self):
		for page in PAGES.glob("*.md"):
			title, *rest = page.read_text().splitlines()
			self.assertEqual(title, f"# {page.stem}")
			parts = [
				part
				for line in rest
				for part in re.findall(r"^\*\*(Severity|Confirm|What to do)\.\*\*", line)
			]
			self.assertEqual(parts, ["Severity", "Confirm", "What to do"], page.name)

	def test_what_a_document_imports_can_be_imported(self):
		shown = [found for page in documents() for found in IMPORTED.findall(page.read_text())]
		self.assertIn(("fmx_restart.wiring", "examine"), shown)
		for module, name in shown:
			self.assertTrue(hasattr(importlib.import_module(module), name), f"{module}.{name}")

	def test_each_path_that_a_document_names_exists(self):
		roots = (CHECKOUT, CHECKOUT / "fmx_restart")
		for page in documents():
			for path in PATH.findall(page.read_text()):
				with self.subTest(page=page.name, path=path):
					self.assertTrue(any((root / path).exists() for root in roots))

	def test_each_test_that_a_document_names_exists(self):
		roots = (CHECKOUT / "fmx_restart" / "tests", CHECKOUT / "fmx_restart")
		for page in documents():
			for path, name in set(TEST.findall(page.read_text())):
				with self.subTest(page=page.name, path=path, name=name):
					files = [root / path for root in roots if (root / path).exists()]
					self.assertTrue(files)
					self.assertIn(f"class {name[2:]}" if name else "", files[0].read_text())

	def test_each_link_leads_to_a_page_and_to_a_heading_of_it(self):
		for page in [*documents(), *PAGES.glob("*.md")]:
			for path, heading in LINK.findall(page.read_text()):
				with self.subTest(page=page.name, path=path, heading=heading):
					target = page.parent / path if path else page
					self.assertTrue(target.exists())
					if heading:
						self.assertIn(heading, anchors(target.read_text()))

	def test_the_finding_that_the_api_shows_is_one_that_the_doctor_makes(self):
		text = (CHECKOUT / "docs" / "api.md").read_text().partition("### findings")[2]
		shown = json.loads(text.partition("```json")[2].partition("```")[0])
		self.assertEqual(shown["findings"][0].keys(), {field.name for field in fields(Finding)})
		self.assertLessEqual({finding["check"] for finding in shown["findings"]}, CHECKS.all().keys())

	def test_the_holder_that_the_api_shows_is_written_as_a_holder_is(self):
		zone = timezone(timedelta(hours=5, minutes=30), "IST")
		since = datetime(2026, 11, 22, 10, 15, 3, tzinfo=zone).timestamp()
		holder = Holder("20261122-101502-7f3a", "ada@example.com", "app1", 4711, "Drain", since)
		self.assertIn(f'"holder": "{holder.text(zone)}"', (CHECKOUT / "docs" / "api.md").read_text())
