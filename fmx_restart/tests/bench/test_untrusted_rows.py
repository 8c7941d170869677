"""A site's administrator changes rows in every way there is. What runs, what is opened and who may does not change."""

from __future__ import annotations

import json
from pathlib import Path

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.http_client import clients
from fmx_restart.tests.bench.site_process import on_site
from fmx_restart.tests.bench.test_api_operations import ApiTestCase
from fmx_restart.tests.desk.test_start_order import OLDER

ATTACKS = ("Notification", "Server Script")


class UntrustedRowsTestCase(ApiTestCase):
	"""What was asked for waits until the test lets a job go: no worker is free, and the web process died that would launch it."""

	address = "10.4.0.1"

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.client = clients(cls.bench, cls.address)["manager"]
		cls.logs = cls.bench.path / "logs" / "fmx_restart"

	def setUp(self) -> None:
		super().setUp()
		self.jobs.hold("long")
		self.short = self.jobs.hold("short")
		self.before = self.pids()

	def start_operation(self, **options) -> str:
		operation = on_site(self.bench, "put_in_line", user="fmx-manager@example.com", **options)
		self.addCleanup(self.wait_for_end, operation)
		self.addCleanup(self.jobs.let_all_go)
		return operation

	def ticket(self) -> str:
		(key,) = self.redis.keys("rq:fmx:*:launch")
		return key

	def launched_by(self, operation: str) -> dict:
		"""The options with which it ran, as its journal has them."""
		first = (self.logs / f"{operation}.jsonl").read_text().splitlines()[0]
		return json.loads(first)["options"]


class TestWhatRuns(UntrustedRowsTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.proof = self.folder / "a-shell"
		self.forged = f'bench safe-restart --migrate --migrate-command "touch {self.proof}"'
		path = self.bench.sites_path / "common_site_config.json"
		found = path.read_text()
		self.addCleanup(path.write_text, found)
		path.write_text(json.dumps({**json.loads(found), "server_script_enabled": 1}))
		on_site(self.bench, "attach_attacks", command=self.forged)
		self.addCleanup(self.detach)

	def detach(self) -> None:
		on_site(self.bench, "detach_attacks")
		self.jobs.work().wait_for_end()  # behind the job that writes the row
		eventually(lambda: on_site(self.bench, "are_attacks_forgotten"), "no process knows the attacks")

	def test_a_notification_a_server_script_and_sql_do_not_change_what_runs_nor_stop_it(self):
		# Given a site whose administrator attached everything that could change the row, or raise
		operation = self.start_operation(wait_workers_timeout=0)
		row = self.row(operation)
		self.assertNotIn("migrate-command", row["command"] + row["options"])
		self.assertIn("--wait-workers-timeout=0", row["command"])
		# When someone changes the row in the database too, and it is launched
		on_site(self.bench, "forge", operation=operation, command=self.forged)
		self.assertIn(str(self.proof), self.row(operation)["command"])
		self.short.let_go()
		told = self.wait_for_end(operation)
		# Then it did what was asked for over HTTP
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "DrainTimeout"), told)
		self.assertIsNone(self.launched_by(operation)["migration"])
		self.assertFalse(self.proof.exists())
		self.assert_nothing_restarted(self.before)
		# And its row tells of it, whatever the site's hooks raised
		row = self.row(operation)
		self.assertEqual((row["status"], row["strategy"], row["origin"]), ("Aborted", "wait-workers", "API"))
		self.assertEqual(row["user"], "fmx-manager@example.com")
		self.assertIn("Drain: waiting", row["log"])
		tried = on_site(self.bench, "attacks_that_ran")
		self.assertEqual(set(ATTACKS), set(tried), "the attacks were there, and ran")


class TestNeverLaunched(UntrustedRowsTestCase):
	def test_a_ticket_that_redis_forgot_ends_the_operation(self):
		operation = self.start_operation()
		self.redis.delete(self.ticket())
		told = self.status(operation)
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "NeverLaunched"))
		self.assertRegex(told["reason"], "never launched.*Redis was restarted")
		self.assertIn("bench safe-restart", told["remedy"])
		self.assertIsNone(told["exit_code"])
		self.short.let_go()
		self.assert_queue_moves()
		self.assert_nothing_restarted(self.before)
		self.assertEqual(list(self.logs.glob(f"{operation}*")), [])

	def test_without_its_file_it_is_not_launched_and_says_so(self):
		operation = self.start_operation()
		self.request_of(operation).unlink()
		self.short.let_go()
		told = self.wait_for_end(operation)
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "NeverLaunched"))
		self.assertIn("has no file", told["reason"])
		self.assert_nothing_restarted(self.before)

	def test_an_order_of_an_older_version_is_not_launched_and_says_so(self):
		operation = self.start_operation()
		path = self.request_of(operation)
		order = json.loads(path.read_text())
		self.assertEqual(order["options"]["origin"], "api")
		path.write_text(json.dumps({**OLDER, "operation": operation, "site": order["site"]}))
		self.short.let_go()
		told = self.wait_for_end(operation)
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "NeverLaunched"))
		self.assertIn("never launched", told["reason"])
		self.assertIn("Another version of fmx_restart wrote it", told["reason"])
		self.assertIn("Start it again", told["remedy"])
		self.assertFalse(path.exists())
		self.assert_queue_moves()
		self.assert_nothing_restarted(self.before)

	def test_a_program_in_an_order_keeps_it_from_being_launched(self):
		proof = self.folder / "a-shell"
		operation = self.start_operation(migrate=1)
		path = self.request_of(operation)
		order = json.loads(path.read_text())
		order["options"]["migration"]["command"] = ["touch", str(proof)]
		path.write_text(json.dumps(order))
		self.short.let_go()
		told = self.wait_for_end(operation)
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "NeverLaunched"))
		self.assertIn("--migrate-command is for the terminal only", told["reason"])
		self.assertFalse(proof.exists())

	def test_the_operations_process_is_told_its_order_and_no_option(self):
		operation = self.start_operation(wait_workers_timeout=60, on_timeout="abort")
		self.short.let_go()
		self.wait_for(operation, phase="Drain")
		first = json.loads((self.logs / f"{operation}.jsonl").read_text().splitlines()[0])
		words = Path(f"/proc/{first['process']['pid']}/cmdline").read_bytes().decode().split("\0")
		self.assertEqual([word for word in words if word][-2:], ["safe-restart", f"--order={operation}"])
		ordered = json.loads((self.logs / f"{operation}.request.json").read_text())["options"]
		self.assertEqual({**first["options"], "queue_limit": None}, ordered)
		self.client.post("cancel", operation=operation)

	def test_an_old_file_and_a_forged_ticket_launch_nothing_a_second_time(self):
		operation = self.start_operation(wait_workers_timeout=0)
		key = self.ticket()
		self.short.let_go()
		self.wait_for_end(operation)
		size = (self.logs / f"{operation}.jsonl").stat().st_size
		self.redis.set(key, f"queued {operation}", ex=60)
		self.addCleanup(self.redis.delete, key)
		self.client.post("start", from_web=1)
		self.assertEqual((self.logs / f"{operation}.jsonl").stat().st_size, size)

	def request_of(self, operation: str) -> Path:
		path = self.logs / f"{operation}.request.json"
		self.assertEqual(path.stat().st_mode & 0o777, 0o600)
		return path


class TestPaths(ApiTestCase):
	address = "10.4.0.2"

	def test_a_row_whose_name_is_a_path_opens_nothing_and_breaks_nothing(self):
		secret = self.bench.path / "logs" / "trusted-launch.log"
		secret.write_text("a-secret-of-the-bench")
		self.addCleanup(secret.unlink)
		self.addCleanup(on_site, self.bench, "forget", prefix="..")
		on_site(self.bench, "plant", name="../trusted", status="Queued", journal="../../etc/passwd")
		on_site(self.bench, "plant", name="../../common_site_config", status="Running", journal="/etc/passwd")
		self.assertEqual(self.client.get("status").status, 200)
		for name in ("../trusted", "../../common_site_config"):
			self.assertNotIn("a-secret", json.dumps(on_site(self.bench, "row", operation=name), default=str))
			self.assertEqual(self.client.get("feed", operation=name).status, 404)
