"""The development bench's own sites, as the doctor sees them; and a database that is wrong in every way."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

from fmx_restart.adapters.database import SiteDatabase, connected, look_at_database
from fmx_restart.doctor.bench_view import BenchAccess, BenchView
from fmx_restart.doctor.checks import sites as checks
from fmx_restart.tests.adapters.benches import refusing_port
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.support import SiteDatabaseCase

TABLE = "fmx_restart_doctor_test"
PASSWORD = "hunter2"


class TestSiteDatabase(SiteDatabaseCase):
	def look(self, config: dict | None = None, **given) -> SiteDatabase:
		return look_at_database(self.site, config or self.config, **given)

	def found(self, check, database: SiteDatabase) -> list:
		ways = dict.fromkeys(BenchAccess.__dataclass_fields__) | {"sites": lambda: [self.site]}
		view = BenchView(str(self.path), "bench", BenchAccess(**ways))
		view.parts.get("databases", lambda: {self.site: database})
		return list(check(view))

	@contextmanager
	def open_transaction(self):
		with connected(self.config) as cursor:
			cursor.execute(f"create or replace table {TABLE} (id int)")
			try:
				cursor.execute("start transaction with consistent snapshot")
				cursor.execute(f"select * from {TABLE}")
				yield
			finally:
				cursor.execute("rollback")
				cursor.execute(f"drop table {TABLE}")

	def test_a_healthy_site_is_connected_quickly_and_its_schedule_is_known(self):
		found = self.look()
		self.assertEqual((found.fault, found.transactions, found.waiters), ("", (), ()))
		self.assertLess(found.latency, checks.SLOW)
		self.assertTrue(found.schedule.is_enabled)
		self.assertIn("Monthly", [event.frequency for event in found.schedule.events])
		for check in (checks.database, checks.database_latency, checks.long_transactions, checks.table_locks):
			self.assertEqual(self.found(check, found), [])

	def test_a_server_that_is_away_is_told_from_one_that_refuses_and_no_password_is_told(self):
		for broken, is_reached in (
			({"db_port": refusing_port(self)}, False),
			({"db_password": PASSWORD}, True),
			({"db_name": "no_such_database"}, True),
		):
			with self.subTest(broken=broken):
				found = self.look({**self.config, **broken})
				self.assertEqual(found.is_reached, is_reached, found)
				[finding] = self.found(checks.database, found)
				self.assertEqual(finding.severity, "error")
				self.assertNotIn(PASSWORD, finding.text + finding.remedy)

	def test_a_server_that_hangs_is_given_up_in_time(self):
		with socket.create_server(("127.0.0.1", 0)) as silent:
			began = time.monotonic()
			found = self.look({**self.config, "db_port": silent.getsockname()[1]}, timeout=0.3)
		self.assertLess(time.monotonic() - began, 2)
		self.assertFalse(found.is_reached)

	def test_a_long_transaction_is_told_where_it_may_be_seen(self):
		with self.open_transaction():
			found = self.look(self.as_root, long=0)
			young = self.look(self.as_root)
			hidden = self.look(long=0)
		self.assertTrue(self.found(checks.long_transactions, found))
		self.assertEqual((young.transactions, hidden.transactions, hidden.fault), ((), (), ""))

	def test_whoever_waits_for_a_locked_table_is_told(self):
		def alter() -> None:
			with connected(self.config, timeout=60) as cursor:
				cursor.execute(f"alter table {TABLE} add column waits int")

		with self.open_transaction():
			altering = threading.Thread(target=alter)
			altering.start()
			found = eventually(lambda: (it := self.look()).waiters and it, "the waiting connection is told")
			[finding] = self.found(checks.table_locks, found)
		altering.join()
		self.assertIn("has waited", finding.text)

	def test_tables_that_are_not_there_tell_nothing_of_the_scheduler(self):
		found = self.look({**self.as_root, "db_name": "information_schema"})
		self.assertEqual((found.fault, found.schedule), ("", None))
