"""Which process listens where, from /proc: the sockets of a network namespace, and who has them open."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from fmx_restart.adapters.web.endpoint import Endpoint
from fmx_restart.engine.ports import HostProcess

PROC = Path("/proc")
TCP_LISTEN = "0A"  # include/net/tcp_states.h
ACCEPTS = 0x10000  # __SO_ACCEPTCON in the flags of /proc/net/unix
SOCKET = "socket:["
IPV4_IN_IPV6 = "::ffff:"


@dataclass(frozen=True)
class Listener:
	"""A socket that takes connections."""

	endpoint: Endpoint
	inode: int
	uid: int | None = None  # of its owner; /proc tells none for unix sockets


@dataclass(frozen=True)
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
		return tuple(dict.fromkeys(listener.endpoint for listener in self.listeners))

	@property
	def is_known(self) -> bool:
		"""Where one process hides its sockets and another one listens, that is enough."""
		return bool(self.listeners) or not self.unknown


def listening(family: Iterable[HostProcess]) -> Listening:
	"""By the processes in `family` that still run."""
	found: dict[int, Listener] = {}
	unknown, everybody = "", all_listeners()
	for process in family:
		try:
			found |= {listener.inode: listener for listener in listeners_of(process.pid, everybody)}
		except PermissionError:
			unknown = f"this user may not look at the sockets of pid {process.pid}"
		except OtherNamespace:
			unknown = f"pid {process.pid} runs in another network namespace"
		except OSError:  # it is gone
			continue
	if not has_proc():
		unknown = "this system has no /proc/net"
	return Listening(tuple(found.values()), unknown, everybody)


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
	found = set()
	folder = PROC / f"{pid}/fd"
	for name in os.listdir(folder):  # noqa: PTH208 - no Path object for each descriptor
		with suppress(FileNotFoundError):  # closed just now
			target = os.readlink(folder / name)  # noqa: PTH115 - likewise
			if target.startswith(SOCKET):
				found.add(int(target[len(SOCKET) : -1]))
	return found


def has_proc() -> bool:
	return (PROC / "net/unix").exists()


def all_listeners() -> tuple[Listener, ...]:
	"""Of our own network namespace. Empty where there is no /proc/net."""
	return (*tcp_listeners("tcp"), *tcp_listeners("tcp6"), *unix_listeners())


def tcp_listeners(table: str) -> Iterator[Listener]:
	for line in lines_of(table):
		fields = line.split()
		if fields[3] == TCP_LISTEN:
			host, _, port = fields[1].partition(":")
			yield Listener(Endpoint(host_of(host), int(port, 16)), int(fields[9]), int(fields[7]))


def unix_listeners() -> Iterator[Listener]:
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
