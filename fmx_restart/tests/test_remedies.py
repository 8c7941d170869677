"""What people are told to type can be pasted: no placeholder stands in it, and no path of a document that no bench has."""

from __future__ import annotations

import ast
import re
import unittest
from collections.abc import Iterator
from pathlib import Path

import fmx_restart

PACKAGE = Path(fmx_restart.__file__).parent
#: Markup, which is what a tag of HTML is
TAGS = {"b", "br", "li", "p", "ul"}
PLACEHOLDER = re.compile(r"(?<![\\gP])<(/?[a-z][a-z_ -]*)>")
DOCUMENT = re.compile(r"docs/[\w/-]+\.md")
#: Of a command; a word in capitals elsewhere is most often a name of something
CAPITALS = re.compile(r"\b(PID|USER|PROGRAM|PATH|FILE)\b(?!=)")
#: For a pipeline that has taken it from a checkout
ELSEWHERE = {"remote_restart.py"}


def sources() -> Iterator[tuple[str, ast.Module]]:
	for path in PACKAGE.rglob("*.py"):
		name = str(path.relative_to(PACKAGE))
		if not name.startswith(("tests/", "testing/")) and name not in ELSEWHERE:
			yield name, ast.parse(path.read_text())


def docstrings(module: ast.Module) -> set[int]:
	"""Ids of the nodes that are no text for people who operate a bench."""
	return {
		id(node.value)
		for node in ast.walk(module)
		if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
	}


def texts(module: ast.Module) -> Iterator[str]:
	"""Each string that the program may show."""
	left_out = docstrings(module)
	for node in ast.walk(module):
		if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
			yield node.value


def hints(module: ast.Module) -> Iterator[str]:
	"""What stands behind hint= and remedy=, without the values that are put in."""
	for node in ast.walk(module):
		if isinstance(node, ast.keyword) and node.arg in ("hint", "remedy"):
			yield from (
				part.value
				for part in ast.walk(node.value)
				if isinstance(part, ast.Constant) and isinstance(part.value, str)
			)


class TestRemedies(unittest.TestCase):
	def test_no_placeholder_stands_in_what_is_shown(self):
		found = [
			(name, text)
			for name, module in sources()
			for text in texts(module)
			if any(tag.strip("/") not in TAGS for tag in PLACEHOLDER.findall(text))
		]
		self.assertEqual(found, [])

	def test_no_word_in_capitals_stands_for_a_value_in_a_hint(self):
		found = [
			(name, text) for name, module in sources() for text in hints(module) if CAPITALS.search(text)
		]
		self.assertEqual(found, [])

	def test_no_page_is_named_that_no_bench_has(self):
		found = [
			(name, text) for name, module in sources() for text in texts(module) if DOCUMENT.search(text)
		]
		self.assertEqual(found, [])
