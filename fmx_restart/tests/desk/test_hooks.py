"""What Frappe reads in hooks.py, held against the DocTypes that there are."""

from __future__ import annotations

import json
import unittest
from pathlib import Path

from fmx_restart import hooks

FOLDERS = Path(hooks.__file__).parent / "fmx_restart" / "doctype"


class TestHooks(unittest.TestCase):
	def test_each_doctype_is_listed_only_where_the_site_may_see_it(self):
		"""Of a table Frappe asks no parent: whoever has the role for the parent's DocType lists all its rows."""
		doctypes = {json.loads(path.read_text())["name"] for path in FOLDERS.glob("*/*.json")}
		self.assertIn("Restart Operation Job", doctypes)
		self.assertEqual(set(hooks.permission_query_conditions), doctypes)
