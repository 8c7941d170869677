"""What Frappe reads in hooks.py, held against the DocTypes that there are."""

from __future__ import annotations

import gzip
import json
import re
import unittest
from pathlib import Path

from fmx_restart import hooks

APP = Path(hooks.__file__).parent
FOLDERS = APP / "fmx_restart" / "doctype"


class TestHooks(unittest.TestCase):
	def test_each_doctype_is_listed_only_where_the_site_may_see_it(self):
		"""Of a table Frappe asks no parent: whoever has the role for the parent's DocType lists all its rows."""
		doctypes = {json.loads(path.read_text())["name"] for path in FOLDERS.glob("*/*.json")}
		self.assertIn("Restart Operation Job", doctypes)
		self.assertEqual(set(hooks.permission_query_conditions), doctypes)


class TestWorkspace(unittest.TestCase):
	def test_each_card_and_shortcut_on_the_page_exists(self):
		"""The page names them by their labels; one that does not exist is shown as nothing at all."""
		page = json.loads((FOLDERS.parent / "workspace" / "restarts" / "restarts.json").read_text())
		shown = [block["data"] for block in json.loads(page["content"])]
		cards = {link["label"] for link in page["links"] if link["type"] == "Card Break"}
		self.assertEqual({block["card_name"] for block in shown if "card_name" in block}, cards)
		shortcuts = {shortcut["label"] for shortcut in page["shortcuts"]}
		self.assertEqual({block["shortcut_name"] for block in shown if "shortcut_name" in block}, shortcuts)
		blocks = [block["custom_block_name"] for block in page["custom_blocks"]]
		self.assertEqual(
			[block["custom_block_name"] for block in shown if "custom_block_name" in block], blocks
		)
		# And what is installed for it is removed with the app
		(fixture,) = json.loads((APP / "fixtures" / "custom_html_block.json").read_text())
		self.assertEqual([fixture["name"]], blocks)
		self.assertIn(f'BLOCK = "{fixture["name"]}"', (APP / "install.py").read_text())
		# And what it calls is there
		called = re.findall(r"fmx_restart\.(\w+)\(", fixture["script"])
		bundle = (APP / "public" / "js" / "fmx_restart.bundle.js").read_text()
		self.assertLessEqual(set(called), set(re.findall(r"\w+", bundle.partition("Object.assign")[2])))

	def test_what_is_on_every_page_of_desk_is_small(self):
		scripts = APP / "public" / "js"
		(name,) = hooks.app_include_js
		text = (scripts / name).read_text()
		imported = [
			(scripts / f"{path}.js").read_text()
			for path in re.findall(r'^import .* from "(.+)";', text, re.M)
		]
		self.assertEqual(len(imported), 1)
		self.assertNotIn("import ", imported[0])
		self.assertLess(len(gzip.compress("".join([text, *imported]).encode())), 3 * 1024)
