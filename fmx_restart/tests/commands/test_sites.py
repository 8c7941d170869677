"""Which sites are meant. One that does not exist is refused before anything is touched; a restart would blame web for it."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

from fmx_restart.adapters.bench import is_site
from fmx_restart.commands.parameters import chosen_sites
from fmx_restart.engine.errors import WrongEnvironment

SITES = "a.localhost", "b.localhost"
ODD = (
	"b.locahlost",
	"",
	" ",
	".",
	"..",
	"../sites/a.localhost",
	"a.localhost/",
	"./a.localhost",
	"assets",
	"a.localhost\0",
	"x" * 300,
	"ä.localhost",
)


class TestChosenSites(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-sites-")
		self.addCleanup(folder.cleanup)
		self.addCleanup(os.chdir, Path.cwd())
		self.folder = Path(folder.name, "sites")
		for name in (*SITES, "assets"):
			(self.folder / name).mkdir(parents=True)
		for name in SITES:
			(self.folder / name / "site_config.json").write_text("{}")
		(self.folder / "common_site_config.json").write_text("{}")
		(self.folder / "apps.txt").touch()
		os.chdir(self.folder)
		self.absolute = str(self.folder / SITES[0])

	def refused(self, *typed: str, default: tuple = (), before: str | None = None, migrates: bool = False):
		with self.assertRaises(WrongEnvironment) as raised:
			chosen_sites(typed, default, before, migrates=migrates)
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertIn("Nothing was changed", str(raised.exception))
		return raised.exception

	def test_ours_come_before_that_of_bench_each_once_in_order(self):
		a, b = SITES
		self.assertEqual(chosen_sites([], [a]), (a,))
		self.assertEqual(chosen_sites([], [a], b), (b,))
		self.assertEqual(chosen_sites([b, a, b], [], "c"), (b, a))
		self.assertEqual(chosen_sites(["all"], []), SITES)
		self.assertEqual(chosen_sites([], [], "all"), SITES)

	def test_one_that_does_not_exist_is_refused_with_those_that_do(self):
		for name in (*ODD, self.absolute):
			with self.subTest(name):
				for error in (self.refused(name), self.refused(before=name)):
					self.assertIn(f"This bench has no site {name!r}.", str(error))
					self.assertEqual(error.hint, "Its sites: a.localhost, b.localhost.")

	def test_one_that_exists_does_not_help_another(self):
		error = self.refused(SITES[0], "c", migrates=True)
		self.assertIn("no site 'c'", str(error))

	def test_a_default_site_that_is_gone_keeps_nobody_from_restarting_and_is_not_migrated(self):
		self.assertEqual(chosen_sites([], ["gone.localhost"]), ())
		self.assertIn(
			"no site 'gone.localhost'", str(self.refused(default=("gone.localhost",), migrates=True))
		)

	def test_a_link_to_a_site_is_one(self):
		(self.folder / "c.localhost").symlink_to(SITES[0])
		self.assertTrue(is_site("c.localhost"))
		(self.folder / SITES[1] / "site_config.json").unlink()
		self.assertFalse(is_site(SITES[1]))

	def test_outside_a_bench_that_is_the_fault(self):
		os.chdir(self.folder.parent)
		self.assertIn("not the sites folder of a bench", str(self.refused(SITES[0])))

	def test_of_many_sites_some_are_named(self):
		for number in range(30):
			folder = self.folder / f"s{number:02}.localhost"
			folder.mkdir()
			(folder / "site_config.json").write_text("{}")
		self.assertTrue(self.refused("x").hint.endswith("s17.localhost and 12 more."))
