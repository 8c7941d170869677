#!/usr/bin/env python3
"""
Restart a bench over its HTTP API and follow the restart to its end: for pipelines. Standard library only, Python 3.9 or
newer, and one file: copy it to wherever the pipeline runs. The token is read from the environment, never from the command line.

    FMX_RESTART_TOKEN=key:secret python3 remote_restart.py https://erp.example.com wait_workers_timeout=900

It prints what happens, exits as `bench safe-restart` would (0 done, 3 jobs still running, 4 a process did not come back, 75
another operation holds the bench, 130 cancelled), and adds a summary to the file that GITHUB_STEP_SUMMARY names. While web is
being restarted there may be no answer, or a 502: it asks again, ever more slowly. Ctrl-C cancels the restart.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import signal
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

TOKEN = "FMX_RESTART_TOKEN"
AWAY = {429, 502, 503, 504}  # HTTP statuses after which the same request may do better
ANSWERS_WITHIN = 30.0  # seconds for one request
POLL = 2.0  # seconds between two looks
LONGEST_PAUSE = 15.0  # seconds between two requests while there is no answer
USAGE, GAVE_UP, REFUSED, BUSY, STOPPED = 2, 1, 7, 75, 130  # exit codes

Answer = dict[str, Any]


class Away(Exception):
	"""No answer, or one that says that web is restarting."""


class Refused(Exception):
	"""The server will not do it, however often it is asked. `code`: as in docs/api.md."""

	def __init__(self, status: int, code: str, text: str) -> None:
		super().__init__(text)
		self.status, self.code = status, code

	@property
	def exit_code(self) -> int:
		"""2 for what was typed wrong, as click has it; else 7."""
		return USAGE if self.code.endswith("Argument") else REFUSED


class NoRedirects(HTTPRedirectHandler):
	"""Another server must not get the token."""

	def redirect_request(self, *_args: Any) -> None:
		return None


class Api:
	"""fmx_restart.api of one site. Every request is repeated while web is away, so each must be one that may be repeated."""

	def __init__(self, url: str, token: str, site: str, patience: float) -> None:
		"""`patience`: seconds without any answer after which Away is raised."""
		self.url, self.patience = url.rstrip("/"), patience
		self.is_stopping = threading.Event()  # ends a pause
		self._open = build_opener(NoRedirects).open
		self._headers = {"Authorization": f"token {token}", "Accept": "application/json"}
		if site:
			self._headers["X-Frappe-Site-Name"] = site

	def get(self, function: str, **query: Any) -> Answer:
		"""Raises Refused, and Away when patience is over."""
		return self._patiently(f"{function}?{urlencode(query)}", None)

	def post(self, function: str, **fields: Any) -> Answer:
		"""As get."""
		return self._patiently(function, urlencode(fields).encode())

	def _patiently(self, path: str, body: bytes | None) -> Answer:
		since, pause = time.monotonic(), 1.0
		while True:
			try:
				return self._once(path, body)
			except Away as away:
				if time.monotonic() - since > self.patience:
					raise Away(f"No answer for {self.patience:.0f} s: {away}") from away
			if self.is_stopping.wait(pause):
				self.is_stopping.clear()  # or no pause would be one any more
			pause = min(pause * 1.6, LONGEST_PAUSE)

	def _once(self, path: str, body: bytes | None) -> Answer:
		request = Request(f"{self.url}/api/method/fmx_restart.api.{path}", body, self._headers)
		try:
			with self._open(request, timeout=ANSWERS_WITHIN) as response:
				return json.loads(response.read())["message"]
		except HTTPError as error:
			raise refused(error) from error
		except URLError as error:
			raise unreachable(error) from error
		except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
			raise Away(f"{type(error).__name__}: {error}") from error


def refused(error: HTTPError) -> Exception:
	"""Away for a server that is restarting; else what the server says."""
	if error.code in AWAY:
		return Away(f"HTTP {error.code}")
	try:
		told = json.loads(error.read())["error"]
		return Refused(error.code, told["code"], f"{told['message']} {told['remedy']}".strip())
	except (OSError, ValueError, KeyError, TypeError):
		return Refused(error.code, "", f"The server answered with {error.code} {error.reason}.")


def unreachable(error: URLError) -> Exception:
	"""A certificate that is not the server's does not get better by waiting."""
	if isinstance(error.reason, ssl.SSLCertVerificationError):
		return Refused(
			0, "", f"The certificate of the server cannot be verified: {error.reason.verify_message}."
		)
	return Away(str(error.reason))


class Follower:
	"""Starts an operation, or takes one that there is, and follows it."""

	def __init__(self, api: Api, key: str) -> None:
		"""`key`: however often a start with it is sent, one operation begins."""
		self.api, self.key = api, key
		self.operation = ""
		self.report: Answer = {}
		self._requests = 0  # to stop
		self._is_cancelled = False

	def interrupt(self, number: int, _frame: object) -> None:
		"""The first signal cancels the operation, a second Ctrl-C leaves it to itself. Network is for the main loop."""
		self._requests += 1
		self.api.is_stopping.set()
		if self._requests > 1 and number == signal.SIGINT:
			say("The operation continues without this script.")
			os._exit(STOPPED)

	def start(self, options: dict[str, str]) -> bool:
		"""False where another operation holds the bench: it is not what was asked for."""
		answer = self.api.post("start", idempotency_key=self.key, **options)
		self.operation = answer["operation"] or ""  # none yet where it is scheduled
		say(f"Operation {self.operation}: {answer['message']}" if self.operation else answer["message"])
		return bool(answer["is_new"] or answer.get("is_repeated"))

	def follow(self) -> Answer:
		"""Every fact as it comes; returns the status of the operation when it has ended."""
		cursor, is_over = 0, False
		while not is_over:
			self.heed_signals()
			told = self.api.get("feed", operation=self.operation, cursor=cursor)
			for fact in told["facts"]:
				self.show(fact)
			is_over = told["is_over"] and told["cursor"] == cursor
			cursor = told["cursor"]
			if told["status"] == "Queued":
				self.launch_from_web()
			if not told["is_over"]:
				self.api.is_stopping.wait(POLL)
		return self.api.get("status", operation=self.operation)

	def show(self, fact: Answer) -> None:
		"""A sentence with the time at which it happened. The last fact has the report."""
		if fact["sentence"]:
			say(fact["sentence"], fact["time"])
		if fact["event"] == "Ended":
			self.report = fact["fact"].get("report") or {}

	def launch_from_web(self) -> None:
		"""Where every worker is busy nobody takes the job that launches the operation."""
		if self.api.get("status", operation=self.operation).get("may_start_from_web"):
			say(self.api.post("start", idempotency_key=self.key, from_web=1)["message"])

	def heed_signals(self) -> None:
		"""Cancel, once. What cannot be undone any more is finished: the server says so."""
		self.api.is_stopping.clear()
		if self._requests and not self._is_cancelled:
			self._is_cancelled = True
			try:
				say(self.api.post("cancel", operation=self.operation)["message"])
			except Refused as refusal:
				say(str(refusal))


def say(text: str, at: float | None = None) -> None:
	"""
	With the time of day. Lines after the first are indented, and "##[" is broken up: what a job or a log is called must not
	be a command to the program that runs the pipeline.
	"""
	first, *rest = text.replace("##[", "## [").splitlines() or [""]
	lines = [
		f"{time.strftime('%H:%M:%S', time.localtime(at))}  {first}",
		*(f"          | {line}" for line in rest),
	]
	sys.stdout.write("\n".join(lines) + "\n")
	sys.stdout.flush()


def exit_code(status: Answer) -> int:
	"""Of the operation. One that was never launched has none: nothing was changed."""
	code = status.get("exit_code")
	return REFUSED if code is None else int(code)


def summary(url: str, status: Answer, report: Answer) -> Iterator[str]:
	"""Markdown: how it ended, the jobs, the outage, and where to see more."""
	operation = status["operation"]
	host = urlsplit(url).hostname or url
	yield f"### Restart of {markdown(host)}: {markdown(status['status'])}"
	yield ""
	yield markdown(status.get("headline") or status.get("reason") or "")
	yield ""
	yield "| | |"
	yield "| --- | --- |"
	yield f"| Operation | [{markdown(operation)}]({url.rstrip('/')}/app/restart-operation/{quote(operation)}) |"
	for name, text in facts_in(status, report):
		yield f"| {name} | {markdown(text)} |"
	if status.get("remedy"):
		yield ""
		yield f"{markdown(status.get('reason') or '')} **{markdown(status['remedy'])}**"


def facts_in(status: Answer, report: Answer) -> Iterator[tuple[str, str]]:
	"""The rows of the summary; one that nobody knows is left out."""
	yield "Strategy", str(status.get("strategy"))
	if account := report.get("account"):
		yield "Jobs", jobs(account)
	if killed := report.get("interrupted"):
		yield "Killed", "; ".join(f"{job['site']} / {job['method']}" for job in killed[:20])
	outages = [web["unanswered"] for web in report.get("web") or () if web.get("slowest") is not None]
	if outages:
		yield "Web outage", f"{max(outages):.1f} s"
	if status.get("duration") is not None:
		yield "Duration", f"{status['duration']:.1f} s"


def jobs(account: Answer) -> str:
	"""The account of every job; what did not happen is left out, but for lost jobs."""
	numbers = {
		name: size(account.get(name)) for name in ("finished", "failed", "waiting", "running", "requeued")
	}
	numbers |= {name: size(account.get(name)) for name in ("interrupted", "removed", "gone", "lost")}
	parts = ", ".join(f"{number} {name}" for name, number in numbers.items() if number or name == "lost")
	return f"{account.get('before')} before + {account.get('arrived')} arrived = {parts}"


def size(value: Any) -> int:
	"""Of a list of ids, or a number."""
	return len(value) if isinstance(value, list) else int(value or 0)


def markdown(text: str) -> str:
	"""As it stands, whatever is in it: names of sites and jobs are others'."""
	escaped = html.escape(" ".join(str(text).split()))
	return re.sub(r"[\\`*_{}\[\]()#|~!:@]", lambda found: f"&#{ord(found[0])};", escaped)


def write_summary(lines: Iterator[str]) -> None:
	"""Where GitHub, or whoever does the same, wants it. Nothing that fails here makes a restart fail."""
	path = os.environ.get("GITHUB_STEP_SUMMARY")
	if not path:
		return
	try:
		with Path(path).open("a", encoding="utf-8") as file:
			file.write("\n".join(lines) + "\n")
	except OSError as error:
		say(f"The summary cannot be written: {error}")


def typed(words: list[str] | None) -> argparse.Namespace:
	"""Raises SystemExit (2) for what cannot be meant."""
	parser = argparse.ArgumentParser(
		description="Restart a bench over HTTP and follow the restart to its end.",
		epilog=f"The token of the API (key:secret) is read from {TOKEN}.",
	)
	parser.add_argument("url", help="address of the site, e.g. https://erp.example.com")
	parser.add_argument(
		"options", nargs="*", metavar="NAME=VALUE", help="options of start, as in docs/api.md"
	)
	parser.add_argument("--follow", metavar="OPERATION", help="start nothing; follow this operation")
	parser.add_argument("--key", help="idempotency key; default: of the run on GitHub, else a new one")
	parser.add_argument("--site", default="", help="the site, where the address does not say which one")
	parser.add_argument(
		"--patience", type=float, default=1800.0, help="seconds without any answer until it gives up"
	)
	arguments = parser.parse_args(words)
	if urlsplit(arguments.url).scheme not in ("http", "https"):
		parser.error("the address must begin with https:// or http://")
	if any("=" not in option for option in arguments.options):
		parser.error("options are written as NAME=VALUE")
	if not re.fullmatch(r"[\w.-]+:[\w.-]+", os.environ.get(TOKEN, "")):
		parser.error(f"{TOKEN} is not set to key:secret")
	return arguments


def default_key() -> str:
	"""The same for a step that is repeated within one attempt of a run."""
	run = [
		os.environ.get(name, "")
		for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_JOB", "GITHUB_ACTION")
	]
	return "-".join(run)[:140] if run[0] else uuid.uuid4().hex


def run(arguments: argparse.Namespace) -> int:
	"""Returns the exit code. Raises Refused and Away."""
	api = Api(arguments.url, os.environ[TOKEN], arguments.site, arguments.patience)
	follower = Follower(api, arguments.key or default_key())
	for number in (signal.SIGINT, signal.SIGTERM):
		signal.signal(number, follower.interrupt)
	if arguments.follow:
		follower.operation = arguments.follow
	elif not follower.start(dict(option.split("=", 1) for option in arguments.options)):
		return BUSY
	if not follower.operation:
		return 0
	status = follower.follow()
	for name in ("reason", "remedy"):
		if status.get(name) and not follower.report:
			say(status[name])
	write_summary(summary(arguments.url, status, follower.report))
	return exit_code(status)


def main(words: list[str] | None = None) -> int:
	"""The command. Returns the exit code."""
	arguments = typed(words)
	try:
		return run(arguments)
	except Refused as refusal:
		say(f"Error: {refusal}")
		return refusal.exit_code
	except Away as away:
		say(
			f"Error: {away} Whether the restart has ended is not known. Look at {arguments.url}/app/restart-operation"
		)
		return GAVE_UP


if __name__ == "__main__":
	sys.exit(main())
