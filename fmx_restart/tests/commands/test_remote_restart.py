"""The script for pipelines as a process of its own, against a server that answers, errs, and goes away as a real one does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import fmx_restart
from fmx_restart.tests.adapters.waiting import eventually

ACTION = Path(fmx_restart.__file__).parent.parent / "docs" / "github-action" / "action.yml"
SCRIPT = Path(fmx_restart.__file__).parent / "remote_restart.py"
OPERATION = "20261122-101502-7f3a"
TOKEN = "key:secret-of-the-pipeline"
JOB = {"site": "a.com", "method": "app.work|::warning", "id": "x"}
REPORT = {
	"account": {"before": 3, "arrived": 1, "finished": 2, "waiting": 1, "interrupted": ["x"], "lost": []},
	"interrupted": [JOB],
	"web": [{"unanswered": 2.44, "slowest": 0.1}],
}
DONE = {
	"status": "Done",
	"exit_code": 0,
	"strategy": "fast",
	"duration": 26.0,
	"headline": "Done in 26 s. <b>",
}


class Site:
	"""Answers as docs/api.md shows. What `faults` holds is answered first: a status, or None for no answer at all."""

	def __init__(self, *, started: dict[str, Any] | None = None, ended: dict[str, Any] | None = None) -> None:
		self.requests: list[tuple[str, dict[str, str], str]] = []
		self.faults: list[int | None] = []
		self.started = {"operation": OPERATION, "is_new": True, "message": "Queued.", **(started or {})}
		self.ended = {"operation": OPERATION, "reason": None, "remedy": None, **(ended or DONE)}
		self.is_over = True
		self.refusal: tuple[int, dict[str, str]] | None = None
		site = self

		class Handler(BaseHTTPRequestHandler):
			def do_GET(self) -> None:
				site.handle(self)

			do_POST = do_GET

			def log_message(self, *_: object) -> None:
				pass

		self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
		self.server.server_bind()
		self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

	def listen(self) -> None:
		self.server.server_activate()
		threading.Thread(target=self.server.serve_forever, daemon=True).start()

	def close(self) -> None:
		self.server.shutdown()
		self.server.server_close()

	def handle(self, request: BaseHTTPRequestHandler) -> None:
		url = urlsplit(request.path)
		body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
		function = url.path.rpartition(".")[2]
		self.requests.append((function, dict(parse_qsl(url.query or body)), request.headers["Authorization"]))
		if self.faults:
			self.fail(request, self.faults.pop(0))
		elif self.refusal:
			self.answer(request, self.refusal[0], {"error": self.refusal[1]})
		else:
			self.answer(request, 200, {"message": self.message(function, dict(parse_qsl(url.query)))})

	def fail(self, request: BaseHTTPRequestHandler, status: int | None) -> None:
		if status is None:
			request.close_connection = True
		elif status in (301, 302):
			request.send_response(status)
			request.send_header("Location", f"{self.url}/elsewhere")
			request.end_headers()
		else:
			self.answer(request, status, None)

	def answer(self, request: BaseHTTPRequestHandler, status: int, body: Any) -> None:
		text = b"<html>" if body is None else json.dumps(body).encode()
		request.send_response(status)
		request.send_header("Content-Length", str(len(text)))
		request.end_headers()
		request.wfile.write(text)

	def message(self, function: str, query: dict[str, str]) -> dict[str, Any]:
		if function == "start":
			return self.started
		if function == "feed":
			return self.feed(int(query["cursor"]))
		if function == "cancel":
			self.is_over, self.ended = True, {**self.ended, "status": "Cancelled", "exit_code": 130}
			return {"message": "Asked to stop."}
		return self.ended

	def feed(self, cursor: int) -> dict[str, Any]:
		facts = [{"time": 1.0, "event": "X", "sentence": "first line\n::error::second ##[error]"}]
		facts += [
			{"time": 2.0, "event": "Ended", "sentence": "Done.", "fact": {"report": REPORT}}
		] * self.is_over
		facts = facts[cursor:]
		status = self.ended["status"] if self.is_over else "Running"
		return {"status": status, "is_over": self.is_over, "cursor": cursor + len(facts), "facts": facts}


class TestRemoteRestart(unittest.TestCase):
	def site(self, **answers: Any) -> Site:
		site = Site(**answers)
		self.addCleanup(site.close)
		site.listen()
		return site

	def begin(self, site: Site, *words: str, token: str = TOKEN, **env: str) -> subprocess.Popen:
		process = subprocess.Popen(
			[sys.executable, str(SCRIPT), site.url, *words],
			env={"PATH": os.environ["PATH"], "FMX_RESTART_TOKEN": token, **env},
			stdout=subprocess.PIPE,
			stderr=subprocess.STDOUT,
			text=True,
		)
		self.addCleanup(process.stdout.close)
		self.addCleanup(process.kill)
		return process

	def run_script(self, site: Site, *words: str, **settings: str) -> tuple[int, str]:
		process = self.begin(site, *words, **settings)
		output, _ = process.communicate(timeout=60)
		return process.returncode, output

	def test_it_starts_with_the_options_follows_and_exits_as_the_operation(self):
		for code in (0, 3, 4, 130):
			site = self.site(ended={**DONE, "exit_code": code})
			self.assertEqual(self.run_script(site, "wait_workers_timeout=900", "--key", "deploy-42")[0], code)
			function, options, token = site.requests[0]
			self.assertEqual((function, token), ("start", f"token {TOKEN}"))
			self.assertEqual(options, {"wait_workers_timeout": "900", "idempotency_key": "deploy-42"})

	def test_one_that_was_never_launched_has_changed_nothing(self):
		site = self.site(
			ended={**DONE, "status": "Aborted", "exit_code": None, "reason": "No worker.", "headline": None}
		)
		self.assertEqual(self.run_script(site)[0], 7)

	def test_it_asks_again_while_web_is_away_and_sends_the_same_key(self):
		site = self.site()
		site.faults = [502, None, 503]
		self.assertEqual(self.run_script(site)[0], 0)
		starts = [options["idempotency_key"] for function, options, _ in site.requests if function == "start"]
		self.assertEqual((len(starts), len(set(starts))), (4, 1))

	def test_a_server_that_refuses_connections_for_a_while_is_waited_for(self):
		site = Site()
		self.addCleanup(site.close)
		process = self.begin(site)
		threading.Timer(1.5, site.listen).start()
		output, _ = process.communicate(timeout=60)
		self.assertEqual(process.returncode, 0, output)

	def test_it_gives_up_when_nobody_has_answered_for_long_and_says_that_the_end_is_unknown(self):
		site = self.site()
		site.faults = [502] * 100
		code, output = self.run_script(site, "--patience", "1")
		self.assertEqual(code, 1)
		self.assertIn("Whether the restart has ended is not known", output)

	def test_what_was_typed_wrong_is_not_asked_again(self):
		site = self.site()
		site.refusal = (
			417,
			{"code": "UnknownArgument", "message": "There is no argument x.", "remedy": "Did you mean y?"},
		)
		code, output = self.run_script(site, "x=1")
		self.assertEqual((code, len(site.requests)), (2, 1))
		self.assertIn("There is no argument x. Did you mean y?", output)

	def test_another_operation_is_not_taken_for_the_one_that_was_asked_for(self):
		site = self.site(started={"is_new": False, "message": "Another operation holds the bench."})
		self.assertEqual(self.run_script(site)[0], 75)
		# but one that a lost answer has begun is
		site = self.site(started={"is_new": False, "is_repeated": True})
		self.assertEqual(self.run_script(site)[0], 0)

	def test_one_that_is_scheduled_is_told_and_not_followed(self):
		site = self.site(
			started={"operation": None, "status": "Scheduled", "message": "It is scheduled for Sat."}
		)
		code, output = self.run_script(site, "at=sat 22:00")
		self.assertEqual((code, len(site.requests)), (0, 1))
		self.assertIn("It is scheduled for Sat.", output)

	def test_nobody_else_gets_the_token(self):
		site = self.site()
		site.faults = [302]
		code, output = self.run_script(site)
		self.assertEqual((code, len(site.requests)), (7, 1))
		self.assertNotIn(TOKEN, output)

	def test_a_token_that_is_none_is_refused_without_being_shown(self):
		site = self.site()
		code, output = self.run_script(site, token="not a token")
		self.assertEqual((code, site.requests), (2, []))
		self.assertNotIn("not a token", output)
		self.assertIn("FMX_RESTART_TOKEN", output)

	def test_no_text_of_others_is_a_command_to_the_pipeline(self):
		_, output = self.run_script(self.site())
		self.assertIn("first line", output)
		self.assertFalse(
			[line for line in output.splitlines() if line.lstrip().startswith("::") or "##[" in line]
		)

	def test_the_summary_has_jobs_outage_and_link_and_no_markup_of_others(self):
		with tempfile.TemporaryDirectory() as folder:
			path = Path(folder, "summary.md")
			path.write_text("before\n")
			site = self.site()
			self.run_script(site, GITHUB_STEP_SUMMARY=str(path))
			text = path.read_text()
		self.assertTrue(text.startswith("before\n### Restart of 127.0.0.1: Done\n"), text)
		self.assertIn("3 before + 1 arrived = 2 finished, 1 waiting, 1 interrupted, 0 lost", text)
		self.assertIn("| Web outage | 2.4 s |", text)
		self.assertIn(f"({site.url}/app/restart-operation/{OPERATION})", text)
		self.assertIn("Done in 26 s. &lt;b&gt;", text)
		self.assertIn("app.work&#124;&#58;&#58;warning", text)

	def test_a_summary_that_cannot_be_written_fails_no_restart(self):
		self.assertEqual(self.run_script(self.site(), GITHUB_STEP_SUMMARY="/nonexistent/summary")[0], 0)

	def test_a_signal_cancels_the_operation_and_its_end_is_waited_for(self):
		for number in (signal.SIGINT, signal.SIGTERM):
			site = self.site()
			site.is_over = False
			process = self.begin(site)
			eventually(lambda: any(it[0] == "feed" for it in site.requests), "it follows", deadline=30)  # noqa: B023
			process.send_signal(number)
			output, _ = process.communicate(timeout=60)
			self.assertEqual(process.returncode, 130, output)
			self.assertIn("Asked to stop.", output)

	@unittest.skipUnless(ACTION.is_file(), "only a checkout has the documents")
	def test_the_github_action_runs_it_with_the_token_in_the_environment_and_options_as_they_are(self):
		site = self.site(ended={**DONE, "exit_code": 3})
		text = ACTION.read_text()
		commands = textwrap.dedent(text.partition("run: |\n")[2])
		script = re.search(r"FMX_RESTART_SCRIPT: \$\{\{ github.action_path \}\}/(\S+)", text)[1]
		env = {
			"PATH": os.environ["PATH"],
			"FMX_RESTART_TOKEN": TOKEN,
			"FMX_RESTART_ADDRESS": site.url,
			"FMX_RESTART_PATIENCE": "60",
			"FMX_RESTART_SCRIPT": str(ACTION.parent / script),
		}
		for options, code in (("a=1 b=*;$HOME", 3), ("", 3), ("a=$(touch x)", 2)):  # "x)" is no option
			with self.subTest(options=options):
				done = subprocess.run(
					["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", commands],
					env={**env, "FMX_RESTART_OPTIONS": options},
					capture_output=True,
					text=True,
					timeout=60,
				)
				self.assertEqual(done.returncode, code, done.stdout + done.stderr)
				self.assertNotIn(TOKEN, done.stdout + done.stderr + commands)
		starts = [given for function, given, _ in site.requests if function == "start"]
		self.assertEqual(
			[(given.get("a"), given.get("b")) for given in starts], [("1", "*;$HOME"), (None, None)]
		)

	def test_it_follows_an_operation_that_there_is(self):
		site = self.site()
		self.assertEqual(self.run_script(site, "--follow", OPERATION)[0], 0)
		self.assertEqual({function for function, _, _ in site.requests}, {"feed", "status"})
