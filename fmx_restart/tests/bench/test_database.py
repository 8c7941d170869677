"""What a real MariaDB says about a site that is to be migrated, and a restart while it is down."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager

from fmx_restart.adapters.database import connected, inspect_database
from fmx_restart.engine.migration import Gravity
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.http_client import clients
from fmx_restart.tests.bench.support import BenchTestCase, SiteDatabaseCase, own_programs

TABLE = "fmx_restart_test"
DATABASE = "development-database:*"
PATIENCE = 120.0  # seconds for web to find its database again
NOT_BACK, WRONG_ENVIRONMENT = 4, 7  # exit codes


class TestDatabase(SiteDatabaseCase):
	def setUp(self):
		with connected(self.config) as cursor:
			cursor.execute(f"create or replace table {TABLE} (id int)")

	def tearDown(self):
		with connected(self.config) as cursor:
			cursor.execute(f"drop table {TABLE}")

	@contextmanager
	def open_transaction(self):
		with connected(self.config) as cursor:
			cursor.execute("start transaction with consistent snapshot")
			cursor.execute(f"select * from {TABLE}")
			cursor.execute("select connection_id()")
			yield cursor.fetchone()[0]

	def findings(self, config: dict, **ages) -> list[tuple[Gravity, str]]:
		return [(found.gravity, found.text) for found in inspect_database(self.site, config, **ages)[0]]

	def test_a_transaction_is_named_where_it_may_be_seen(self):
		with self.open_transaction() as id:
			texts = [
				text for gravity, text in self.findings(self.as_root, long=0) if gravity is Gravity.TRANSIENT
			]
			self.assertTrue(any(text.startswith(f"connection {id} of ") for text in texts), texts)
			recent = [text for _, text in self.findings(self.as_root) if f"connection {id} " in text]
			self.assertEqual(recent, [])

	def test_a_sites_own_user_sees_at_least_who_is_idle(self):
		with self.open_transaction() as id:

			def told() -> list:
				return [
					found for found in self.findings(self.config, idle=1) if f"connection {id} " in found[1]
				]

			eventually(told, "the idle connection is told")
			self.assertEqual([gravity for gravity, _ in told()], [Gravity.NOTE])

	def test_who_waits_for_a_locked_table_is_named(self):
		def alter() -> None:
			with connected(self.config, timeout=60) as cursor:
				cursor.execute(f"alter table {TABLE} add column waits int")

		with self.open_transaction():
			altering = threading.Thread(target=alter)
			altering.start()
			self.addCleanup(altering.join)
			eventually(self.is_somebody_waiting, "the waiting connection is told")

	def is_somebody_waiting(self) -> bool:
		found = self.findings(self.config)
		return any(gravity is Gravity.TRANSIENT and "has waited" in text for gravity, text in found)

	def test_a_database_that_does_not_answer_blocks_and_no_password_is_told(self):
		for broken in ({"db_port": 1}, {"db_password": "hunter2"}):
			with self.subTest(broken=broken):
				((gravity, text),) = self.findings({**self.config, **broken})
				self.assertEqual(gravity, Gravity.BLOCKS)
				self.assertNotIn("hunter2", text)

	def test_its_sizes_and_its_folder_are_known(self):
		_, sizes = inspect_database(self.site, self.config)
		self.assertGreater(sizes.database, sizes.largest_table)
		self.assertTrue(sizes.folder.is_dir())


class TestDatabaseIsDown(BenchTestCase):
	"""From before the restart until after it."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.client = clients(cls.bench, "10.3.0.2")["manager"]
		cls.before = cls.pids()
		cls.addClassCleanup(cls.database, "start")
		cls.database("stop")
		cls.refused = cls.run_command("--migrate")
		cls.refused_pids = cls.pids()
		cls.done = cls.run_command("--wait-workers", "--json")
		cls.answer_meanwhile = cls.client.get("status")
		cls.left_keys = cls.keys_of_ours()
		cls.database("start")

	@classmethod
	def database(cls, order: str) -> None:
		cls.bench.supervisorctl(order, DATABASE)

	def test_a_restart_renews_every_process_and_names_the_database(self):
		self.assertEqual(self.done.code, NOT_BACK, self.done.text)
		(fault,) = [fact for fact in self.done.facts if fact["event"] == "ProcessFailed"]
		self.assertIn(
			f"its database at 127.0.0.1:{self.bench.ports.database} does not answer", fault["reason"]
		)
		verify = next(phase["seconds"] for phase in self.done.report["phases"] if phase["phase"] == "Verify")
		self.assertLess(verify, 80, "web is up and says so: it is not waited for as if it booted")
		self.assertEqual(self.left_keys, [])
		own = {name for name in self.before if name.partition(":")[0] in own_programs(self.bench)}
		after = self.pids()
		for name in own:
			self.assertNotIn(after[name], (0, self.before[name]), name)

	def test_a_migration_is_refused_before_anything_is_touched(self):
		self.assertEqual(self.refused.code, WRONG_ENVIRONMENT, self.refused.text)
		self.assertIn(f"{self.bench.site}: its database does not answer", self.refused.errors)
		self.assertIn("Nothing was changed", self.refused.errors)
		changed = {name for name, pid in self.refused_pids.items() if pid != self.before[name]}
		self.assertEqual({name.partition(":")[0] for name in changed}, {DATABASE.partition(":")[0]})

	def test_the_row_appears_when_somebody_looks_afterwards(self):
		self.assertGreaterEqual(self.answer_meanwhile.status, 500)
		name = self.done.report["operation"]
		told = eventually(
			lambda: self.client.patiently_or_none("status", operation=name),
			"status answers",
			deadline=PATIENCE,
		)
		self.assertEqual((told["operation"], told["status"]), (name, "Failed"))
		# Frappe's own route catches nothing up
		row = json.loads(self.client.resource("GET", name).text)["data"]
		self.assertEqual([phase["phase"] for phase in row["phases"]][-1], "Audit")
		self.assertEqual(len(row["processes"]), len(self.done.report["processes"]))
		workers = {one["outcome"] for one in row["processes"] if "worker" in one["program"]}
		self.assertEqual(workers, {"Replaced"})
