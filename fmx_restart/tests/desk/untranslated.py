"""Texts of the server with Frappe itself, and without a site whose language could be asked for."""

from __future__ import annotations

import unittest
from importlib.util import find_spec


@unittest.skipUnless(find_spec("frappe"), "Frappe translates")
class UntranslatedCase(unittest.TestCase):
	def setUp(self):
		super().setUp()
		import frappe

		frappe.local.lang = ""  # for any other Frappe asks Redis, and writes into ../logs when there is none
		self.addCleanup(frappe.local.__release_local__)
