"""A start at a set time on a real site: asked for over HTTP, begun by the tick that the site's scheduler gives to a worker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from uuid import uuid4

import redis

from fmx_restart.adapters.redis_queue.requests import LaunchTicket
from fmx_restart.engine.identity import new_operation_id
from fmx_restart.tests.bench.site_process import SiteProcess, on_site
from fmx_restart.tests.bench.test_api_operations import ApiTestCase

TICK = "fmx_restart.desk.schedule.tick"
OPERATOR = "fmx-operator@example.com"


class TestScheduled(ApiTestCase):
	address = "10.2.0.13"

	def setUp(self) -> None:
		super().setUp()
		self.folder_of_journals = self.bench.path / "logs" / "fmx_restart"
		self.forget_all()  # a run that was interrupted may have left some
		self.addCleanup(self.forget_all)

	def forget_all(self) -> None:
		for path in self.files():
			path.unlink()

	def files(self) -> list[Path]:
		return list(self.folder_of_journals.glob("*.schedule.json"))

	def journals(self) -> set[str]:
		return {path.stem for path in self.folder_of_journals.glob("*.jsonl")}

	def tick(self) -> None:
		on_site(self.bench, "run_scheduled", method=TICK)

	def entry(self) -> dict:
		(entry,) = self.client.get("scheduled").message["scheduled"]
		return entry

	def set_time(self, ago: float, left: float, end: str = "", **others: object) -> None:
		"""Its time was `ago` seconds ago, and it may start for `left` seconds more; `end`: of its window. `others`: fields."""
		(path,) = self.files()
		value = json.loads(path.read_text())
		value["when"] |= {"at": time.time() - ago, "until": time.time() + left, "end": end}
		path.write_text(json.dumps({**value, **others}))

	def assert_not_started(self, reason: str) -> None:
		"""It is told by the schedule, by a row and by a notification, and stands at its next time."""
		known = self.journals()
		self.tick()
		last = self.entry()["last"]
		self.assertIn(reason, last["reason"])
		row = self.row(last["operation"])
		self.assertEqual(
			(row["status"], row["failure"], row["origin"]), ("Aborted", "NeverLaunched", "Schedule")
		)
		self.assertIn(reason, row["reason"])
		(told,) = on_site(self.bench, "notifications", operation=last["operation"])
		self.assertEqual(told["for_user"], OPERATOR)
		self.assertIn("was not started", told["subject"])
		self.assertGreater(self.entry()["at"], time.time())
		self.assertEqual(self.journals(), known)

	def test_a_time_that_cannot_be_is_refused_and_nothing_is_written(self):
		for at in ("", "soon", "2020-01-01 22:00", "25:00", "22:00 Nowhere/Land"):
			for function in ("start", "preview"):
				answer = self.client.post(function, at=at)
				self.assertEqual(answer.status, 417, answer.text)
				error = json.loads(answer.text)["error"]
				self.assertEqual(error["code"], "InvalidArgument")
				self.assertIn("Nothing was changed", error["message"])
		self.assertEqual(self.files(), [])

	def test_a_site_that_does_not_command_the_bench_schedules_a_few_and_sees_its_own(self):
		path = self.bench.sites_path / "common_site_config.json"
		found = path.read_text()
		self.addCleanup(path.write_text, found)
		rule = {"fmx_restart_control_sites": [], "fmx_restart_other_sites": "restart"}
		path.write_text(json.dumps({**json.loads(found), **rule}))
		# Given a site that has scheduled ten starts, and another one's
		self.assertEqual(self.client.post("start", at="tomorrow 03:00").message["status"], "Scheduled")
		(first,) = self.files()
		value = json.loads(first.read_text())
		for number in range(10):
			site = {"site": "other.example.com"} if number == 9 else {}
			copy = first.with_name(f"at-{number:08x}.schedule.json")
			copy.touch(mode=0o600)
			copy.write_text(json.dumps({**value, **site, "id": f"at-{number:08x}"}))
		# Then it schedules no more, and neither sees nor cancels the other's
		refused = self.client.post("start", at="tomorrow 03:00")
		self.assertEqual((refused.status, json.loads(refused.text)["error"]["code"]), (417, "NotPossible"))
		self.assertEqual(len(self.client.get("scheduled").message["scheduled"]), 10)
		self.assertEqual(self.client.post("unschedule", scheduled="at-00000009").status, 404)
		# and cancels its own, also one whose start was interrupted
		interrupted = {**value, "id": "at-00000000", "starting": new_operation_id()}
		first.with_name("at-00000000.schedule.json").write_text(json.dumps(interrupted))
		self.assertEqual(self.client.post("unschedule", scheduled="at-00000000").status, 200)
		# Nor do all such sites together take what is left for those that command the bench
		self.forget_all()
		for number in range(25):
			other = first.with_name(f"at-{number:08x}.schedule.json")
			other.touch(mode=0o600)
			other.write_text(json.dumps({**value, "site": f"{number}.example.com", "id": f"at-{number:08x}"}))
		self.assertEqual(self.client.post("start", at="tomorrow 03:00").status, 417)

	def test_it_is_listed_started_once_at_its_time_and_told_where_it_is_not_started(self):
		before, key = self.journals(), uuid4().hex
		# Given a start that is repeated, asked for twice with one key
		asked = {"at": "tomorrow 03:00", "repeat": "daily", "workers": 0, "idempotency_key": key}
		first, again = (self.client.post("start", **asked).message for _ in range(2))
		self.assertEqual((first["status"], first["operation"], first["is_new"]), ("Scheduled", None, True))
		self.assertEqual((again["is_new"], again["scheduled"]["id"]), (False, first["scheduled"]["id"]))
		(path,) = self.files()
		self.assertEqual(path.stat().st_mode & 0o777, 0o600)
		previewed = self.client.get("preview", at="tomorrow 03:00").message["scheduled"]
		self.assertEqual(
			(previewed["zone"], previewed["text"]),
			(self.entry()["zone"], self.entry()["text"].partition(",")[0]),
		)
		self.assertIn(first["scheduled"]["id"], self.run_command("status").output)
		# Then nothing happens before its time
		self.tick()
		self.assertIsNone(self.entry()["last"])
		# And where it could not be started, that is told
		self.set_time(ago=7200, left=-60)
		self.assert_not_started("Nothing looked for it until 2 h")
		self.set_time(ago=1, left=600)
		on_site(self.bench, "disable", user=OPERATOR)
		try:
			self.tick()
		finally:
			on_site(self.bench, "disable", user=OPERATOR, enabled=1)
		self.assertIn("is disabled", self.entry()["last"]["reason"])
		self.set_time(ago=1, left=600)
		ticket, other = (
			LaunchTicket(self.redis_bytes(), self.client.get("preview").message["bench"]),
			new_operation_id(),
		)
		self.assertIsNone(ticket.issue(other))
		self.assert_not_started("Another operation held the bench")
		busy = self.entry()["last"]["reason"]
		# but in a window it is tried again, until that is over
		self.set_time(ago=1, left=600, end="05:00")
		self.tick()
		self.assertEqual(self.entry()["last"]["reason"], busy)
		self.set_time(ago=700, left=-60, end="05:00")
		self.assert_not_started("until its window was over")
		self.assertTrue(ticket.take(other) and ticket.give_back(other))
		self.set_time(ago=1, left=600, starting=new_operation_id())
		self.assert_not_started("ended before it did")
		options = json.loads(path.read_text())["options"]
		self.set_time(ago=1, left=600, options={**options, "queue_limit": 1})
		self.assert_not_started("may order")
		# And at its time two schedulers at once start one operation
		self.set_time(ago=1, left=600, options=options)
		second = SiteProcess(self.bench)
		self.addCleanup(second.close)
		second.ask("run_scheduled", method=TICK)
		self.tick()
		second.answer()
		(path,) = self.files()
		last = json.loads(path.read_text())["last"]  # web is being restarted
		operation = last["operation"]
		self.assertEqual(last["reason"], "")
		self.assertEqual(self.wait_for_end(operation)["status"], "Done")
		row = self.row(operation)
		self.assertEqual((row["origin"], row["requested_by"], row["user"]), ("Schedule", OPERATOR, OPERATOR))
		self.assertEqual(self.journals() - before, {operation})
		# And it goes on until it is cancelled
		self.assertGreater(self.entry()["at"], time.time() + 60)
		id = self.entry()["id"]
		self.assertEqual(self.client.post("unschedule", scheduled=id).message["scheduled"], id)
		self.assertEqual(self.client.post("unschedule", scheduled=id).status, 404)
		self.assertEqual(self.files(), [])

	def redis_bytes(self) -> redis.Redis:
		connection = redis.Redis(port=self.bench.ports.redis_queue)
		self.addCleanup(connection.close)
		return connection
