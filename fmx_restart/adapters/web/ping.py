"""One HTTP request to a web server, as nginx would pass it on for one site."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from fmx_restart.adapters.web.endpoint import Endpoint
from fmx_restart.engine.ports import WebFault

TIMEOUT = 10.0  # seconds: the first request after a start takes long, and one that we abandon delays the next
UNSENDABLE = "its name cannot be sent over HTTP"
PING = "/api/method/ping"


class UnixConnection(HTTPConnection):
	"""HTTP over a unix socket. "@name" is an abstract one."""

	def __init__(self, path: str, *, timeout: float) -> None:
		super().__init__("localhost", timeout=timeout)
		self._path = f"\0{path[1:]}" if path.startswith("@") else path

	def connect(self) -> None:
		self.sock = socket.socket(socket.AF_UNIX)
		self.sock.settimeout(self.timeout)
		self.sock.connect(self._path)


class PingedWebServer:
	"""
	`site` goes into the Host header, as nginx would put it there. Without one every answer counts that is
	no server error. `in_maintenance` tells whether the site is closed now: then it must say so, with a 503.
	`cause`: what may be behind a server error, in a few words.
	"""

	def __init__(
		self,
		endpoint: Endpoint,
		site: str | None = None,
		*,
		in_maintenance: Callable[[], bool] = lambda: False,
		cause: Callable[[], str] = lambda: "",
		timeout: float = TIMEOUT,
	) -> None:
		self.endpoint, self.site = endpoint, site
		self._in_maintenance, self._cause, self._timeout = in_maintenance, cause, timeout

	def fault(self) -> WebFault | None:
		try:
			status = self._ping()
		except TimeoutError:
			return self._fault(
				f"no answer within {self._timeout:g} s",
			)
		except ConnectionRefusedError:
			return self._fault("connection refused")
		except FileNotFoundError:
			return self._fault("the socket does not exist")
		except ValueError:  # a character outside Latin-1, or a line break
			return self._fault(UNSENDABLE)
		except (OSError, HTTPException) as error:
			return self._fault(f"no HTTP answer ({type(error).__name__})")
		return None if self._is_fine(status) else self._error(status)

	def _ping(self) -> int:
		headers = {"Host": self.site} if self.site else {}
		with closing(self._connection()) as connection:
			connection.request("GET", PING, headers=headers)
			return connection.getresponse().status

	def _connection(self) -> HTTPConnection:
		at = self.endpoint.reachable
		if at.path:
			return UnixConnection(at.path, timeout=self._timeout)
		return HTTPConnection(at.host, at.port, timeout=self._timeout)

	def _fault(self, reason: str, *, is_answer: bool = False) -> WebFault:
		return WebFault(reason, str(self.endpoint), self.site or "", is_answer=is_answer)

	def _error(self, status: int) -> WebFault:
		cause = self._cause() if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
		return self._fault(f"HTTP {status}{', ' if cause else ''}{cause}", is_answer=True)

	def _is_fine(self, status: int) -> bool:
		if status == HTTPStatus.SERVICE_UNAVAILABLE:
			return self._in_maintenance()
		if self.site:
			return status == HTTPStatus.OK
		return status < HTTPStatus.INTERNAL_SERVER_ERROR
