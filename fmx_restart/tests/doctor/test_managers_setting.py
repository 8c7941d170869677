"""The doctor on fmx_restart_managers: one that cannot be used, and a password that every user can read."""

from __future__ import annotations

from pathlib import Path

from fmx_restart.doctor.registry import Severity
from fmx_restart.tests.doctor.host_bench import HostTestCase

CHECK = "managers-setting"
SECRET = "hunter2"


class TestManagersSetting(HostTestCase):
	def configure(self, **entry: str) -> None:
		config = {
			"fmx_restart_managers": [{"kind": "supervisor", "url": "http://app2:9001", "user": "x", **entry}]
		}
		self.ways["config"] = lambda: config

	def test_one_that_cannot_be_used_is_an_error_without_its_password(self):
		self.configure(password=SECRET, colour="red")
		(found,) = self.findings(CHECK)
		self.assertEqual((found.severity, found.subject), (Severity.ERROR, ""))
		self.assertIn("entry 1 has an unknown key: 'colour'", found.text)
		self.assertNotIn(SECRET, f"{found}")

	def test_a_password_that_others_can_read_is_a_warning_until_its_mode_is_changed(self):
		file = Path(self.home, "app2.password")
		file.write_text(SECRET)
		file.chmod(0o644)
		self.configure(password_file=str(file))
		(found,) = self.findings(CHECK)
		self.assertEqual((found.severity, found.subject), (Severity.WARNING, "app2"))
		self.assertEqual(found.remedy, f"chmod o-r {file}")
		self.assertNotIn(SECRET, f"{found}")
		file.chmod(0o640)
		self.assertEqual(self.findings(CHECK), ())

	def test_no_setting_is_no_finding(self):
		self.assertEqual(self.findings(CHECK), ())
