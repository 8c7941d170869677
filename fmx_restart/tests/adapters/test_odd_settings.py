"""Settings that people and programs wrote as nobody expects them: told by file and key, and else Frappe's default."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from fmx_restart.adapters.bench import (
	STANDARD,
	apps_in,
	bench_folder,
	bench_id,
	check_workers,
	queue_limits,
	read_config,
	web_port,
)
from fmx_restart.adapters.database import database_fault, days, inspect_database, look_at_database, moment
from fmx_restart.adapters.managers.supervisor.connection import Unusable, parse_url
from fmx_restart.adapters.redis_queue.connection import connection_for, credentials
from fmx_restart.adapters.scheduled_events import Event, ScheduleRecord, local_time
from fmx_restart.adapters.setting_rules import RULES, number, odd_settings, port_number, whole_number
from fmx_restart.adapters.site_config import parsed
from fmx_restart.adapters.user import who_types
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.migration import Gravity
from fmx_restart.tests.repetitions import repetitions

CHECKOUT = Path(__file__).parents[3]
SECRET = "hunter2"
ANYTHING = st.recursive(
	st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
	lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
	max_leaves=5,
)
SOUND = {
	"db_name": "one",
	"db_password": SECRET,
	"db_host": "127.0.0.1",
	"db_port": 1,
}  # of a database; none answers


@contextlib.contextmanager
def folder() -> Iterator[Path]:
	with tempfile.TemporaryDirectory(prefix="fmx-odd-") as name:
		yield Path(name).resolve()


class TestBench(unittest.TestCase):
	def refused(self, act) -> WrongEnvironment:
		with self.assertRaises(WrongEnvironment) as caught:
			act()
		self.assertEqual(caught.exception.exit_code, 7)
		self.assertIn("sites/common_site_config.json", str(caught.exception))
		self.assertIn("Nothing was changed.", str(caught.exception))
		return caught.exception

	def test_workers_that_are_no_mapping_are_refused_before_any_worker_is_stopped(self):
		"""frappe.utils.background_jobs.get_queues_timeout raises with each of them, so no new worker would come up."""
		for value in ("long", 4, ["long"], {"mine": 300}, {"mine": None}, True):
			with self.subTest(value=value):
				self.assertIn(
					"workers in", str(self.refused(lambda value=value: check_workers({"workers": value})))
				)
				self.assertLessEqual(STANDARD.items(), queue_limits({"workers": value}).items())

	def test_workers_as_frappe_reads_them_are_fine(self):
		for value in ({}, None, {"mine": {}}, {"mine": {"timeout": 600, "background_workers": 2}}):
			check_workers({"workers": value})
		limits = queue_limits({"workers": {"a": {"timeout": "600"}, "b": {"timeout": float("inf")}, "c": {}}})
		self.assertEqual((limits["a"], limits["b"], limits["c"]), (600, 300, 300))

	def test_a_bench_id_that_is_no_name_is_refused(self):
		for value in (None, "", [], {}, 1.5, True, "a\nb", "a\udcff"):
			with self.subTest(value=value):
				self.refused(lambda value=value: bench_id({"bench_id": value}, "/home/anna/bench"))

	def test_a_bench_id_is_frappes(self):
		self.assertEqual(bench_id({}, "/home/anna/bench"), "home-anna-bench")
		self.assertEqual(bench_id({"bench_id": "mine"}, "/x"), "mine")
		self.assertEqual(bench_id({"bench_id": 5}, "/x"), "5")

	def test_a_port_that_no_web_server_can_have_is_refused(self):
		for value in ("8000/tcp", 99999, -1, 1.5, True, ["8000"], "8_000"):
			with self.subTest(value=value):
				self.refused(lambda value=value: web_port({"webserver_port": value}))
		for value, port in ((None, 8000), ("", 8000), ("8080", 8080), (8080.0, 8080)):
			self.assertEqual(web_port({"webserver_port": value}), port)

	def test_a_file_that_is_no_json_object_is_refused_without_its_contents(self):
		odd = (
			"[1]",
			'"x"',
			"5",
			f'{{"rq_password": "{SECRET}"',
			"[" * 100_000,
			'{"a": ' * 50_000,
			"",
			"\ufeff{}",
		)
		for content in (*odd, b"\xff{}"):
			with self.subTest(content=content[:20]), folder() as sites:
				(sites / "apps.txt").write_text("frappe\n")
				data = content if isinstance(content, bytes) else content.encode()
				(sites / "common_site_config.json").write_bytes(data)
				error = self.refused(lambda sites=sites: read_config(sites))
				self.assertNotIn(SECRET, str(error))
				with self.assertRaises(WrongEnvironment):
					parsed(sites / "common_site_config.json")

	def test_a_supervisor_address_that_is_no_text_cannot_be_used(self):
		for value in (
			5,
			[],
			{"a": 1},
			"unix://~nobody-of-that-name/x.sock",
			"http://a..b:1",
			"http://:9001",
			"tcp://x",
		):
			with self.subTest(value=value):
				self.assertIsInstance(parse_url(value, "the setting"), Unusable)


class TestApps(unittest.TestCase):
	CONTENT = "\ufeff# the framework\nfrappe\n\n#erpnext\n  hrms  \nshop\u200b\n # no comment: Frappe looks at the first character\r\n"

	def test_comments_and_blank_lines_are_no_apps(self):
		with folder() as sites:
			(sites / "apps.txt").write_text(self.CONTENT)
			self.assertEqual(
				apps_in(sites / "apps.txt"),
				["frappe", "hrms", "shop", "# no comment: Frappe looks at the first character"],
			)

	def test_it_is_frappes_own_rule(self):
		try:
			import frappe
		except ImportError:
			self.skipTest("Frappe is not here")
		with folder() as sites:
			(sites / "apps.txt").write_text(self.CONTENT)
			self.assertEqual(apps_in(sites / "apps.txt"), frappe.get_file_items(str(sites / "apps.txt")))

	def test_a_file_that_is_no_text_is_refused(self):
		with folder() as sites:
			(sites / "apps.txt").write_bytes(b"frappe\n\xff\n")
			with self.assertRaises(WrongEnvironment):
				apps_in(sites / "apps.txt")


class TestFolder(unittest.TestCase):
	def test_where_frappe_is_a_link_to_another_place_the_bench_is_where_its_sites_are(self):
		with folder() as top:
			bench = top / "bench"
			for name in ("bench/sites", "bench/apps", "elsewhere/frappe"):
				(top / name).mkdir(parents=True)
			self.assertEqual(bench_folder(str(top / "elsewhere"), bench / "sites"), str(bench))
			self.assertEqual(bench_folder(str(bench), bench / "sites"), str(bench))

	def test_the_names_of_queues_go_by_frappe_and_everything_else_by_the_folder(self):
		with folder() as top:
			for name in ("bench/sites", "bench/apps", "elsewhere"):
				(top / name).mkdir(parents=True)
			code = "from fmx_restart.current_bench import identity; print(*identity({}))"
			done = subprocess.run(
				[sys.executable, "-c", code],
				cwd=top / "bench" / "sites",
				env={**os.environ, "PYTHONPATH": str(CHECKOUT), "FRAPPE_BENCH_ROOT": str(top / "elsewhere")},
				capture_output=True,
				text=True,
			)
			id = str(top / "elsewhere").strip("/").replace("/", "-")
			self.assertEqual(done.stdout.split(), [id, str(top / "bench")], done.stderr)

	def test_where_the_sites_are_a_link_to_another_place_frappe_is_right(self):
		with folder() as top:
			for name in ("bench/apps", "volume/sites"):
				(top / name).mkdir(parents=True)
			(top / "bench" / "sites").symlink_to(top / "volume" / "sites")
			self.assertEqual(bench_folder(str(top / "bench"), top / "volume" / "sites"), str(top / "bench"))


class TestUser(unittest.TestCase):
	def test_a_uid_without_a_name_has_its_number(self):
		with mock.patch.dict(os.environ, clear=True):
			for error in (KeyError("uid not found"), OSError("No username set in the environment")):
				with mock.patch("getpass.getuser", side_effect=error):
					self.assertEqual(who_types(), f"uid {os.getuid()}")

	@unittest.skipIf(os.getuid() != 0, "only root can become someone without a name")
	def test_so_it_has_in_a_container_that_runs_with_a_number(self):
		code = (
			"import os; os.setuid(54321); from fmx_restart.adapters.user import who_types; print(who_types())"
		)
		done = subprocess.run(
			[sys.executable, "-c", f"from fmx_restart.adapters import user; {code}"],
			cwd=CHECKOUT,
			env={"PATH": os.environ["PATH"]},
			capture_output=True,
			text=True,
		)
		self.assertEqual(done.stdout.strip(), "uid 54321", done.stderr)


class TestDatabase(unittest.TestCase):
	ODD = (
		("db_port", "3306/tcp"),
		("db_port", 99999),
		("db_port", ["3306"]),
		("db_host", "db..internal"),
		("db_host", "a" * 70),
		("db_host", 5),
		("db_host", "db\0internal"),
		("db_socket", ["/run/mysqld.sock"]),
		("db_socket", "/run/my\0sqld.sock"),
		("db_password", [SECRET]),
		("db_password", 4711),
		("db_name", {"a": SECRET}),
		("db_type", ["mariadb"]),
	)

	def test_what_cannot_be_read_is_named_and_nothing_is_raised(self):
		for key, value in self.ODD:
			with self.subTest(key=key, value=value):
				config = {**SOUND, key: value}
				seen = look_at_database("one.localhost", config)
				[finding], sizes = inspect_database("one.localhost", config)
				self.assertEqual((seen.is_asked, finding.gravity, sizes), (False, Gravity.BLOCKS, None))
				for text in (database_fault(config), seen.fault, finding.text):
					self.assertIn(key, text)
					self.assertNotIn(SECRET, text)

	def test_what_is_missing_is_named(self):
		for key in ("db_name", "db_password"):
			config = {name: value for name, value in SOUND.items() if name != key}
			self.assertEqual(look_at_database("one.localhost", config).fault, f"{key} is not set")
			self.assertIn(f"{key} is not set", inspect_database("one.localhost", config)[0][0].text)

	def test_a_socket_whose_path_no_kernel_takes_does_not_answer(self):
		self.assertIn("does not answer", database_fault({"db_socket": "/" + "x" * 300}))

	def test_a_password_that_the_driver_cannot_send_is_not_quoted(self):
		"""pymysql does this once a server has greeted it; the error holds the whole password."""

		def connect(password: str, **_) -> None:
			password.encode("latin-1")

		with mock.patch("pymysql.connect", connect):
			seen = look_at_database("one.localhost", {**SOUND, "db_password": SECRET + "€"})
		self.assertEqual((seen.is_asked, seen.fault), (False, "UnicodeEncodeError"))

	def test_dates_that_no_calendar_has_are_unknown(self):
		self.assertIsNone(moment("0000-00-00 00:00:00"))
		self.assertEqual(moment(datetime(2026, 1, 1)), datetime(2026, 1, 1))
		for value in ("four", "nan", "inf", None, "", b"x"):
			self.assertEqual(days(value), 4.0)
		self.assertEqual(days("7"), 7.0)


class TestSchedule(unittest.TestCase):
	NOW = 1_790_000_000.0

	def record(self, *crons: str, zone: str = "Europe/Berlin", frequency: str = "Cron") -> ScheduleRecord:
		last = datetime(2026, 1, 1)
		events = tuple(Event(f"app.{number}", frequency, cron, last) for number, cron in enumerate(crons))
		return ScheduleRecord(True, zone, last, local_time(self.NOW, "Europe/Berlin"), 4.0, events)

	def test_a_line_that_can_never_be_due_is_told_and_hides_no_other(self):
		odd = ("0 0 31 2 *", "0 0 30 2 *", "nonsense", "* * * *", "61 * * * *", "0 0 * * 99")
		record = self.record(*odd, "*/5 * * * *", "0 0 29 2 *")
		self.assertEqual([event.cron for event in record.never_due({})], list(odd))
		overdue = record.overdue(self.NOW, tolerance=900, config={"scheduler_interval": "often"})
		self.assertEqual([event.method for event in overdue], ["app.6"])

	def test_a_time_zone_that_nobody_knows_leaves_the_rest_of_a_site_to_be_told(self):
		for zone in (
			"Mars/Phobos",
			"Europe",
			"../etc/passwd",
			"a\0b",
			"x" * 5000,
			"\udcff",
			"Europe/Berlin\n",
		):
			with self.subTest(zone=zone[:20]):
				record = self.record("*/5 * * * *", zone=zone)
				self.assertIsNone(record.now(self.NOW))
				self.assertIsNone(record.last_run_at(self.NOW))
				self.assertEqual(record.overdue(self.NOW, tolerance=900, config={}), [])
				self.assertEqual(record.never_due({}), [])


class TestAnySettings(unittest.TestCase):
	"""Whatever stands there: a refusal, a default or a few words."""

	@settings(max_examples=repetitions("odd common files", 60, long=1000), deadline=None)
	@given(st.dictionaries(st.sampled_from([*RULES, "use_rq_auth", "rq_username", "rq_password"]), ANYTHING))
	def test_the_common_file(self, config):
		for read in (
			lambda: bench_id(config, "/x"),
			lambda: web_port(config),
			lambda: check_workers(config),
			lambda: connection_for(config, credentials(config, "x")),
		):
			with contextlib.suppress(OperationError):
				read()
		self.assertTrue(all(value > 0 for value in queue_limits(config).values()))
		for odd in odd_settings(config):
			self.assertTrue(str(odd).startswith(odd.key))

	@settings(max_examples=repetitions("odd site files", 30, long=500), deadline=None)
	@given(
		st.fixed_dictionaries(
			{"db_host": st.sampled_from(["127.0.0.1", "db..internal", 5, None])},
			optional=dict.fromkeys(("db_name", "db_password", "db_socket", "db_type", "db_user"), ANYTHING)
			| {"db_port": st.sampled_from([1, "1", "3306/tcp", -1, None, [], 1e9])},
		)
	)
	def test_a_sites_database(self, config):
		self.assertIsInstance(database_fault(config), str)
		self.assertTrue(look_at_database("one.localhost", config).fault or config.get("db_type"))
		inspect_database("one.localhost", config)

	@settings(deadline=None)
	@given(ANYTHING)
	def test_numbers(self, value):
		for found in (whole_number(value), port_number(value), number(str(value))):
			self.assertTrue(found is None or found == found + 0)
		json.dumps([whole_number(value), port_number(value), number(str(value))], allow_nan=False)
