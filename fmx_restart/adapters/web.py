"""The bench's web server, asked over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from fmx_restart.engine.ports import WebFault

TIMEOUT = 10.0  # seconds: the first request after a start takes long, and one that we abandon delays the next
PING = "/api/method/ping"


class PingedWebServer:
	"""
	`site` goes into the Host header, as nginx would put it there. Without one every answer counts that is
	no server error. `in_maintenance` tells whether the site is closed now: then it must say so, with a 503.
	`cause`: what may be behind a server error, in a few words.
	"""

	def __init__(
		self,
		port: int,
		site: str | None = None,
		*,
		host: str = "127.0.0.1",
		in_maintenance: Callable[[], bool] = lambda: False,
		cause: Callable[[], str] = lambda: "",
		timeout: float = TIMEOUT,
	) -> None:
		self._port, self._site, self._host = port, site, host
		self._in_maintenance, self._cause, self._timeout = in_maintenance, cause, timeout

	def fault(self) -> WebFault | None:
		try:
			status = self._ping()
		except TimeoutError:
			return WebFault(f"no answer within {self._timeout:g} s")
		except ConnectionRefusedError:
			return WebFault("connection refused")
		except (OSError, HTTPException) as error:
			return WebFault(f"no HTTP answer ({type(error).__name__})")
		return None if self._is_fine(status) else self._error(status)

	def _ping(self) -> int:
		headers = {"Host": self._site} if self._site else {}
		with closing(HTTPConnection(self._host, self._port, timeout=self._timeout)) as connection:
			connection.request("GET", PING, headers=headers)
			return connection.getresponse().status

	def _error(self, status: int) -> WebFault:
		cause = self._cause() if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ""
		return WebFault(f"HTTP {status}{', ' if cause else ''}{cause}", is_answer=True)

	def _is_fine(self, status: int) -> bool:
		if status == HTTPStatus.SERVICE_UNAVAILABLE:
			return self._in_maintenance()
		if self._site:
			return status == HTTPStatus.OK
		return status < HTTPStatus.INTERNAL_SERVER_ERROR
