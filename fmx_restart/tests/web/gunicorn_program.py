"""A real gunicorn with the hooks, in a folder of its own; the test is its process manager."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
import unittest
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, IncompleteRead, RemoteDisconnected
from pathlib import Path

import psutil

from fmx_restart.adapters.web.linger import GivenOrder, active_at
from fmx_restart.tests.adapters.benches import free_port, short_folder
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.web.files import Files, Order

CONFIGURATION = "from fmx_restart.web.hooks import install\ninstall(globals())\n"
APPLICATION = """
import os, sys, time, pathlib
VERSION = {version!r}
def application(environ, start_response):
	path, site = environ["PATH_INFO"], environ.get("HTTP_HOST", "")
	body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
	if path == "/slow":
		time.sleep(float(environ["QUERY_STRING"]))
	if path == "/print":
		print("said", flush=True)
	broken = pathlib.Path("broken")
	if broken.exists() and site in broken.read_text().split() and VERSION != "old":
		start_response("500 Oops", [("Content-Length", "0")])
		return [b""]
	answer = f"{{VERSION}} {{os.getpid()}} {{len(body)}}".encode()
	start_response("200 OK", [("Content-Length", str(len(answer)))])
	return [answer]
"""

#: Seconds in which a master ends: it waits 30 for a worker that was told to leave before it could hear of it
ENDS = 60.0
#: Seconds after each answer: three askers notice an outage of a few milliseconds, and leave the processor to web
PAUSE = 0.02
CLOSE = "Connection: close\r\n"
HAS_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
HAS_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
	"""Requests one after the other in some threads: what became of each."""

	answers: Counter = field(default_factory=Counter)  # by version, or by error
	slowest: float = 0.0  # seconds
	is_over: threading.Event = field(default_factory=threading.Event)

	@property
	def failed(self) -> dict[str, int]:
		return {key: count for key, count in self.answers.items() if key not in ("old", "new")}


class GunicornProgram:
	def __init__(
		self, case: unittest.TestCase, *options: str, bind: str = "", configuration: str = CONFIGURATION
	) -> None:
		self.folder = short_folder(case) / "sites"
		self.folder.mkdir()
		self.port = free_port()
		self.bind = bind or f"127.0.0.1:{self.port}"
		self.options = options
		(self.folder / "gunicorn.conf.py").write_text(configuration)
		self.log = (self.folder / "web.log").open("ab")
		case.addCleanup(self.end)
		self.processes: list[subprocess.Popen] = []
		self.deploy("old")

	def deploy(self, version: str) -> None:
		(self.folder / "tiny_app.py").write_text(APPLICATION.format(version=version))

	def start(self) -> subprocess.Popen:
		words = [sys.executable, "-m", "gunicorn", "-b", self.bind, *self.options, "tiny_app:application"]
		root = Path(__file__).parents[3]
		environment = {**os.environ, "PYTHONPATH": f"{root}", "PYTHONDONTWRITEBYTECODE": "1"}
		process = subprocess.Popen(words, cwd=self.folder, stdout=self.log, stderr=self.log, env=environment)
		self.processes.append(process)
		return process

	def start_and_wait(self) -> subprocess.Popen:
		process = self.start()
		eventually(lambda: (it := active_at(self.folder, process.pid)) and it[1].is_complete, "web is ready")
		return process

	@property
	def files(self) -> Files:
		return active_at(self.folder, self.processes[-1].pid)[0]

	def order(self, *sites: str, seconds: float = 60.0) -> GivenOrder:
		"""To the newest master."""
		files, record = active_at(self.folder, self.processes[-1].pid)
		return GivenOrder.give(files, Order(record.master, record.started, sites, seconds))

	def replace(self, *sites: str, seconds: float = 60.0) -> subprocess.Popen:
		"""As an operation does it: order, end the master, start the next one."""
		order = self.order(*sites, seconds=seconds)
		self.stop()
		order.let_go()
		return self.start()

	def stop(self) -> None:
		"""The newest master, as supervisord does it."""
		self.processes[-1].terminate()
		self.processes[-1].wait(ENDS)

	def workers(self) -> list[int]:
		"""All that live, of every master."""
		return [process.pid for process in gunicorn_processes(self.folder)]

	def left(self) -> list[str]:
		"""Files of ours."""
		return sorted(path.name.rpartition(".")[2] for path in self.folder.glob(".fmx_restart-web-*"))

	def ask(self, path: str = "/", *, site: str = "one", body: bytes = b"", timeout: float = 30.0) -> str:
		connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
		try:
			return request(connection, path, site, body)
		finally:
			connection.close()

	@contextmanager
	def under_load(self, threads: int = 3, *, keeps: bool = False) -> Iterator[Load]:
		with asking(self.port, "one", threads, keeps=keeps) as load:
			yield load

	def end(self) -> None:
		for process in self.processes:
			with suppress(ProcessLookupError):
				process.kill()
			process.wait()
		for pid in self.workers():
			with suppress(ProcessLookupError):
				os.kill(pid, 9)
		self.log.close()


@contextmanager
def asking(port: int, site: str, threads: int, *, keeps: bool = False) -> Iterator[Load]:
	"""Requests with hardly a pause, each on a connection of its own or (`keeps`) on one that stays open."""
	load = Load()
	askers = [threading.Thread(target=ask_on, args=(load, port, site, keeps)) for _ in range(threads)]
	for thread in askers:
		thread.start()
	try:
		yield load
	finally:
		load.is_over.set()
		for thread in askers:
			thread.join()


def ask_on(load: Load, port: int, site: str, keeps: bool) -> None:
	asker = Asker(port, site, keeps)
	while not load.is_over.is_set():
		begun = time.monotonic()
		try:
			answer = asker.ask().partition(" ")[0]
		except (OSError, HTTPException) as error:
			answer = type(error).__name__
			asker.close()
		load.answers[answer] += 1
		load.slowest = max(load.slowest, time.monotonic() - begun)
		time.sleep(PAUSE)
	asker.close()


class Asker:
	"""Asks one thing again and again, for a fraction of what http.client costs: web needs the processor itself."""

	def __init__(self, port: int, site: str, keeps: bool) -> None:
		self.port = port
		self.words = f"GET / HTTP/1.1\r\nHost: {site}\r\n{'' if keeps else CLOSE}\r\n".encode()
		self.socket: socket.socket | None = None

	def ask(self) -> str:
		"""As request(). Raises OSError, and RemoteDisconnected or IncompleteRead where the answer is cut off."""
		if self.socket is None:
			self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
		self.socket.sendall(self.words)
		head, body = self.receive()
		if HAS_CLOSE.search(head) or not head.startswith(b"HTTP/1.1"):
			self.close()
		status = head.split(None, 2)[1].decode()
		return body.decode() if status == "200" else f"HTTP {status}"

	def receive(self) -> tuple[bytes, bytes]:
		text = b""
		while True:
			head, end, body = text.partition(b"\r\n\r\n")
			length = HAS_LENGTH.search(head) if end else None
			if length and len(body) >= int(length[1]):
				return head, body[: int(length[1])]
			if not (more := self.socket.recv(4096)):
				raise IncompleteRead(text) if text else RemoteDisconnected("no answer")
			text += more

	def close(self) -> None:
		if self.socket is not None:
			self.socket.close()
			self.socket = None


def request(connection: HTTPConnection, path: str, site: str, body: bytes, *, keeps: bool = False) -> str:
	"""The answer's text, or "HTTP" and its status. Keep-alive: a connection that the server has closed is opened again."""
	headers = {"Host": site, **({} if keeps else {"Connection": "close"})}
	connection.request("POST" if body else "GET", path, body=body or None, headers=headers)
	answer = connection.getresponse()
	text = answer.read().decode()
	return text if answer.status == 200 else f"HTTP {answer.status}"


def gunicorn_processes(folder: Path) -> list[psutil.Process]:
	"""Masters and workers that run there."""
	found = []
	for pid in psutil.pids():
		with suppress(psutil.NoSuchProcess):
			if is_gunicorn(pid, folder):
				found.append(psutil.Process(pid))
	return found


def is_gunicorn(pid: int, folder: Path) -> bool:
	"""The folder is asked first, which hardly any other process has: tests ask this many times a second."""
	process = Path(f"/proc/{pid}")
	try:
		return (process / "cwd").readlink() == folder and b"gunicorn" in (process / "cmdline").read_bytes()
	except OSError:
		return False


def can_connect(port: int) -> bool:
	with socket.socket() as attempt:
		return attempt.connect_ex(("127.0.0.1", port)) == 0
