"""Operations over real HTTP: asked for, launched, watched through the restart of the web server, stopped."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.http_client import Client, clients
from fmx_restart.tests.bench.site_process import on_site
from fmx_restart.tests.bench.support import BenchTestCase

PATIENCE = 120.0  # seconds for anything on a busy machine
WAITED_FOR = 1.0  # seconds: a job that a drain hardly waited for is not in the row
HOLD = "fmx_restart.tests.bench.jobs.hold"
SECRET = "an-argument-nobody-may-read"
LAUNCH = "fmx_restart.desk.launch.launch"


class ApiTestCase(BenchTestCase):
	address = "10.2.0.1"
	client: Client

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.client = clients(cls.bench, cls.address)["operator"]

	def start_operation(self, **options) -> str:
		answer = self.client.post("start", **options).message
		self.assertTrue(answer["is_new"], answer)
		self.addCleanup(self.wait_for_end, answer["operation"])
		self.addCleanup(self.jobs.let_all_go)
		return answer["operation"]

	def status(self, operation: str) -> dict:
		return self.client.get("status", operation=operation).message

	def wait_for(self, operation: str, **wanted) -> dict:
		"""The first status in which these fields stand."""

		def look() -> dict | None:
			told = self.client.patiently("status", operation=operation)
			return told if told and wanted.items() <= told.items() else None

		return eventually(look, f"{operation}: {wanted}", deadline=PATIENCE)

	def wait_for_end(self, operation: str) -> dict:
		return self.wait_for(operation, is_over=True)

	def wait_for_fact(self, operation: str, name: str) -> dict:
		def look() -> dict | None:
			told = self.client.patiently("feed", operation=operation) or {"facts": []}
			return next((fact for fact in told["facts"] if fact["event"] == name), None)

		return eventually(look, f"{operation} tells {name}", deadline=PATIENCE)

	def row(self, operation: str) -> dict:
		return json.loads(self.client.resource("GET", operation).text)["data"]


class TestDone(ApiTestCase):
	"""One operation from the API, under a held job, looked at from all sides."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.before = cls.pids()
		# Given a site that tells ends, which is off by default
		cls.set_config(fmx_restart_notify_end=1)
		# And a job that runs, of which nobody knows how long it usually takes, and a free worker for short jobs
		for known in list(cls.redis.scan_iter("rq:finished:*", 1000)):
			cls.redis.delete(known)
		cls.held = cls.jobs.hold("long", secret=SECRET)
		cls.previewed = cls.client.get("preview").message
		# When a restart is started over HTTP
		cls.key = uuid4().hex
		cls.started = cls.client.post("start", idempotency_key=cls.key, wait_workers_timeout=100).message
		cls.name = cls.started["operation"]
		cls.heard, cls.silences, cursor = [], 0, 0
		while True:
			told = cls.client.patiently("feed", operation=cls.name, cursor=cursor)
			if told is None:
				cls.silences += 1
			else:
				cls.heard += told["facts"]
				cursor = told["cursor"]
				if told["is_over"]:
					break
				waits = [fact["time"] for fact in cls.heard if fact["event"] == "StillRunning"]
				is_told = waits and time.time() - waits[0] > WAITED_FOR
				if is_told and not hasattr(cls, "while_draining"):
					cls.while_draining = cls.client.get("status", operation=cls.name).message
					cls.second = cls.client.post("start").message
					cls.live = cls.client.get("workers").message
					cls.held.let_go()
			time.sleep(0.05)
		cls.after = cls.pids()
		cls.ended_at = cls.heard[-1]["time"]
		cls.told = eventually(
			lambda: on_site(cls.bench, "notifications", operation=cls.name),
			"who asked was told",
			deadline=PATIENCE,
		)
		cls.told_row = json.loads(cls.client.resource("GET", cls.name).text)["data"]

	@classmethod
	def set_config(cls, **values: object) -> None:
		"""In the common configuration, until the class is over."""
		path = cls.bench.sites_path / "common_site_config.json"
		found = path.read_text()
		cls.addClassCleanup(path.write_text, found)
		path.write_text(json.dumps({**json.loads(found), **values}))

	def test_who_asked_is_told_its_end_once_within_two_seconds(self):
		(told,) = self.told
		self.assertEqual(told["for_user"], "fmx-operator@example.com")
		self.assertIn("Done in", told["subject"])
		took = told["at"] - self.ended_at
		self.assertLess(took, 2.0 if os.getloadavg()[0] < 4 else 10.0)
		# And once, also where the job runs again; Administrator, too
		on_site(self.bench, "record_end", operation=self.name, user="fmx-operator@example.com")
		self.assertEqual(len(on_site(self.bench, "notifications", operation=self.name)), 1)

	def test_nothing_of_ours_stays_in_redis_and_the_next_one_need_not_wait(self):
		eventually(lambda: not self.keys_of_ours(), "its ticket was given back", deadline=20)

	def test_the_preview_names_the_job_it_would_wait_for_and_recommends(self):
		(job,) = [job for job in self.previewed["jobs"] if job["id"] == self.held.id]
		self.assertEqual((job["site"], job["method"], job["queue"]), (self.bench.site, HOLD, "long"))
		self.assertTrue(1400 < job["most_left"] <= 1500, job)
		self.assertEqual(self.previewed["recommended"], "rolling", self.previewed["why"])
		self.assertEqual(len(self.previewed["strategies"]), 5)
		told = {name for step in self.previewed["steps"] for name in step["processes"]}
		self.assertLessEqual(told, set(self.before))
		self.assertEqual(len(told), 5)

	def test_it_is_queued_at_once_and_launched_by_a_worker(self):
		self.assertEqual((self.started["status"], self.started["is_new"]), ("Queued", True))
		self.assertEqual(self.told_row["status"], "Done", self.told_row.get("reason"))
		self.assertEqual(
			(self.told_row["origin"], self.told_row["user"]), ("API", "fmx-operator@example.com")
		)

	def test_the_drain_does_not_wait_for_the_job_that_launched_it(self):
		waited = {job["method"] for job in self.told_row["jobs"]}
		self.assertIn(HOLD, waited)
		self.assertNotIn(LAUNCH, waited)

	def test_a_second_start_is_answered_with_the_first_ones_name(self):
		self.assertEqual((self.second["operation"], self.second["is_new"]), (self.name, False))
		self.assertEqual(self.second["status"], "Running")

	def test_the_same_key_names_it_also_when_it_is_over(self):
		again = self.client.post("start", idempotency_key=self.key).message
		self.assertEqual((again["operation"], again["is_new"], again["status"]), (self.name, False, "Done"))

	def test_the_status_tells_its_phase_and_who_holds_the_bench(self):
		told = self.while_draining
		self.assertEqual((told["status"], told["phase"], told["is_over"]), ("Running", "Drain", False))
		self.assertIn(self.name, told["holder"])
		self.assertIn("fmx-operator@example.com", told["holder"])
		self.assertIsNone(told["finished"])

	def test_the_feed_goes_on_through_the_restart_of_the_web_server_and_repeats_nothing(self):
		self.assertGreater(self.silences, 0, "the web server was away for a while")
		path = self.bench.path / "logs" / "fmx_restart" / f"{self.name}.jsonl"
		written = [json.loads(line) for line in path.read_text().splitlines()]
		self.assertEqual([fact["event"] for fact in self.heard], [fact["event"] for fact in written])
		self.assertEqual([fact["time"] for fact in self.heard], [fact["time"] for fact in written])
		self.assertEqual(self.heard[-1]["event"], "Ended")
		self.assertTrue(all(fact["sentence"] for fact in self.heard if fact["event"] == "PhaseEntered"))

	def test_the_row_tells_every_process_with_its_old_and_its_new_pid(self):
		told = {one["program"]: (one["old_pid"], one["new_pid"]) for one in self.told_row["processes"]}
		self.assertEqual(len(told), 5)
		self.assertEqual(told, {name: (self.before[name], self.after[name]) for name in told})

	def test_the_row_tells_phases_jobs_and_log(self):
		row = self.told_row
		self.assertEqual([one["phase"] for one in row["phases"]][:4], ["Preflight", "Fence", "Park", "Drain"])
		self.assertGreaterEqual(row["jobs_waited_for"], 1)
		self.assertEqual((row["jobs_lost"], row["jobs_interrupted"]), (0, 0))
		self.assertGreater(row["duration"], 0)
		self.assertIn("Drain: waiting for running jobs to end", row["log"])
		self.assertIn("--wait-workers-timeout=100", row["command"])

	def test_the_history_begins_with_it(self):
		newest = self.client.get("history", limit=1).message["operations"][0]
		self.assertEqual((newest["operation"], newest["status"]), (self.name, "Done"))

	def test_the_workers_were_told_with_their_jobs_memory_and_who_suspended_them(self):
		live = self.live
		self.assertTrue(live["suspended_by_us"])
		self.assertEqual(live["operation"], self.name)
		at_work = [worker for worker in live["workers"] if worker["job"]]
		self.assertIn(self.held.id, {worker["job"]["id"] for worker in at_work})
		self.assertTrue(all(worker["memory"] > 1_000_000 for worker in live["workers"]), live["workers"])
		self.assertEqual({queue["queue"] for queue in live["queues"]}, {"short", "default", "long"})

	def test_no_argument_of_a_job_is_told_anywhere(self):
		told = (self.previewed, self.heard, self.told_row, self.live, self.while_draining)
		self.assertNotIn(SECRET, json.dumps(told))


class TestStopped(ApiTestCase):
	address = "10.2.0.2"

	def test_more_time_then_stopped_by_request(self):
		# Given an operation that waits for a job
		before = self.pids()
		self.jobs.hold("long")
		operation = self.start_operation(wait_workers_timeout=60)
		self.wait_for_fact(operation, "StillRunning")
		# When it gets more time, and is then cancelled
		self.assertTrue(self.client.post("extend", operation=operation, seconds=500).message)
		asked = self.wait_for_fact(operation, "Requested")["fact"]["request"]
		self.assertTrue(self.client.post("cancel", operation=operation).message)
		told = self.wait_for_end(operation)
		# Then it had both, says who asked, and nothing was restarted
		self.assertEqual((asked["by"], asked["seconds"]), ("fmx-operator@example.com", 500.0))
		self.assertEqual((told["status"], told["exit_code"], told["succeeded"]), ("Cancelled", 130, False))
		self.assertIn("fmx-operator@example.com", told["reason"])
		self.assert_nothing_restarted(before)
		# And nobody is notified of it, until that is switched on; then Administrator is, too
		self.assertEqual(on_site(self.bench, "notifications", operation=operation), [])
		on_site(self.bench, "record_end", operation=operation, user="Administrator", is_on=True)
		(note,) = on_site(self.bench, "notifications", operation=operation)
		self.assertEqual(note["for_user"], "Administrator")
		self.assertIn("Cancelled", note["subject"])
		# And what is over cannot be asked for anything
		self.assertEqual(self.client.post("force", operation=operation).status, 417)


class TestNoWorkerFree(ApiTestCase):
	"""Every worker is busy, so nobody takes the job that launches it."""

	address = "10.2.0.3"

	def setUp(self) -> None:
		super().setUp()
		# the first for long jobs: their worker takes short ones, too
		self.held = [self.jobs.hold(queue) for queue in ("long", "short")]
		self.before = self.pids()

	def journals(self) -> set[str]:
		return {path.name for path in (self.bench.path / "logs" / "fmx_restart").glob("*.jsonl")}

	def test_it_says_so_is_launched_once_from_the_web_and_kills_and_names_the_jobs_when_forced(self):
		known = self.journals()
		# When it is started while every worker is busy, the web process launches it by itself, and says so
		began = self.client.post("start", wait_workers_timeout=100).message
		operation = began["operation"]
		self.addCleanup(self.wait_for_end, operation)
		self.assertEqual((began["is_new"], began["launched_by"]), (True, "web"), began)
		self.assertIn("no worker is free", began["message"])
		# And asked for that once more, twice
		for _ in range(2):
			answer = self.client.post("start", from_web=1).message
			self.assertEqual((answer["operation"], answer["is_new"]), (operation, False))
		self.assertIn("no worker launched it", self.wait_for_fact(operation, "LaunchedFromWeb")["sentence"])
		self.wait_for_fact(operation, "StillRunning")
		# And is told not to wait any longer
		self.assertTrue(self.client.post("force", operation=operation).message)
		told = self.wait_for_end(operation)
		# Then it has killed the jobs, and names them
		self.assertEqual(told["status"], "Done", told)
		row = self.row(operation)
		self.assertIn("Launched from the web process", row["log"])
		self.assertGreaterEqual(row["jobs_interrupted"], 2)
		named = {(job["part"], job["job_id"]) for job in row["jobs"]}
		self.assertLessEqual({("Interrupted", job.id) for job in self.held}, named)
		# And it was one operation, although its job was run later
		self.assert_queue_moves()
		self.assertEqual(self.journals() - known, {f"{operation}.jsonl"})


class TestWorkersThatOnlyLookFree(ApiTestCase):
	"""Their records say so, but they take no job: their machine stands still."""

	address = "10.2.0.6"

	def setUp(self) -> None:
		super().setUp()
		self.before = self.pids()
		self.workers = [
			psutil.Process(pid) for name, pid in self.before.items() if "-worker" in name.partition(":")[2]
		]
		self.assertTrue(self.workers, self.before)
		self.addCleanup(self.resume)
		for worker in self.workers:
			worker.suspend()
		self.known = self.journals()

	def resume(self) -> None:
		for worker in self.workers:
			worker.resume()

	def journals(self) -> set[str]:
		return {path.name for path in (self.bench.path / "logs" / "fmx_restart").glob("*.jsonl")}

	def test_cancelled_before_it_began_it_never_begins(self):
		key = uuid4().hex
		with ThreadPoolExecutor(1) as aside:
			begun = aside.submit(self.client.post, "start", idempotency_key=key)
			waits = lambda: (told := self.client.get("status").message)["status"] == "Queued" and told  # noqa: E731
			operation = eventually(waits, "it waits for a worker", deadline=PATIENCE)["operation"]
			self.assertEqual(self.client.post("cancel", operation=operation).message["status"], "Cancelled")
			answer = begun.result().message
		self.assertEqual((answer["operation"], answer["launched_by"]), (operation, None))
		again = self.client.post("start", idempotency_key=key).message
		self.assertEqual((again["operation"], again["status"]), (operation, "Cancelled"))
		self.resume()
		self.assert_queue_moves()
		self.assertEqual(self.journals(), self.known)
		self.assert_nothing_restarted(self.before)

	def test_one_that_wakes_up_as_web_launches_makes_no_second_operation(self):
		with ThreadPoolExecutor(1) as aside:
			begun = aside.submit(self.client.post, "start", workers=0)
			time.sleep(3.9)  # web launches 4 s after it has asked for a worker
			self.resume()
			answer = begun.result().message
		self.assertIn(answer["launched_by"], ("web", "worker"))
		self.assertEqual(self.wait_for_end(answer["operation"])["status"], "Done")
		self.assert_queue_moves()
		self.assertEqual(self.journals() - self.known, {f"{answer['operation']}.jsonl"})


class TestNotPossible(ApiTestCase):
	address = "10.2.0.4"

	def setUp(self) -> None:
		super().setUp()
		path = self.bench.sites_path / "common_site_config.json"
		found = path.read_text()
		self.addCleanup(path.write_text, found)
		path.write_text(json.dumps({**json.loads(found), "webserver_port": "no-port"}))

	def test_what_could_not_begin_says_why(self):
		# Given a bench whose configuration is wrong
		operation = self.start_operation()
		told = self.wait_for_end(operation)
		self.assertEqual((told["status"], told["failure"]), ("Aborted", "NeverLaunched"))
		self.assertIn("webserver_port in sites/common_site_config.json is not a port number", told["reason"])
		# And it bars nobody
		self.wait_for_end(self.start_operation())


class TestRateLimit(ApiTestCase):
	address = "10.2.0.5"

	def test_eleven_starts_a_minute_are_one_too_many(self):
		too_long = "x" * 141  # refused, but counted
		answers = [self.client.post("start", idempotency_key=too_long) for _ in range(11)]
		self.assertEqual({answer.status for answer in answers[:10]}, {417})
		self.assertTrue(all("140" in answer.text for answer in answers[:10]))
		self.assertEqual(answers[10].status, 429)
		self.assertIn("TooManyRequests", answers[10].text)
