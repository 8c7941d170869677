"""Where this bench's supervisord may answer, and one conversation with it over supervisor's own transport."""

from __future__ import annotations

import configparser
import os
import re
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from http.client import HTTPConnection, HTTPException, RemoteDisconnected
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from xml.parsers.expat import ExpatError
from xmlrpc.client import Error, Fault, ProtocolError, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport, UnixStreamHTTPConnection

from fmx_restart.adapters.process_table import is_numbered_here, read_stat
from fmx_restart.adapters.setting_rules import host_fault
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen

BELOW_BENCH = (
	"supervisord.conf",
	"etc/supervisord.conf",
	"config/supervisord.conf",
	"config/supervisor/supervisord.conf",
)
SYSTEM_WIDE = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
EXPANSION = re.compile(r"%%|%\((?P<name>[^)]*)\)s")
ANY_HOST = {"", "*", "0.0.0.0", "::"}


@frozen
class Unusable:
	"""A place that was named but cannot be asked."""

	message: str
	hint: str


def candidates(url: str | None, environ: Mapping[str, str], files: Iterable[str]) -> list[Address | Unusable]:
	"""What was set for us first, then supervisord's own word to its children, then the config files."""
	named = [
		parse_url(value, source)
		for value, source in (
			(url, "the setting fmx_restart_supervisor_url"),
			(environ.get("SUPERVISOR_SERVER_URL"), "the environment variable SUPERVISOR_SERVER_URL"),
		)
		if value
	]
	written = [address for file in files for address in read_config(Path(file), environ)]
	known = {it.url: it for it in written if isinstance(it, Address) and it.username}
	return list(dict.fromkeys(_with_login(address, known) for address in [*named, *written]))


def config_files(bench_path: str) -> list[str]:
	"""Where a bench's supervisord.conf may be; the bench's own come first."""
	return [str(Path(bench_path, name)) for name in BELOW_BENCH] + list(SYSTEM_WIDE)


def parse_url(url: object, source: str) -> Address | Unusable:
	"""unix:///path or http://user:password@host:port."""
	try:
		if url.startswith(UNIX):
			return Address(UNIX + os.path.realpath(Path(url[len(UNIX) :]).expanduser()), source=source)
		parts = urlsplit(url)
		host, port = parts.hostname, parts.port or 80
		is_usable = bool(host) and parts.scheme == "http" and not host_fault(host) and has_no_more(parts)
	except (
		ValueError,
		AttributeError,
		RuntimeError,
	):  # no text, and "~nobody"; no error's text: it may show a password
		is_usable = False
	if not is_usable:
		return Unusable(
			f"{source} is not an address of a supervisord",
			"Write it as unix:///path/to/supervisor.sock or as http://host:port.",
		)
	host = f"[{host}]" if ":" in host else host
	username, password = (
		None if part is None else unquote(part) for part in (parts.username, parts.password)
	)
	return Address(f"http://{host}:{port}", username, password, source)


def has_no_more(parts: SplitResult) -> bool:
	"""Behind the port. A / in a password would make its beginning the port, which is shown, and its rest the path."""
	return parts.path in ("", "/", "/RPC2") and not parts.query and not parts.fragment


def read_config(path: Path, environ: Mapping[str, str]) -> Iterator[Address | Unusable]:
	"""The address in one config file; nothing where there is no such file or it names no server."""
	# As supervisor reads it: comments may follow a value, sections may repeat
	parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
	expansions = {f"ENV_{name}": value for name, value in environ.items()}
	expansions["here"] = str(path.absolute().parent)
	try:
		parser.read_string(path.read_text())
		yield from _server(parser, expansions, str(path))
	except (FileNotFoundError, NotADirectoryError):
		return
	except OSError as error:
		yield Unusable(f"{path} cannot be read: {error.strerror}", f"Let this user read {path}.")
	except (ValueError, KeyError, configparser.Error) as error:
		# no text of the error: it may show a password
		yield Unusable(
			f"{path} names a server in a way that cannot be read ({type(error).__name__})",
			f"Correct [supervisorctl], [unix_http_server] and [inet_http_server] in {path}.",
		)


def _server(
	parser: configparser.RawConfigParser, expansions: Mapping[str, str], source: str
) -> Iterator[Address | Unusable]:
	def setting(section: str, option: str) -> str | None:
		value = parser.get(section, option, fallback=None)
		return None if value is None else expand(value, expansions)

	file, port = setting("unix_http_server", "file"), setting("inet_http_server", "port")
	url = setting("supervisorctl", "serverurl") or (UNIX + file if file else port and _inet_url(port))
	if not url:
		return
	section = "unix_http_server" if url.startswith(UNIX) else "inet_http_server"
	address = parse_url(url, source)
	username = setting("supervisorctl", "username") or setting(section, "username")
	password = setting("supervisorctl", "password") or setting(section, "password")
	if isinstance(address, Address) and username:
		address = replace(address, username=username, password=password)
	yield address


def expand(value: str, expansions: Mapping[str, str]) -> str:
	"""%(here)s, %(ENV_NAME)s and %%. Raises KeyError for another name; a single % stays as it is."""
	return EXPANSION.sub(lambda match: expansions[match["name"]] if match["name"] else "%", value)


def _inet_url(port: str) -> str:
	"""From supervisor's port setting: 9001, :9001, *:9001 or host:9001."""
	host, _, number = port.rpartition(":")
	return f"http://{'127.0.0.1' if host in ANY_HOST else host}:{number}"


def _with_login(address: Address | Unusable, known: Mapping[str, Address]) -> Address | Unusable:
	"""supervisord tells its children its address only; user and password stand in its config file."""
	if isinstance(address, Address) and not address.username and address.url in known:
		return known[address.url]
	return address


TIMEOUT = 10.0  # seconds; supervisord answers in milliseconds unless it hangs
UNIX = "unix://"
DROPPED = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
COLOURS = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")
NOT_XML = bytes(code for code in range(32) if chr(code) not in "\t\n\r")
CORRECT = "Correct the program's command in supervisor's configuration, then type: bench safe-restart --wait-workers --update-config"
HINTS = {
	Faults.SHUTDOWN_STATE: "supervisord is shutting down. Start it again, then look at supervisorctl status.",
	Faults.BAD_NAME: "supervisor's configuration was changed meanwhile. Look at supervisorctl status.",
	Faults.NO_FILE: CORRECT,
	Faults.NOT_EXECUTABLE: CORRECT,
}


@frozen
class Address:
	"""Where a supervisord answers. `source` is the file or setting that named it."""

	url: str  # unix:///path or http://host:port, never with a password
	username: str | None = None
	password: str | None = field(default=None, repr=False)
	source: str = field(default="", compare=False)

	@property
	def socket_path(self) -> str | None:
		"""The path of a unix:// address; None for one of TCP."""
		return self.url[len(UNIX) :] if self.url.startswith(UNIX) else None


class TimedUnixConnection(UnixStreamHTTPConnection):
	is_near = True  # False: the process that listens has no pid in our namespace, as in another container

	def __init__(self, path: str, timeout: float) -> None:
		super().__init__("localhost", timeout=timeout)
		self.socketfile = path

	def connect(self) -> None:
		"""As http.client, through a unix socket; `timeout` is in seconds. Raises OSError."""
		self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		self.sock.settimeout(self.timeout)
		self.sock.connect(self.socketfile)
		self.is_near = is_of_our_namespace(peer_pid(self.sock))


class TimedConnection(HTTPConnection):
	is_near = True  # False: what listens has an address of another machine

	def connect(self) -> None:
		"""As http.client. Raises OSError."""
		super().connect()
		# from an address of this machine to itself the kernel takes that address for both ends
		self.is_near = self.sock.getsockname()[0] == self.sock.getpeername()[0]


def peer_pid(connection: socket.socket) -> int | None:
	"""Of who listens on a unix socket; 0 where that process is not in our pid namespace. None where nobody tells."""
	try:
		credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
	except (AttributeError, OSError):  # not Linux
		return None
	return struct.unpack("3i", credentials)[0]


def is_of_our_namespace(pid: int | None) -> bool:
	"""
	0 is a process that has no pid here. A container on this machine has one here and another one inside. One that is gone
	has begun to listen, and left that to its child, as a daemon does.
	"""
	return pid is None or (pid != 0 and (read_stat(pid) is None or is_numbered_here(pid)))


class ReadableXml:
	"""Takes out what a program's log may hold and XML may not: supervisord sends it as it is."""

	def __init__(self, parser) -> None:
		self._parser = parser

	def feed(self, data: bytes) -> None:
		"""Take out what a program may have written into its log and no XML parser takes."""
		self._parser.feed(COLOURS.sub(b"", data).translate(None, NOT_XML))

	def close(self) -> None:
		"""Tell the parser that the answer is complete. Raises ExpatError where it is not."""
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
		return TimedConnection(url.hostname or "localhost", url.port or 80, timeout=self._timeout)

	def wait_for(self, seconds: float) -> None:
		"""For each answer, from the next connection on."""
		self._timeout = seconds

	@property
	def is_near(self) -> bool:
		"""Whether what answered may be a process of this machine and our pid namespace. True before the first call."""
		return getattr(self.connection, "is_near", True)

	def request(self, host, handler, request_body, verbose=0):
		"""
		As xmlrpc.client, once more where supervisord closed a connection that had been kept open. Raises OSError,
		HTTPException and xmlrpc.client.Error.
		"""
		was_open = self.connection is not None
		try:
			return super().request(host, handler, request_body, verbose)
		except (OSError, HTTPException) as error:
			self.close()  # a half-read answer must not be taken for the next one
			if not (was_open and isinstance(error, DROPPED)):
				raise
		return super().request(host, handler, request_body, verbose)

	def getparser(self):
		"""A parser that survives the control characters in a program's log."""
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
			raise ProcessFault(f"supervisor refused to {what}: {fault.faultString}", hint=hint) from fault
	except ProtocolError as error:
		raise ProcessFault(f"supervisor refused to {what}: HTTP {error.errcode} {error.errmsg}") from error
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
