"""Sites that nobody named, or that someone named wrongly."""

from __future__ import annotations

import json

from fmx_restart.adapters.control_sites import CONTROL_KEY, OTHERS_KEY, mark_site
from fmx_restart.doctor.registry import Severity
from fmx_restart.tests.doctor.support import SITE, DoctorTestCase

OTHER = "two.localhost"


class TestControlSites(DoctorTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.sites = self.path / "sites"
		(self.sites / OTHER).mkdir()
		for site in (SITE, OTHER):
			(self.sites / site / "site_config.json").write_text("{}")
			mark_site(site, self.sites)

	def configure(self, **settings) -> None:
		(self.sites / "common_site_config.json").write_text(json.dumps(settings))
		self.ways["config"] = lambda: settings

	def test_several_sites_with_the_app_and_none_named(self):
		self.configure()
		found = self.finding("control-sites")
		self.assertEqual(found.severity, Severity.WARNING)
		self.assertIn("no control site is named", found.text)
		self.assertEqual(found.remedy, f"bench set-config -g -p {CONTROL_KEY} '[\"{SITE}\"]'")

	def test_a_named_site_that_does_not_exist_and_an_unknown_mode(self):
		self.configure(**{CONTROL_KEY: ["gone.localhost"], OTHERS_KEY: "all"})
		found = {finding.subject: finding.severity for finding in self.findings("control-sites")}
		self.assertEqual(found, {"gone.localhost": Severity.ERROR, OTHERS_KEY: Severity.ERROR})

	def test_nothing_is_said_where_one_is_named(self):
		self.configure(**{CONTROL_KEY: SITE, OTHERS_KEY: "restart"})
		self.assert_clean(["control-sites"])
