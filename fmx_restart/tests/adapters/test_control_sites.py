"""Which sites command a bench: read from its sites folder, and from nothing that a site's administrator can write."""

from __future__ import annotations

import json
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from fmx_restart.adapters.control_sites import (
	CONTROL_KEY,
	OTHERS_KEY,
	Mode,
	line_to_type,
	mark_site,
	marked_sites,
	read_rule,
	unmark_site,
)
from fmx_restart.engine.errors import WrongEnvironment

A, B, C = "a.example.com", "b.example.com", "c.example.com"


class TestControlSites(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-sites-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)
		for site in (A, B, C):
			(self.folder / site).mkdir()
			(self.folder / site / "site_config.json").write_text(json.dumps({CONTROL_KEY: [site]}))
		self.configure()

	def configure(self, **settings: Any) -> None:
		(self.folder / "common_site_config.json").write_text(json.dumps(settings))

	def modes(self) -> list[str]:
		rule = read_rule(self.folder)
		return [rule.mode(site).value for site in (A, B, C)]

	def subjects(self) -> list[str]:
		return [fault.subject for fault in read_rule(self.folder).faults]

	def test_the_only_site_with_the_app_commands_and_nothing_is_said(self):
		mark_site(B, self.folder)
		self.assertEqual(self.modes(), ["own", "control", "own"])
		self.assertEqual(self.subjects(), [])

	def test_of_several_none_commands_until_one_is_named_and_the_line_names_the_default_site(self):
		mark_site(A, self.folder)
		mark_site(B, self.folder)
		self.configure(default_site=B)
		self.assertEqual(self.modes(), ["own", "own", "own"])
		rule = read_rule(self.folder)
		(fault,) = rule.faults
		self.assertEqual((fault.remedy, fault.is_error), (line_to_type(B), False))
		self.assertEqual(rule.advice, line_to_type(B))
		self.configure(**{CONTROL_KEY: [A]})
		self.assertEqual(self.modes(), ["control", "own", "own"])
		self.assertEqual((self.subjects(), read_rule(self.folder).advice), ([], ""))

	def test_one_name_several_with_commas_and_a_list_are_the_same(self):
		for value in ([A, C], f"{A}, {C}", f"{A},{C},"):
			self.configure(**{CONTROL_KEY: value})
			self.assertEqual(self.modes(), ["control", "own", "control"], value)
		self.configure(**{CONTROL_KEY: A})
		self.assertEqual(self.modes(), ["control", "own", "own"])

	def test_an_empty_list_means_that_only_a_shell_commands(self):
		mark_site(A, self.folder)
		self.configure(**{CONTROL_KEY: []})
		self.assertEqual((self.modes(), self.subjects()), (["own"] * 3, []))

	def test_a_name_without_a_site_commands_nothing_and_is_a_fault(self):
		mark_site(A, self.folder)
		for name in ("nobody.example.com", "", "..", f"../{self.folder.name}/{A}", "a\0b", "assets"):
			with self.subTest(name=name):
				self.configure(**{CONTROL_KEY: [name, B]})
				self.assertEqual(self.modes(), ["own", "control", "own"])
				self.assertEqual(self.subjects(), [name] if name else [])
				self.assertIs(read_rule(self.folder).mode(name), Mode.OWN)

	def test_what_is_no_list_of_names_names_none(self):
		mark_site(A, self.folder)
		for value in (None, 1, True, {"a": 1}, [1], [[A]], [A, None]):
			with self.subTest(value=value):
				self.configure(**{CONTROL_KEY: value})
				self.assertEqual((self.modes(), self.subjects()), (["own"] * 3, [CONTROL_KEY]))

	def test_other_sites_are_off_own_or_restart_and_anything_else_counts_as_off(self):
		for value, mode in (("off", "off"), ("own", "own"), ("restart", "restart")):
			self.configure(**{CONTROL_KEY: A, OTHERS_KEY: value})
			self.assertEqual((self.modes(), self.subjects()), (["control", mode, mode], []))
		for value in ("control", "Own", "", None, True, 1, ["own"], {}):
			with self.subTest(value=value):
				self.configure(**{CONTROL_KEY: A, OTHERS_KEY: value})
				self.assertEqual((self.modes(), self.subjects()), (["control", "off", "off"], [OTHERS_KEY]))

	def test_what_cannot_be_read_raises(self):
		for text in ("{", "[]", ""):
			(self.folder / "common_site_config.json").write_text(text)
			with self.assertRaises(WrongEnvironment):
				read_rule(self.folder)

	def test_marks_of_sites_are_made_and_removed(self):
		mark_site(A, self.folder)
		mark_site(A, self.folder)
		(self.folder / "no-site").mkdir()
		mark_site("no-site", self.folder)
		(self.folder / "link").symlink_to(self.folder / A)
		self.assertEqual(marked_sites(self.folder), [A])
		unmark_site(A, self.folder)
		unmark_site(A, self.folder)
		self.assertEqual(marked_sites(self.folder), [])

	def test_the_line_is_safe_to_paste_whatever_a_site_is_called(self):
		site = "a b'\"$(id).example.com"
		words = subprocess.run(
			["bash", "-c", f"printf '%s\\n' {line_to_type(site)}"], capture_output=True, text=True, check=True
		).stdout.splitlines()
		self.assertEqual(words[:5], ["bench", "set-config", "-g", "-p", CONTROL_KEY])
		self.assertEqual(json.loads(words[5]), [site])


if __name__ == "__main__":
	unittest.main()
