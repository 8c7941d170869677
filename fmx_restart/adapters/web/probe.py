"""Ask the web server for sites, each in a thread, so that whoever waits goes on renewing leases."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Generic, TypeVar

from fmx_restart.adapters.database import database_fault
from fmx_restart.adapters.setting_rules import read_object
from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import WebFault

T = TypeVar("T")


class Question(Generic[T]):
	def __init__(self, ask: Callable[[], T]) -> None:
		self._ask, self._answers, self._error = ask, [], None
		self._thread = threading.Thread(target=self._run, name="web-question", daemon=True)
		self._thread.start()

	def is_answered(self, within: float) -> bool:
		"""`within`: seconds."""
		self._thread.join(within)
		return not self._thread.is_alive()

	def answer(self) -> T:
		"""Once it is answered. Raises what the question raised."""
		if self._error is not None:
			raise self._error
		return self._answers[0]

	def _run(self) -> None:
		try:
			self._answers.append(self._ask())
		except Exception as error:  # noqa: BLE001 - raised again where the answer is read
			self._error = error


TIMEOUT = 10.0  # seconds: the first request after a start takes long, and one that we abandon delays the next
UNSENDABLE = "its name cannot be sent over HTTP"
PING = "/api/method/ping"


def reason_of(error: Exception, timeout: float) -> str:
	"""Why a request got no answer, in a few words."""
	if isinstance(error, TimeoutError):
		return f"no answer within {timeout:g} s"
	if isinstance(error, ConnectionRefusedError):
		return "connection refused"
	if isinstance(error, FileNotFoundError):
		return "the socket does not exist"
	return f"no HTTP answer ({type(error).__name__})"


class UnixConnection(HTTPConnection):
	"""HTTP over a unix socket. "@name" is an abstract one."""

	def __init__(self, path: str, *, timeout: float) -> None:
		super().__init__("localhost", timeout=timeout)
		self._path = f"\0{path[1:]}" if path.startswith("@") else path

	def connect(self) -> None:
		"""As http.client, through a unix socket; `timeout` is in seconds. Raises OSError."""
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
		except ValueError:  # a character outside Latin-1, or a line break
			return self._fault(UNSENDABLE)
		except (OSError, HTTPException) as error:
			return self._fault(reason_of(error, self._timeout))
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


MOST = 20  # sites that are asked around a restart; bench doctor asks all


@frozen
class AskedSites:
	"""`named`: those that someone typed; they must answer. `others`: real ones of this bench, the default site first."""

	folder: Path  # the bench's sites
	named: tuple[str, ...] = ()
	others: tuple[str, ...] = ()

	@classmethod
	def of(cls, folder: Path, named: Iterable[str], known: Iterable[str], default: object) -> AskedSites:
		"""The sites named, all of them, then others that exist: the default site first, no more than MOST."""
		real = sorted(filter(is_real(folder), known), key=lambda site: site != default)
		named = tuple(filter(can_be_sent, dict.fromkeys(named)))
		return cls(folder, named, tuple(site for site in real if site not in named)[:MOST])

	@property
	def all(self) -> tuple[str, ...]:
		"""The sites that somebody named come first."""
		return (*self.named, *self.others)

	def is_there(self, site: str) -> bool:
		"""Its configuration is on the disk. A site that was removed meanwhile is no fault of web's."""
		return (self.folder / site / "site_config.json").exists()

	def in_maintenance(self, site: str | None) -> bool:
		"""As the web process would find it now: the site's own setting wins over the common one."""
		return bool(self.settings_of(site).get("maintenance_mode"))

	def cause(self, site: str | None) -> str:
		"""What may be behind a server error, in a few words."""
		return database_fault(self.settings_of(site))

	def settings_of(self, site: str | None) -> dict:
		"""The site's own over the common ones; what cannot be read is left out."""
		paths = [self.folder / "common_site_config.json"]
		paths += [self.folder / site / "site_config.json"] if site else []
		settings: dict = {}
		for path in paths:
			with suppress(OSError, ValueError):
				settings |= read_object(path)[0]
		return settings


def can_be_sent(site: str) -> bool:
	"""
	As the value of a header, which is Latin-1. Frappe finds a site by the folder of that name, so nothing else will do; a
	browser that opens such a domain sends its IDNA name (xn--…).
	"""
	return site.isprintable() and all(ord(char) < 256 for char in site)


def is_real(folder: Path) -> Callable[[str], bool]:
	"""
	Whether a site names its database. A restored copy may do that too: only its answer tells. A name that HTTP cannot
	carry is no site that is served.
	"""

	def has_database(site: str) -> bool:
		with suppress(OSError, ValueError):
			return can_be_sent(site) and bool(
				read_object(folder / site / "site_config.json")[0].get("db_name")
			)
		return False

	return has_database
