"""Sites that are closed, broken, or not answered for. Databases: tests/bench/test_doctor_sites.py."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch

from fmx_restart.adapters.site_config import site_settings
from fmx_restart.doctor import sites
from fmx_restart.doctor.concurrency import ask_each
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.ports import ProcessKind, ProcessState, Setting
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryHost, InMemoryProcesses, Program
from fmx_restart.tests.adapters.benches import refusing_port
from fmx_restart.tests.doctor.host_bench import HostTestCase

SITES = ("a.localhost", "b.localhost")
CHECKS = ("database", "database-latency", "maintenance-mode", "site-config", "web")


class Web(BaseHTTPRequestHandler):
	"""Answers as its server was told for the Host that is asked for."""

	def do_GET(self):
		status = self.server.statuses.get(self.headers["Host"], 200)
		if status is None:
			self.server.is_over.wait()
			return
		self.send_response(status)
		self.end_headers()

	def log_message(self, *args):
		"""Silent."""


class SitesCase(HostTestCase):
	def setUp(self):
		super().setUp()
		# what listens takes the place of a database that is not asked for more
		self.database = socket.create_server(("127.0.0.1", 0))
		self.addCleanup(self.database.close)
		self.web = ThreadingHTTPServer(("127.0.0.1", 0), Web)
		self.web.daemon_threads = True
		self.web.statuses, self.web.is_over = {}, threading.Event()
		threading.Thread(target=self.web.serve_forever, args=(0.02,), daemon=True).start()  # seconds
		self.addCleanup(self.web.server_close)
		self.addCleanup(self.web.shutdown)
		self.addCleanup(self.web.is_over.set)
		self.common = {
			"db_type": "postgres",
			"db_port": self.database.getsockname()[1],
			"webserver_port": self.web.server_address[1],
		}
		self.programs = InMemoryProcesses(FakeClock(), Program("web", ProcessKind.WEB))
		self.ways |= {
			"host": InMemoryHost,
			"sites": lambda: list(SITES),
			"config": lambda: self.common,
			"processes": lambda: self.programs,
		}
		for site in SITES:
			(self.bench / "sites" / site).mkdir()
			self.configure(site)
		self.configure("")

	def configure(self, site: str, **settings) -> None:
		name = "site_config.json" if site else "common_site_config.json"
		values = settings if site else {**self.common, **settings}
		(self.bench / "sites" / site / name).write_text(json.dumps(values))

	def subjects(self, check: str) -> list[str]:
		found = self.findings(check)
		self.assertEqual({finding.check for finding in found} - {check}, set(), found)
		return [finding.subject for finding in found]


class TestSites(SitesCase):
	def test_open_sites_that_answer_are_clean(self):
		self.assertEqual(self.findings(*CHECKS), ())

	def test_a_site_that_is_closed_is_told_with_the_age_of_its_file(self):
		self.configure("b.localhost", maintenance_mode=1)
		[finding] = self.findings("maintenance-mode")
		self.assertEqual((finding.subject, finding.severity), ("b.localhost", "warning"))
		self.assertRegex(finding.text, r"last changed [\d.]+ s ago")

	def test_a_bench_that_is_closed_is_told_once(self):
		self.common["maintenance_mode"] = 1
		self.configure("")
		self.assertEqual(self.subjects("maintenance-mode"), [""])

	def test_what_an_operation_closes_is_told_by_others_while_it_runs_and_when_it_died(self):
		self.configure("b.localhost", maintenance_mode=1)
		view = self.view()
		view.parts.get("lock_note", lambda: "operation 1")
		self.assertEqual(run_checks(view, ["maintenance-mode"]).findings, ())
		# Given the journal of one that died
		found, new = (Setting("b.localhost", "maintenance_mode", value, bool(value)) for value in (None, 1))
		folder = self.bench / "logs/fmx_restart"
		folder.mkdir()
		(folder / "20260101-000000-abcd.jsonl").write_text(
			json_line(events.SettingChanged(found, new)) + "\n"
		)
		self.assertEqual(self.findings("maintenance-mode"), ())

	def test_a_configuration_that_cannot_be_read_is_told_and_hides_no_other_site(self):
		(self.bench / "sites/a.localhost/site_config.json").write_text("{,}")
		self.configure("b.localhost", maintenance_mode=1)
		found = {(finding.check, finding.subject) for finding in self.findings(*CHECKS)}
		self.assertEqual(found, {("site-config", "a.localhost"), ("maintenance-mode", "b.localhost")})

	def test_a_database_server_that_is_away_is_told_once_for_all_its_sites_and_hides_no_other(self):
		port = refusing_port(self)
		(self.bench / "sites/c.localhost").mkdir()
		self.ways["sites"] = lambda: [*SITES, "c.localhost"]
		for site in ("a.localhost", "c.localhost"):
			self.configure(site, db_port=port)
		[finding] = self.findings("database")
		self.assertEqual(finding.subject, f"127.0.0.1:{port}")
		self.assertIn("a.localhost, c.localhost", finding.text)
		self.assertNotIn("b.localhost", finding.text)

	def test_the_environment_wins_over_the_site_and_the_site_over_the_common_file(self):
		self.configure("a.localhost", db_port=1, db_name="a")
		found = site_settings(self.bench, "a.localhost", {"FRAPPE_DB_PORT": "2", "FRAPPE_DB_TYPE": ""})
		self.assertEqual((found["db_port"], found["db_name"], found["db_type"]), ("2", "a", "postgres"))


class TestWeb(SitesCase):
	def test_each_site_that_fails_is_told_and_one_that_is_meant_to_be_closed_is_not(self):
		self.web.statuses = {"a.localhost": 500, "b.localhost": 503}
		self.assertEqual(self.subjects("web"), ["a.localhost", "b.localhost"])
		self.configure("b.localhost", maintenance_mode=1)
		self.assertEqual(self.subjects("web"), ["a.localhost"])

	def test_a_web_server_that_is_away_is_told_once(self):
		self.common["webserver_port"] = refusing_port(self)
		self.configure("")
		[finding] = self.findings("web")
		self.assertEqual(finding.severity, "error")
		self.assertIn("a.localhost, b.localhost", finding.text)

	def test_a_port_that_is_no_number_is_told(self):
		self.common["webserver_port"] = "no-port"
		self.configure("")
		[finding] = self.findings("web")
		self.assertIn("webserver_port in sites/common_site_config.json is not a port number", finding.text)
		self.assertNotIn("no-port", finding.text)

	def test_a_web_server_that_somebody_stopped_is_to_be_started_and_not_restarted(self):
		self.common["webserver_port"] = refusing_port(self)
		self.configure("")
		self.programs.end("web")
		[finding] = self.findings("web")
		self.assertEqual(finding.remedy, "web was stopped. Start it: in-memory start web")

	def test_where_no_web_server_belongs_to_this_machine_none_is_missed(self):
		self.common["webserver_port"] = refusing_port(self)
		self.configure("")
		self.programs = InMemoryProcesses(
			FakeClock(), Program("worker", ProcessKind.WORKER, state=ProcessState.RUNNING)
		)
		self.assertEqual(self.findings("web"), ())

	def test_one_that_hangs_is_told_in_time_and_hides_no_other(self):
		self.web.statuses = {"a.localhost": None, "b.localhost": 500}
		with patch.object(
			sites, "TIMEOUT", 0.5
		):  # seconds; all sites together have little more than a site has
			found = {finding.subject: finding.severity for finding in self.findings("web")}
		self.assertEqual(found, {"": "warning", "b.localhost": "error"})

	def test_a_site_that_fails_for_want_of_its_database_is_told_as_that(self):
		self.web.statuses = {"a.localhost": 500}
		self.configure("a.localhost", db_port=refusing_port(self))
		self.assertEqual({finding.check for finding in self.findings("web", "database")}, {"database"})


class TestAskEach(SitesCase):
	def test_what_hangs_is_missing_and_nobody_waits_for_it(self):
		over = threading.Event()
		self.addCleanup(over.set)
		began = time.monotonic()
		found = dict(
			ask_each(range(40), lambda n: over.wait() if n == 7 else n * n, str, threads=4, limit=0.5)
		)
		self.assertLess(time.monotonic() - began, 2)
		self.assertEqual(found, {n: n * n for n in range(40) if n != 7})

	def test_nobody_to_ask_is_no_answer(self):
		self.assertEqual(list(ask_each([], str, str)), [])
