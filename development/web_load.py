"""
What users do while web is restarted, at gunicorn itself and through nginx: pages on new connections and on one that stays
open, forms, requests that take long, an upload, a live connection. Each request is noted, with what became of it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import cycle
from pathlib import Path

from development.description import Bench
from development.running import wait_until

PING = "/api/method/ping"
WAIT = "/api/method/fmx_workload.requests.wait?seconds="
RECEIVE = "/api/method/fmx_workload.requests.receive"
PATIENCE = 60.0  # seconds until a request counts as failed
PAUSE = 0.05  # seconds between two requests of one user
FORM = b"x" * 12_000
UPLOAD = b"x" * 20_000_000
UPLOAD_TAKES = 4.0  # seconds: a user's line is slow
CHUNKS = 80
GUNICORN, NGINX = "gunicorn", "nginx"
ANSWERED = "200"
LOCALHOST_NAMES = Path(__file__).with_name("localhost_names.js")


@dataclass(frozen=True)
class Request:
	kind: str
	at: str  # GUNICORN or NGINX
	began: float  # time.monotonic()
	seconds: float
	result: str  # status, or the error's name

	@property
	def ended(self) -> float:
		return self.began + self.seconds

	@property
	def is_answered(self) -> bool:
		return self.result == ANSWERED


@dataclass
class WebLoad:
	bench: Bench
	requests: list[Request] = field(default_factory=list)
	is_over: threading.Event = field(default_factory=threading.Event)

	def between(self, begin: float, end: float) -> list[Request]:
		"""Those that ended in that time."""
		return [request for request in self.requests if begin <= request.ended < end]

	def ask_on(self, kind: str, places: Sequence[str], ask: Callable, *, keeps: bool = False) -> None:
		"""One user, until the load is over. `places`: where each request goes, in turns."""
		connections = {at: HTTPConnection("127.0.0.1", self.port(at), timeout=PATIENCE) for at in places}
		for at in cycle(places):
			if self.is_over.is_set():
				break
			began = time.monotonic()
			try:
				result = ask(connections[at], {"Host": self.bench.site})
			except (OSError, HTTPException) as error:
				result = type(error).__name__
			self.requests.append(Request(kind, at, began, time.monotonic() - began, result))
			if not keeps or result != ANSWERED:
				connections[at].close()
			self.is_over.wait(PAUSE)
		for connection in connections.values():
			connection.close()

	def port(self, at: str) -> int:
		return self.bench.ports.web if at == GUNICORN else self.bench.ports.front


def get(path: str) -> Callable[[HTTPConnection, dict], str]:
	def ask(connection: HTTPConnection, headers: dict) -> str:
		connection.request("GET", path, headers=headers)
		answer = connection.getresponse()
		answer.read()
		return str(answer.status)

	return ask


def post(body: bytes) -> Callable[[HTTPConnection, dict], str]:
	digest = hashlib.sha256(body).hexdigest()

	def ask(connection: HTTPConnection, headers: dict) -> str:
		connection.request("POST", RECEIVE, body, headers | {"Content-Type": "application/octet-stream"})
		return received(connection, digest)

	return ask


def upload(connection: HTTPConnection, headers: dict) -> str:
	"""Slowly, so that it is in progress while web is restarted."""
	connection.putrequest("POST", RECEIVE, skip_host=True)
	headers = headers | {"Content-Type": "application/octet-stream", "Content-Length": str(len(UPLOAD))}
	for name, value in headers.items():
		connection.putheader(name, value)
	connection.endheaders()
	size = len(UPLOAD) // CHUNKS
	for number in range(CHUNKS):
		connection.send(UPLOAD[number * size : (number + 1) * size])
		time.sleep(UPLOAD_TAKES / CHUNKS)
	return received(connection, UPLOAD_DIGEST)


def received(connection: HTTPConnection, digest: str) -> str:
	answer = connection.getresponse()
	text = answer.read()
	if answer.status != 200:
		return str(answer.status)
	return ANSWERED if json.loads(text) == {"message": digest} else "another body"


UPLOAD_DIGEST = hashlib.sha256(UPLOAD).hexdigest()
BOTH = (GUNICORN, NGINX)
#: (name, where its requests go, what it asks, whether its connection stays open); each is one user
USERS = (
	*(("GET", (at,), get(PING), False) for at in (*BOTH, *BOTH)),
	*(("keep-alive", (at,), get(PING), True) for at in BOTH),
	*(("POST", (at,), post(FORM), False) for at in BOTH),
)
SLOW_USERS = (
	("2 s", BOTH, get(f"{WAIT}2"), False),
	("20 s", BOTH, get(f"{WAIT}20"), False),
	("upload", BOTH, upload, False),
)


@contextmanager
def web_load(bench: Bench, *, is_slow: bool = False) -> Iterator[WebLoad]:
	"""`is_slow`: also requests that take long, and uploads. Those that are on their way are waited for at the end."""
	load = WebLoad(bench)
	threads = [
		threading.Thread(target=load.ask_on, args=(kind, places, ask), kwargs={"keeps": keeps}, daemon=True)
		for kind, places, ask, keeps in (*USERS, *(SLOW_USERS if is_slow else ()))
	]
	for thread in threads:
		thread.start()
	try:
		yield load
	finally:
		load.is_over.set()
		for thread in threads:
			thread.join()


def faults(requests: Sequence[Request]) -> Counter:
	"""What failed: (kind, where, result) → how often."""
	failed = (request for request in requests if not request.is_answered)
	return Counter((request.kind, request.at, request.result) for request in failed)


def outage(requests: Sequence[Request]) -> float:
	"""Seconds from the first failed page to the first answered one that began after the last failure."""
	pages = [request for request in requests if request.kind == "GET"]
	failures = [request.began for request in pages if not request.is_answered]
	if not failures:
		return 0.0
	back = [request.ended for request in pages if request.is_answered and request.began > max(failures)]
	return (min(back) if back else max(failures)) - min(failures)


class LiveConnection:
	"""A browser's, through nginx; what it noted is read when it is over."""

	def __init__(self, bench: Bench) -> None:
		self.bench = bench
		self.notes: list[dict] = []

	def __enter__(self) -> LiveConnection:
		script, frappe = Path(__file__).with_name("live_connection.js"), self.bench.apps_path / "frappe"
		words = ["node", "--require", LOCALHOST_NAMES, script, frappe, self.bench.desk_url, self.bench.site]
		words.append(session(self.bench))
		self.log = (self.bench.log_path / "live-connection.log").open("w")
		self.process = subprocess.Popen([*map(str, words)], stdout=self.log)
		wait_until(
			lambda: '"connect"' in Path(self.log.name).read_text(), "a live connection", timeout=PATIENCE
		)
		return self

	def __exit__(self, *_error: object) -> None:
		self.process.terminate()
		self.process.wait(timeout=10)
		self.log.close()
		self.notes = [json.loads(line) for line in Path(self.log.name).read_text().splitlines()]

	@property
	def reconnections(self) -> int:
		return sum(note["event"] == "connect" for note in self.notes) - 1

	@property
	def longest_absence(self) -> float:
		"""Seconds from losing a connection to the next one."""
		lost_at, longest = None, 0.0
		for note in self.notes:
			if note["event"] == "disconnect":
				lost_at = note["time"]
			elif note["event"] == "connect" and lost_at is not None:
				longest, lost_at = max(longest, note["time"] - lost_at), None
		return longest


def session(bench: Bench) -> str:
	"""The id of a new one."""
	connection = HTTPConnection("127.0.0.1", bench.ports.front, timeout=PATIENCE)
	headers = {"Host": bench.site, "Content-Type": "application/json"}
	words = json.dumps({"usr": "Administrator", "pwd": bench.admin_password})
	connection.request("POST", "/api/method/login", words, headers)
	cookies = connection.getresponse().headers.get_all("Set-Cookie", [])
	connection.close()
	return next(cookie for cookie in cookies if cookie.startswith("sid=")).partition(";")[0][4:]
