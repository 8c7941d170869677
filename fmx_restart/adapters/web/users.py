"""
Web as its users see it while an operation runs: one request after the other to each address, each on a connection of its
own. One thread asks them all and blocks nowhere, so that it knows when it was not running itself.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from errno import EINPROGRESS
from functools import cache
from http import HTTPStatus

from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.probe import PING, TIMEOUT, reason_of
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.web_answers import Tally, WebAnswers

EVERY = 0.1  # seconds between two requests to one address
SELDOM = 1.0  # the same, once web is restarted and only workers are waited for
ENCRYPTED_EVERY = 0.5  # each handshake takes milliseconds of processor, more than all the rest
ERRS_EVERY = 0.5  # after an error of the application, which fills its log with a traceback each time
LOOK = 0.1  # seconds that one look lasts at most
LATE = 0.5  # seconds: one that takes so much longer was not running
LONGEST_ANSWER = 1 << 16  # bytes: what is longer is no answer to a ping
LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
#: of a proxy in front of web, or of a site that is closed: no error of the application
AWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


@frozen
class Target:
	"""Where users ask, and for which site."""

	endpoint: Endpoint
	site: str | None
	through: str = "web"
	is_encrypted: bool = False

	@property
	def words(self) -> bytes:
		"""The request."""
		lines = (f"GET {PING} HTTP/1.1", f"Host: {self.site or 'localhost'}", "User-Agent: fmx_restart")
		return "\r\n".join([*lines, "Accept: */*", "Connection: close", "", ""]).encode("latin-1")


class Request:
	"""One that is under way. `sent`: when it was begun."""

	def __init__(self, target: Target, sent: float) -> None:
		self.sent, self._target, self._words, self._answer = sent, target, target.words, b""
		self.waits_for = selectors.EVENT_WRITE  # until its socket can be written; or read
		at = target.endpoint.reachable
		self.socket = socket.socket(*family_of(at))
		self.socket.setblocking(False)
		try:
			check(self.socket.connect_ex(address_of(at)))
		except BaseException:
			self.socket.close()
			raise

	def proceed(self) -> int | None:
		"""The status, once the answer is whole; None before. Raises OSError."""
		try:
			return self._proceed()
		except (BlockingIOError, ssl.SSLWantReadError):
			self.waits_for = selectors.EVENT_READ
		except ssl.SSLWantWriteError:
			self.waits_for = selectors.EVENT_WRITE
		return None

	def _proceed(self) -> int | None:
		if self._words:
			self._send()
			self.waits_for = selectors.EVENT_READ
			return None
		part = self.socket.recv(LONGEST_ANSWER)
		self._answer += part
		if part and not is_whole(self._answer) and len(self._answer) < LONGEST_ANSWER:
			return None
		status = STATUS.match(self._answer)
		if not status or not is_whole(self._answer, is_ended=not part):
			raise NotWhole
		return int(status[1])

	def _send(self) -> None:
		"""A request of two hundred bytes fits into any socket."""
		check(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
		if self._target.is_encrypted:
			if not isinstance(self.socket, ssl.SSLSocket):
				self.socket = encrypted(self.socket, self._target.site)
			self.socket.do_handshake()
		self.socket.sendall(self._words)
		self._words = b""


@cache
def unverified() -> ssl.SSLContext:
	"""Whose certificate it is does not matter: nothing secret is sent, and this is how long users wait."""
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
	context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
	return context


def encrypted(connected: socket.socket, site: str | None) -> ssl.SSLSocket:
	"""Before its handshake."""
	return unverified().wrap_socket(connected, server_hostname=site, do_handshake_on_connect=False)


def family_of(at: Endpoint) -> tuple[int, int]:
	"""Of its socket."""
	if at.path:
		return socket.AF_UNIX, socket.SOCK_STREAM
	return (socket.AF_INET6 if ":" in at.host else socket.AF_INET), socket.SOCK_STREAM


def address_of(at: Endpoint) -> str | tuple[str, int]:
	"""What connect takes; "@name" stands for an abstract unix socket."""
	if at.path:
		return f"\0{at.path[1:]}" if at.path.startswith("@") else at.path
	return at.host, at.port


def check(error: int) -> None:
	"""Raises the OSError of this number, unless it says that all is well so far."""
	if error not in (0, EINPROGRESS):
		raise OSError(error, os.strerror(error))


def is_whole(answer: bytes, *, is_ended: bool = False) -> bool:
	"""`is_ended`: nothing more comes, so one that does not tell its length is whole."""
	head, separator, body = answer.partition(b"\r\n\r\n")
	if not separator:
		return False
	length = LENGTH.search(head)
	return len(body) >= int(length[1]) if length else is_ended


class NotWhole(OSError):
	"""The connection ended within the answer."""


class Line:
	"""One address: its account, the request that is under way there, and when the next one is due. Never two at once."""

	def __init__(self, target: Target, now: float) -> None:
		self.target, self.due = target, now
		self.tally = Tally(str(target.endpoint), site=target.site or "", through=target.through)
		self.request: Request | None = None


class UserProbe:
	"""
	`is_ordered`: whether the operation has put this site into maintenance mode by now. `clock`: seconds, never set back.
	All methods can be called from any thread.
	"""

	def __init__(
		self,
		is_ordered: Callable[[str], bool],
		*,
		timeout: float = TIMEOUT,
		clock: Callable[[], float] = time.monotonic,
	) -> None:
		self._is_ordered, self._timeout, self._clock = is_ordered, timeout, clock
		self._guard, self._is_over = threading.Lock(), False
		self._every = EVERY
		self._lines: list[Line] = []
		self._restart_at: float | None = None
		self._waits_until = 0.0  # the time of requests that were sent before then begins then

	def start(self, targets: Iterable[Target]) -> None:
		"""Ask these from now on."""
		now = self._clock()
		with self._guard:
			if self._is_over:
				return
			self._lines = [Line(target, now) for target in targets]
			if self._restart_at is not None:
				for line in self._lines:
					line.tally.restart_begins(now)
		threading.Thread(target=self._run, name="web-users", daemon=True).start()

	def restart_begins(self, within: float) -> None:
		"""Returns when every address has been asked once, or after so many seconds."""
		until = self._clock() + within
		while self._clock() < until and not self._is_known():
			time.sleep(0.01)
		with self._guard:
			self._restart_at = self._clock()
			for line in self._lines:
				line.tally.restart_begins(self._restart_at)

	def ask_seldom(self) -> None:
		"""From now on once a second."""
		self._every = SELDOM

	def wait_for_all(self) -> None:
		"""Requests wait on purpose: none is given up."""
		self._waits_until = float("inf")

	def wait_as_usual(self) -> None:
		"""From now on one that has no answer is given up after its time."""
		self._waits_until = self._clock()

	def answers(self) -> tuple[WebAnswers, ...]:
		"""The accounts until now."""
		with self._guard:
			now = self._clock()
			return tuple(line.tally.answers(now) for line in self._lines)

	def end(self) -> tuple[WebAnswers, ...]:
		"""The accounts; nothing is asked any more. Its thread ends within LOOK."""
		with self._guard:
			now = self._clock()
			if not self._is_over:
				self._is_over = True
				for line in self._lines:
					line.tally.end(now, line.request.sent if line.request else None)
			return tuple(line.tally.answers(now) for line in self._lines)

	def _is_known(self) -> bool:
		with self._guard:
			now = self._clock()
			return bool(self._lines) and all(line.tally.answers(now).requests for line in self._lines)

	def _run(self) -> None:
		with selectors.DefaultSelector() as selector:
			seen = self._clock()
			while not self._is_over:
				ready = selector.select(self._pause())
				with self._guard:
					now = self._clock()
					if now - seen > LOOK + LATE:
						self._skip(selector, seen, now)
						ready = []
					seen = now
					self._work(selector, [key.data for key, _ in ready])
			for line in self._lines:
				self._drop(selector, line)

	def _pause(self) -> float:
		"""Seconds until the next request is due, LOOK at most. One that waits for its answer wakes the selector."""
		due = min((line.due for line in self._lines if not line.request), default=self._clock() + LOOK)
		return max(0.0, min(LOOK, due - self._clock()))

	def _work(self, selector: selectors.BaseSelector, ready: Iterable[Line]) -> None:
		"""Unless the account is closed: read what came, give up what waits for too long, send what is due."""
		if self._is_over:
			return
		for line in ready:
			if line.request:
				self._proceed(selector, line)
		for line in self._lines:
			if line.request and self._clock() - max(line.request.sent, self._waits_until) > self._timeout:
				self._failed(selector, line, reason_of(TimeoutError(), self._timeout))
			elif not line.request and self._clock() >= line.due:
				self._send(selector, line)

	def _skip(self, selector: selectors.BaseSelector, began: float, ended: float) -> None:
		"""This process did not run: how long an answer took that came meanwhile, nobody knows."""
		for line in self._lines:
			line.tally.skip(began, ended)
			self._drop(selector, line)
			line.due = ended

	def _send(self, selector: selectors.BaseSelector, line: Line) -> None:
		now = self._clock()
		line.due = now + max(self._every, ENCRYPTED_EVERY if line.target.is_encrypted else 0.0)
		try:
			line.request = Request(line.target, now)
		except OSError as error:
			line.tally.failed(now, reason_of(error, self._timeout))
		else:
			selector.register(line.request.socket, line.request.waits_for, line)

	def _proceed(self, selector: selectors.BaseSelector, line: Line) -> None:
		try:
			status = line.request.proceed()
		except NotWhole:
			self._failed(selector, line, "no whole HTTP answer")
			return
		except OSError as error:
			self._failed(selector, line, reason_of(error, self._timeout))
			return
		if status is None:
			selector.modify(line.request.socket, line.request.waits_for, line)
		else:
			self._answered(selector, line, status)

	def _answered(self, selector: selectors.BaseSelector, line: Line, status: int) -> None:
		now, site, request = self._clock(), line.target.site, line.request
		if is_good(status, site):
			self._drop(selector, line)
			line.tally.good(request.sent, now)
		elif status == HTTPStatus.SERVICE_UNAVAILABLE and site and self._is_closed(line, site):
			self._drop(selector, line)
			line.tally.closed(now)
		else:
			self._failed(selector, line, f"HTTP {status}")
			if status not in AWAY:
				line.due = max(line.due, now + ERRS_EVERY)

	def _is_closed(self, line: Line, site: str) -> bool:
		"""By the operation. Web may notice a moment later that it is open again."""
		return line.tally.is_closed or self._is_ordered(site)

	def _failed(self, selector: selectors.BaseSelector, line: Line, reason: str) -> None:
		self._drop(selector, line)
		line.tally.failed(self._clock(), reason)

	def _drop(self, selector: selectors.BaseSelector, line: Line) -> None:
		"""End the request that is under way."""
		if line.request:
			with suppress(KeyError, ValueError):
				selector.unregister(line.request.socket)
			line.request.socket.close()
			line.request = None


def is_good(status: int, site: str | None) -> bool:
	"""Whether users of this site got what they asked for. A limit of requests is set on purpose, and web answers."""
	if site is None:
		return status < HTTPStatus.INTERNAL_SERVER_ERROR
	return status in (HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS)
