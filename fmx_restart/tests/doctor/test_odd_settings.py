"""Settings that nobody can read: each is a finding by file and key, no value is shown, and no check or table is lost."""

from __future__ import annotations

import json
from datetime import datetime
from unittest import mock

from fmx_restart.adapters.database import SiteDatabase
from fmx_restart.adapters.redis_queue.connection import connect
from fmx_restart.adapters.scheduled_events import Event, ScheduleRecord, local_time
from fmx_restart.doctor import in_background
from fmx_restart.doctor.concurrency import ask_each
from fmx_restart.doctor.runner import run_checks
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.test_sites import SITES, SitesCase

SECRET = "hunter2"
COMMON = "sites/common_site_config.json"


class OddSettingsCase(RedisTestCase, SitesCase):
	"""A bench's folders, a Redis and a web server."""

	def setUp(self) -> None:
		super().setUp()
		self.ways |= {
			"connection": self.server.connection,
			"queue_limit": lambda: None,
			"frappes_folder": lambda: str(self.bench),
		}
		RqBench(self.server, "bench").register("short")

	def all_texts(self) -> str:
		"""Everything that an examination of the whole bench tells, which must not fail anywhere."""
		examination = run_checks(self.view())
		failed = [found for found in examination.findings if found.check == "check-failed"]
		self.assertEqual(failed, [])
		self.assertEqual([row.site for row in examination.details["sites"]], list(SITES))
		return json.dumps(examination.as_dict())


class TestCommonFile(OddSettingsCase):
	ODD = (
		("workers", SECRET),
		("workers", 4),
		("workers", [SECRET]),
		("scheduler_interval", SECRET),
		("max_queued_jobs", [SECRET]),
		("rq_results_ttl", {"a": SECRET}),
		("redis_cache", f"redis://:{SECRET}#x@localhost"),
		("redis_cache", 5),
		("default_site", [SECRET]),
		("fmx_restart_supervisor_url", {"url": SECRET}),
		("webserver_port", f"{SECRET}/tcp"),
		("db_password", [SECRET]),
	)

	def test_each_is_told_by_file_and_key_and_loses_nothing_else(self):
		for key, value in self.ODD:
			with self.subTest(key=key, value=value), mock.patch.dict(self.common, {key: value}):
				self.configure("")
				told = [found for found in self.findings("odd-settings") if found.subject == ""]
				self.assertEqual(len(told), 1, told)
				self.assertTrue(told[0].text.startswith(f"{key} in {COMMON} "), told[0].text)
				texts = self.all_texts()
				self.assertNotIn(SECRET, texts)

	def test_sound_settings_are_no_finding(self):
		self.assertEqual(self.findings("odd-settings"), ())

	def test_a_queue_that_cannot_be_reached_for_its_url_is_told_once_and_with_nothing_of_it(self):
		self.ways["connection"] = lambda: connect({"redis_queue": f"redis://:{SECRET}#x@localhost"}, "bench")
		texts = self.all_texts()
		self.assertIn(f"redis_queue in {COMMON} ", texts)
		self.assertNotIn(SECRET, texts)


class TestSites(OddSettingsCase):
	def test_a_database_that_could_not_be_asked_is_an_error_and_the_others_are_told(self):
		for key, value in (("db_port", "3306/tcp"), ("db_host", "db..internal"), ("db_socket", [SECRET])):
			with self.subTest(key=key):
				self.configure("b.localhost", **{key: value})
				found = {finding.check: finding for finding in self.findings("database", "odd-settings")}
				self.assertEqual(found.keys(), {"database", "odd-settings"})
				for finding in found.values():
					self.assertEqual((finding.subject, finding.severity), ("b.localhost", "error"))
					self.assertIn(key, finding.text)
				self.assertIn("sites/b.localhost/site_config.json", found["odd-settings"].text)
				self.assertNotIn("no time to ask", found["database"].text)
				self.assertNotIn(SECRET, self.all_texts())

	def test_a_site_whose_name_no_header_carries_is_told_as_not_asked(self):
		name = "\u0441\u0430\u0439\u0442.localhost"
		(self.bench / "sites" / name).mkdir()
		self.configure(name)
		self.ways["sites"] = lambda: [*SITES, name]
		[finding] = self.findings("web")
		self.assertEqual((finding.subject, finding.severity), (name, "warning"))
		self.assertIn("could not be asked", finding.text)


class TestSchedules(OddSettingsCase):
	def view(self):
		view = super().view()
		view.parts.get("databases", lambda: {site: self.database for site in SITES})
		return view

	def schedule(self, zone: str, *events: Event) -> None:
		now = local_time(1_790_000_000.0, "Europe/Berlin")
		self.database = SiteDatabase(schedule=ScheduleRecord(True, zone, now, now, 4.0, events))

	def test_a_time_zone_that_nobody_knows_is_told_and_the_table_of_sites_is_there(self):
		self.schedule("Mars/Phobos", Event("app.work", "Daily", "", datetime(2026, 1, 1)))
		found = self.findings("odd-settings")
		self.assertEqual({finding.subject for finding in found}, set(SITES))
		self.assertTrue(all("time zone" in finding.text for finding in found))
		self.assertIn('"overdue": null', self.all_texts())

	def test_an_event_that_can_never_be_due_is_an_error_by_name_and_line(self):
		self.schedule("Europe/Berlin", Event("app.never", "Cron", "0 0 31 2 *", datetime(2026, 1, 1)))
		found = self.findings("impossible-events")
		self.assertEqual(
			{(finding.subject, finding.severity) for finding in found}, {(site, "error") for site in SITES}
		)
		self.assertIn("app.never (0 0 31 2 *)", found[0].text)
		self.all_texts()


class TestFolder(OddSettingsCase):
	def test_a_folder_that_frappe_takes_for_the_bench_and_we_do_not_is_told(self):
		apps = self.bench / "apps"
		(apps / "frappe").symlink_to("/opt/src/frappe")
		self.ways["frappes_folder"] = lambda: "/opt"
		text = self.findings("bench-folder")[0].text
		for part in ("Frappe takes /opt ", "a link to /opt/src/frappe", str(self.bench), "begin with bench"):
			self.assertIn(part, text)

	def test_one_folder_for_both_is_no_finding(self):
		self.assertEqual(self.findings("bench-folder"), ())


class TestThreads(OddSettingsCase):
	def test_an_exception_in_a_thread_is_the_answer_of_its_item_alone(self):
		found = dict(ask_each([1, 0, 2], lambda number: 10 // number, lambda error: type(error).__name__))
		self.assertEqual(found, {1: 10, 0: "ZeroDivisionError", 2: 5})

	def test_a_doctor_that_fails_beside_an_operation_is_told_in_one_line(self):
		def examine(names):
			raise RuntimeError(SECRET)

		doctor = in_background.BackgroundExamination(examine)
		[trouble] = eventually(doctor.troubles, "the doctor has looked")
		self.assertEqual(trouble.check, "check-failed")
		self.assertIn("RuntimeError", trouble.text)
		self.assertNotIn(SECRET, trouble.text)

	def test_a_check_that_ends_its_thread_is_told_as_one_that_failed(self):
		from fmx_restart.doctor.runner import ask

		def ends(view):
			raise SystemExit(SECRET)

		[finding] = ask(self.view(), {"ends": ends}, {}).findings
		self.assertEqual((finding.check, finding.subject), ("check-failed", "ends"))
		self.assertNotIn(SECRET, finding.text)
