"""What every SiteSettings must do. Mixed into one TestCase per implementation."""

from __future__ import annotations

from dataclasses import replace

from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Setting

SITE, KEY = "a.localhost", "maintenance_mode"
ABSENT = Setting(SITE, KEY)
ON = Setting(SITE, KEY, 1, True)


class SettingsContract:
	"""`self.settings` on a site whose file holds `self.content()`; `self.damage()` makes it unreadable."""

	def test_a_key_that_is_not_there_is_absent(self):
		self.assertEqual(self.settings.read(SITE, KEY), ABSENT)

	def test_a_key_goes_on_and_comes_back_as_it_was(self):
		for found in (ABSENT, *(replace(ON, value=value) for value in (0, None, False, True, "0", 1))):
			with self.subTest(found=found):
				self.assertTrue(self.settings.replace(self.settings.read(SITE, KEY), found))
				before = self.content()
				self.assertTrue(self.settings.replace(found, ON))
				self.assertEqual(self.settings.read(SITE, KEY), ON)
				self.assertTrue(self.settings.replace(ON, found))
				self.assertEqual(repr(self.content()), repr(before))

	def test_nothing_else_changes(self):
		before = self.content()
		self.settings.replace(ABSENT, ON)
		self.assertEqual(self.content(), {**before, KEY: 1})

	def test_what_somebody_else_wrote_stays(self):
		self.settings.replace(ABSENT, replace(ON, value=0))
		self.assertFalse(self.settings.replace(ON, ABSENT))
		self.assertEqual(self.content()[KEY], 0)

	def test_what_is_so_already_is_fine(self):
		self.assertTrue(self.settings.replace(ON, ABSENT))

	def test_a_damaged_file_is_an_error_and_stays_as_it_is(self):
		self.damage()
		for act in (lambda: self.settings.read(SITE, KEY), lambda: self.settings.replace(ABSENT, ON)):
			with self.assertRaises(WrongEnvironment):
				act()
