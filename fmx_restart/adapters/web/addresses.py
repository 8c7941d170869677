"""Where web listens: by its sockets, and by the words of its program when its sockets cannot be seen."""

from __future__ import annotations

import ipaddress
import os
import shlex
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import HostProcess

BIND, BIND_LONG = "-b", "--bind"
PORT = "--port"
ARGUMENTS = "GUNICORN_CMD_ARGS"


def meant_endpoints(process: HostProcess) -> tuple[Endpoint, ...]:
	"""
	Empty where nothing tells: another user's process, a title in place of the words, a configuration file. What stands
	on the command line overrides the environment, as in gunicorn.
	"""
	words, environment = words_of(process.pid)
	if bench_command(words) == "serve":
		return served_at(words)
	for source in (words, split(environment.get(ARGUMENTS, ""))):
		if endpoints := tuple(filter(None, map(parse_bind, binds(source)))):
			return endpoints
	return ()


def served_at(words: Iterable[str]) -> tuple[Endpoint, ...]:
	"""bench serve takes any address; without --port it uses webserver_port."""
	port = next(values(words, "", PORT), "")
	return (Endpoint("0.0.0.0", number),) if (number := parse_port(port)) else ()


def binds(words: Iterable[str]) -> Iterator[str]:
	"""Each address that gunicorn's command line names with -b or --bind."""
	return values(words, BIND, BIND_LONG)


def values(words: Iterable[str], short: str, long: str) -> Iterator[str]:
	"""Of an option in each of its spellings: -b X, -bX, --bind X, --bind=X."""
	remaining = iter(words)
	for word in remaining:
		if word in (short, long):
			yield next(remaining, "")
		elif word.startswith(f"{long}="):
			yield word[len(long) + 1 :]
		elif short and word.startswith(short) and not word.startswith("--"):
			yield word[len(short) :]


def words_of(pid: int) -> tuple[list[str], Mapping[str, str]]:
	"""Its command line and its environment, as far as this user may see them."""
	words: list[str] = []
	with suppress(psutil.Error, OSError):
		process = psutil.Process(pid)
		words = split_words(process.cmdline())
		return words, process.environ()
	return words, {}


def split(text: str) -> list[str]:
	"""Words as a shell splits them; at white space where a quote is not closed."""
	try:
		return shlex.split(text)
	except ValueError:  # an unmatched quote
		return text.split()


SETTING = "fmx_restart_web_url"
GUNICORNS_PORT = 8000  # where an address names none
UNIX = "unix:"
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
HIGHEST_PORT = 65535


@frozen
class Endpoint:
	"""A host and a port, or the path of a unix socket ("@name" for an abstract one)."""

	host: str = ""
	port: int = 0
	path: str = ""

	def __str__(self) -> str:
		if self.path:
			return f"{UNIX}{printable(self.path)}"
		return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

	@property
	def reachable(self) -> Endpoint:
		"""Where to connect to what listens at this endpoint: a loopback address for one that takes any."""
		return self if self.path else Endpoint(ANY.get(self.host, self.host), self.port)

	def overlaps(self, other: Endpoint) -> bool:
		"""Two programs cannot listen at both. Names are not resolved: two that differ may be the same host."""
		if self.path or other.path:
			return self.path == other.path
		hosts = {self.host, other.host}
		is_same = len(hosts) == 1 or bool(hosts & ANY.keys()) or not all(map(is_address, hosts))
		return self.port == other.port and is_same


def printable(text: str) -> str:
	"""What another user's process named: no control characters on anybody's terminal."""
	return "".join(letter if letter.isprintable() else "?" for letter in text)


def is_address(host: str) -> bool:
	"""An IP address, and not a name."""
	with suppress(ValueError):
		ipaddress.ip_address(host)
		return True
	return False


def parse_bind(text: str) -> Endpoint | None:
	"""As gunicorn reads the value of --bind (gunicorn.util.parse_address). None for fd://N, and for what it refuses."""
	text = text.strip().removeprefix("tcp://")
	if text.startswith(UNIX):
		path = text[len(UNIX) :]
		return Endpoint(path=path.removeprefix("//")) if path else None
	if text.startswith("fd://"):
		return None
	host, port = split_port(text)
	number = parse_port(port) if port else GUNICORNS_PORT
	return Endpoint(host or "0.0.0.0", number) if number else None


def split_port(text: str) -> tuple[str, str]:
	"""[::1]:8000, 127.0.0.1:8000, a host alone, :8000."""
	if text.startswith("["):
		host, _, rest = text[1:].partition("]")
		return host, rest.lstrip(":")
	host, _, port = text.partition(":")
	return host, port


def parse_port(text: str) -> int | None:
	"""1 to 65535; None for anything else."""
	is_number = text.isascii() and text.isdigit()
	return int(text) if is_number and 0 < int(text) <= HIGHEST_PORT else None


def override_of(config: Mapping) -> Endpoint | None:
	"""What the setting in common_site_config.json says. Raises WrongEnvironment."""
	value = config.get(SETTING)
	return parse_url(value) if value not in (None, "") else None


def parse_url(value: object) -> Endpoint:
	"""The setting's value: http://host:port, or unix:///path/to/socket. Raises WrongEnvironment; never shows the value."""
	if isinstance(value, str) and value.startswith("unix:///"):
		return Endpoint(path=value[len("unix://") :])
	try:
		parts = urlsplit(value if isinstance(value, str) else "")
		host, port = parts.hostname, parts.port or 80
	except ValueError:  # its text may show a password
		host = None
	if not host or parts.scheme != "http" or parts.username or parts.path.strip("/") or parts.query:
		raise WrongEnvironment(
			f"{SETTING} in sites/common_site_config.json is not the address of a web server. Nothing was changed.",
			hint=f"Write it as http://host:port or unix:///path/to/socket: bench set-config -g {SETTING}"
			" http://127.0.0.1:8000, or remove the line.",
		)
	return Endpoint(host, port)


PROC = Path("/proc")
TCP_ESTABLISHED, TCP_LISTEN = "01", "0A"  # include/net/tcp_states.h
ACCEPTS = 0x10000  # __SO_ACCEPTCON in the flags of /proc/net/unix
SOCKET = "socket:["
IPV4_IN_IPV6 = "::ffff:"


@frozen
class Listener:
	"""A socket that takes connections."""

	endpoint: Endpoint
	inode: int
	uid: int | None = None  # of its owner; /proc tells none for unix sockets


@frozen
class Listening:
	"""
	What a family of processes listens at. `unknown`: why that cannot be told; empty where it can. `everybody`: all
	listeners that were there then; to read them takes the kernel 20 ms.
	"""

	listeners: tuple[Listener, ...] = ()
	unknown: str = ""
	everybody: tuple[Listener, ...] = ()

	@property
	def endpoints(self) -> tuple[Endpoint, ...]:
		"""Each address once, in the order in which they were found."""
		return tuple(dict.fromkeys(listener.endpoint for listener in self.listeners))

	@property
	def is_known(self) -> bool:
		"""Where one process hides its sockets and another one listens, that is enough."""
		return bool(self.listeners) or not self.unknown


def listening(family: Iterable[HostProcess]) -> Listening:
	"""By the processes in `family` that still run."""
	by_inode: dict[int, Listener] = {}
	unknown, everybody = "", all_listeners()
	for process in family:
		try:
			by_inode |= {listener.inode: listener for listener in listeners_of(process.pid, everybody)}
		except PermissionError:
			unknown = f"this user may not look at the sockets of pid {process.pid}"
		except OtherNamespace:
			unknown = f"pid {process.pid} runs in another network namespace"
		except OSError:  # it is gone
			continue
	if not has_proc():
		unknown = "this system has no /proc/net"
	return Listening(tuple(by_inode.values()), unknown, everybody)


class OtherNamespace(Exception):
	"""The same address means another server there."""


def listeners_of(pid: int, everybody: Iterable[Listener]) -> Iterator[Listener]:
	"""Those of them that a process has open. Raises PermissionError, OtherNamespace, or another OSError for a process that is gone."""
	inodes = sockets_of(pid)
	if not inodes:
		return
	if (PROC / f"{pid}/ns/net").readlink() != (PROC / "self/ns/net").readlink():
		raise OtherNamespace
	for listener in everybody:
		if listener.inode in inodes:
			yield with_folder(listener, pid)


def with_folder(listener: Listener, pid: int) -> Listener:
	"""A unix socket's path as it was bound: it may be relative to the folder in which its process runs."""
	path = listener.endpoint.path
	if not path or path.startswith(("/", "@")):
		return listener
	folder = (PROC / f"{pid}/cwd").readlink()
	return Listener(Endpoint(path=str(folder / path)), listener.inode, listener.uid)


def sockets_of(pid: int) -> set[int]:
	"""Inodes of the sockets that a process has open. Raises OSError where it is gone or another user's."""
	return {inode for _, target in descriptors_of(pid) if (inode := socket_inode(target)) is not None}


def descriptors_of(pid: int) -> Iterator[tuple[int, str]]:
	"""Number of each descriptor of a process, and what it leads to. Raises OSError where it is gone or another user's."""
	folder = f"{PROC}/{pid}/fd"
	for number in os.listdir(folder):  # noqa: PTH208 - no Path object for each descriptor
		with suppress(FileNotFoundError):  # closed just now
			yield int(number), os.readlink(f"{folder}/{number}")  # noqa: PTH115 - likewise


def socket_inode(target: str) -> int | None:
	"""`target`: what a descriptor leads to. None where that is no socket."""
	return int(target[len(SOCKET) : -1]) if target.startswith(SOCKET) else None


def has_proc() -> bool:
	"""/proc lists sockets here; elsewhere who listens cannot be told."""
	return (PROC / "net/unix").exists()


def all_listeners() -> tuple[Listener, ...]:
	"""Of our own network namespace. Empty where there is no /proc/net."""
	return (*tcp_listeners("tcp"), *tcp_listeners("tcp6"), *unix_listeners())


def tcp_listeners(table: str) -> Iterator[Listener]:
	"""Listening sockets of one table of /proc/net, with inode and the user who owns them."""
	for fields in tcp_sockets(table, TCP_LISTEN):
		host, _, port = fields[1].partition(":")
		yield Listener(Endpoint(host_of(host), int(port, 16)), int(fields[9]), int(fields[7]))


def connections_to(port: int) -> int:
	"""How many are open to this port, in our own network namespace: of clients, or of a proxy for each of them."""
	rows = (*tcp_sockets("tcp", TCP_ESTABLISHED), *tcp_sockets("tcp6", TCP_ESTABLISHED))
	return sum(int(fields[1].rpartition(":")[2], 16) == port for fields in rows)


def tcp_sockets(table: str, state: str) -> Iterator[list[str]]:
	"""The fields of each line of this state."""
	for line in lines_of(table):
		if f" {state} " not in line:
			continue  # a busy machine has thousands of connections that are about to be forgotten
		fields = line.split()
		if fields[3] == state:
			yield fields


def unix_listeners() -> Iterator[Listener]:
	"""Unix sockets that accept connections. A path with a line's end in it is skipped."""
	for line in lines_of("unix"):
		with suppress(ValueError, LookupError):  # the rest of a path with a line's end in it
			flags, inode, path = itemgetter(3, 6, 7)(line.split(maxsplit=7))
			if int(flags, 16) & ACCEPTS:
				yield Listener(Endpoint(path=path), int(inode))


def lines_of(table: str) -> list[str]:
	"""Without the headline. Paths of unix sockets may be any bytes, and only the kernel's own line ends are some."""
	try:
		text = (PROC / "net" / table).read_bytes().decode(errors="surrogateescape")
		return [line for line in text.split("\n") if line][1:]
	except OSError:
		return []


def host_of(text: str) -> str:
	"""The kernel writes each 32 bits of an address as a number of this machine's byte order."""
	words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
	packed = b"".join(words)
	host = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
	return host.removeprefix(IPV4_IN_IPV6) if "." in host else host
