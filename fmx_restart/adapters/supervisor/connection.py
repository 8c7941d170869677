"""One conversation with supervisord, over supervisor's own transport."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ProtocolError, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport, UnixStreamHTTPConnection

from fmx_restart.engine.errors import ProcessFault

TIMEOUT = 10.0  # seconds; supervisord answers in milliseconds unless it hangs
UNIX = "unix://"
DROPPED = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
COLOURS = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")
NOT_XML = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
HINTS = {
	Faults.SHUTDOWN_STATE: "supervisord is shutting down. Start it again, then look at supervisorctl status.",
	Faults.BAD_NAME: "supervisor's configuration was changed meanwhile. Look at supervisorctl status.",
	Faults.NO_FILE: "Correct the program's command in supervisor's configuration, then supervisorctl update.",
	Faults.NOT_EXECUTABLE: "Correct the program's command in supervisor's configuration, then supervisorctl update.",
}


@dataclass(frozen=True)
class Address:
	"""Where a supervisord answers. `source` is the file or setting that named it."""

	url: str  # unix:///path or http://host:port, never with a password
	username: str | None = None
	password: str | None = field(default=None, repr=False)
	source: str = field(default="", compare=False)

	@property
	def socket_path(self) -> str | None:
		return self.url[len(UNIX) :] if self.url.startswith(UNIX) else None


class TimedUnixConnection(UnixStreamHTTPConnection):
	def __init__(self, path: str, timeout: float) -> None:
		super().__init__("localhost", timeout=timeout)
		self.socketfile = path

	def connect(self) -> None:
		self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self.sock.settimeout(self.timeout)
		self.sock.connect(self.socketfile)


class ReadableXml:
	"""Takes out what a program's log may hold and XML may not: supervisord sends it as it is."""

	def __init__(self, parser) -> None:
		self._parser = parser

	def feed(self, data: bytes) -> None:
		self._parser.feed(COLOURS.sub(b"", data).translate(None, NOT_XML))

	def close(self) -> None:
		self._parser.close()


class Transport(SupervisorTransport):
	"""Gives up after `timeout` seconds, and connects again when an idle connection was dropped."""

	def __init__(self, address: Address, timeout: float = TIMEOUT) -> None:
		super().__init__(address.username, address.password, address.url)
		self._address, self._timeout = address, timeout
		self._get_connection = self._open  # SupervisorTransport.__init__ has set its own, without a timeout

	def _open(self) -> HTTPConnection:
		if self._address.socket_path:
			return TimedUnixConnection(self._address.socket_path, self._timeout)
		url = urlsplit(self._address.url)
		return HTTPConnection(url.hostname or "localhost", url.port or 80, timeout=self._timeout)

	def request(self, host, handler, request_body, verbose=0):
		was_open = self.connection is not None
		try:
			return super().request(host, handler, request_body, verbose)
		except (OSError, HTTPException) as error:
			self.close()  # a half-read answer must not be taken for the next one
			if not (was_open and isinstance(error, DROPPED)):
				raise
		return super().request(host, handler, request_body, verbose)

	def getparser(self):
		parser, target = super().getparser()
		return ReadableXml(parser), target


def connect(address: Address, timeout: float = TIMEOUT) -> ServerProxy:
	"""Nothing is sent before the first call. Not for use by two threads at once."""
	# ServerProxy insists on an http address; the transport knows the real one
	return ServerProxy("http://localhost", transport=Transport(address, timeout))


@contextmanager
def asking(what: str, *, fine: Collection[int] = ()) -> Iterator[None]:
	"""Ask supervisor to do something. Faults in `fine` mean there was nothing to do. Raises ProcessFault."""
	try:
		yield
	except Fault as fault:
		if fault.faultCode not in fine:
			hint = HINTS.get(fault.faultCode, "")
			raise ProcessFault(f"supervisor would not {what}: {fault.faultString}", hint=hint) from fault
	except ProtocolError as error:
		raise ProcessFault(f"supervisor would not {what}: HTTP {error.errcode} {error.errmsg}") from error
	except (OSError, HTTPException, ExpatError) as error:
		raise ProcessFault(f"supervisor did not answer when asked to {what}: {error}") from error
	except (
		Error,
		ValueError,
		TypeError,
		LookupError,
		AttributeError,
	) as error:  # its text may show the login
		raise ProcessFault(
			f"supervisor gave an answer that cannot be read when asked to {what} ({type(error).__name__})"
		) from error
