"""docs/api.md against the real site: its curl lines are run as they stand there, and the answers have the shape of its examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from fmx_restart import remote_restart
from fmx_restart.tests.bench.api_page import EXAMPLE, differences, example_answers, shell_lines
from fmx_restart.tests.bench.test_api_operations import ApiTestCase

SCRIPT = remote_restart.__file__
#: Sent in the Host header, as the page's own host does not lead here
CURL = 'curl() { command curl -H "Host: $SITE" "$@"; }'


class TestApiPage(ApiTestCase):
	address = "10.2.0.9"

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.pages = example_answers()

	def run_line(self, line: str) -> dict:
		"""One line of the page, in a shell of its own with the page's variables."""
		setting, _ = shell_lines()
		here = setting.replace("https://erp.example.com", f"http://127.0.0.1:{self.bench.ports.web}")
		key, _, secret = self.client.headers["Authorization"].removeprefix("token ").partition(":")
		done = subprocess.run(
			["bash", "-euc", f"{CURL}\n{here}\n{line}"],
			env={**self.bench.environment, "SITE": self.bench.site, "API_KEY": key, "API_SECRET": secret},
			capture_output=True,
			text=True,
			timeout=60,
		)
		self.assertEqual(done.returncode, 0, f"{line}\n{done.stderr}\n{done.stdout}")
		return json.loads(done.stdout)["message"]

	def assert_shape(self, function: str, answer: dict) -> None:
		self.assertEqual(list(differences(self.pages[function], answer, function)), [])

	def assert_watched(self, operation: str) -> None:
		"""All in one, and the row only until it is known."""
		told = self.client.get("watch", operation=operation).message
		row = told.pop("row")
		self.assertEqual((row["name"], row["status"]), (operation, "Running"))
		self.assert_shape("workers", told.pop("now"))
		self.assertIsNone(told.pop("queued"))
		self.assert_shape("feed", told)
		again = {"operation": operation, "cursor": told["cursor"], "modified": row["modified"]}
		self.assertIsNone(self.client.get("watch", **again).message["row"])

	def test_each_line_works_as_it_stands_there_and_answers_as_shown(self):
		_, lines = shell_lines()
		preview, start, status, cancel = lines
		self.assert_shape("preview", self.run_line(preview))
		self.addCleanup(self.redis.delete, "rq:suspended", "rq:fmx:fence")
		self.assert_shape("hold", self.client.post("hold", seconds=60, owner="page").message)
		self.assertEqual(self.client.post("release", owner="page").message["released"]["end"], "lifted")
		# Given a job, so that the operation is still there when it is cancelled
		self.jobs.hold("long")
		started = self.run_line(start.replace("deploy-42", f"deploy-{time.time()}"))
		operation = started["operation"]
		self.addCleanup(self.wait_for_end, operation)
		self.addCleanup(self.jobs.let_all_go)
		self.assert_shape("start", started)
		self.wait_for_fact(operation, "StillRunning")
		self.assert_shape("preview", self.run_line(preview))
		self.assert_shape("workers", self.client.get("workers").message)
		self.assert_shape("status", self.run_line(status.replace(EXAMPLE, operation)))
		self.assert_shape("feed", self.client.get("feed", operation=operation).message)
		self.assert_watched(operation)
		self.assert_shape("cancel", self.run_line(cancel.replace(EXAMPLE, operation)))
		self.wait_for_end(operation)
		# And what is over has the same shape, as have all others
		self.assert_shape("status", self.client.get("status", operation=operation).message)
		for function in ("verdict", "history", "findings", "charts"):
			self.assert_shape(function, self.client.get(function).message)
		self.assert_shape("explain", self.client.get("explain", check="queue-suspended").message)


class TestRemoteRestart(ApiTestCase):
	"""The script for pipelines against the real site, through the restart of the web server that answers it."""

	address = "10.2.0.12"

	def run_script(self, *words: str) -> subprocess.CompletedProcess:
		summary = self.bench.private_path / "step-summary.md"
		summary.unlink(missing_ok=True)
		token = self.client.headers["Authorization"].removeprefix("token ")
		url = f"http://127.0.0.1:{self.bench.ports.web}"
		done = subprocess.run(
			[sys.executable, SCRIPT, url, *words, "--site", self.bench.site],
			env={"PATH": os.environ["PATH"], "FMX_RESTART_TOKEN": token, "GITHUB_STEP_SUMMARY": str(summary)},
			capture_output=True,
			text=True,
			timeout=180,
		)
		self.summary = summary.read_text() if summary.exists() else ""
		return done

	def test_it_restarts_the_bench_and_tells_of_it(self):
		before = self.pids()
		done = self.run_script("wait_workers_timeout=100")
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
		self.assertIn("Verify: waiting until every process is up", done.stdout)
		self.assertRegex(done.stdout, r"Done in .* s\. .*Web (answered throughout|gave no answer for)")
		self.assertIn("before +", self.summary)
		self.assertIn("0 lost", self.summary)
		self.assertIn("| Web outage |", self.summary)
		self.assert_restarted(before)

	def test_a_misspelt_option_starts_nothing(self):
		done = self.run_script("wait_worker_timeout=900")
		self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
		self.assertIn("Did you mean wait_workers_timeout?", done.stdout)


class TestErrors(ApiTestCase):
	address = "10.2.0.10"

	def refused(self, verb: str, function: str, **arguments) -> tuple[int, dict]:
		answer = (self.client.get if verb == "GET" else self.client.post)(function, **arguments)
		self.assertNotIn("Traceback", answer.text)
		body = json.loads(answer.text)
		self.assertEqual(set(body["error"]), {"code", "message", "remedy"})
		return answer.status, body["error"]

	def test_a_misspelt_option_is_refused_and_starts_nothing(self):
		for function in ("preview", "start"):
			status, error = self.refused("POST", function, wait_worker_timeout=900)
			self.assertEqual((status, error["code"]), (417, "UnknownArgument"))
			self.assertIn("wait_workers_timeout", error["remedy"])
		self.assertIsNone(self.client.get("status").message["holder"])

	def test_what_is_missing_or_no_value_is_refused(self):
		for function, arguments, code in (
			("extend", {"operation": "x"}, "MissingArgument"),
			("cancel", {}, "MissingArgument"),
			("extend", {"operation": "x", "seconds": "soon"}, "InvalidArgument"),
			("start", {"strategy": "explode"}, "InvalidArgument"),
			("start", {"wait_workers_timeout": []}, "InvalidArgument"),
		):
			with self.subTest(function=function, arguments=arguments):
				status, error = self.refused("POST", function, **arguments)
				self.assertEqual((status, error["code"]), (417, code))

	def test_the_rest_has_its_status_and_its_code(self):
		unknown = "20000101-000000-0000"
		self.assertEqual(self.refused("GET", "feed", operation=unknown)[0], 404)
		self.assertEqual(self.refused("POST", "start", migrate=1)[0], 403)

	def test_a_site_that_shows_tracebacks_to_people_sends_none_of_them_to_a_client(self):
		"""Frappe's own setting has them on; also where it refuses a request before any function of ours is called."""
		for client in (self.client, type(self.client)(self.bench), type(self.client)(self.bench, "no:token")):
			for answer in (client.get("start"), client.post("start", nonsense=1)):
				self.assertIn(answer.status, {401, 403, 405, 417})
				self.assertNotIn("Traceback", answer.text)
				self.assertNotIn('"exc":', answer.text)
