"""Whether a supervisord, and so the pids that it tells, are of this machine and our pid namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit
from xmlrpc.client import ServerProxy

import psutil

from fmx_restart.adapters.managers.names import SERVERS
from fmx_restart.adapters.managers.supervisor.connection import Address
from fmx_restart.adapters.process_table import read_stat


class Place:
	"""
	Where one supervisord runs. Its pids say nothing about it: a pid of another machine or container is that of some
	process here too. But a program that runs here is a child of the supervisord that started it.
	"""

	def __init__(self, server: ServerProxy) -> None:
		self._server = server
		self._pid = 0  # of supervisord, as it says itself
		self._was_here = False

	def is_here(self, infos: Iterable[Mapping]) -> bool:
		"""`infos`: of getAllProcessInfo, which was called just now. Where nothing runs, by the connection alone."""
		if not self._server("transport").is_near:
			return False
		pids = [info["pid"] for info in infos if info["pid"]]
		if not pids or self._has_started_one(pids):
			return True
		pid = self._server.supervisor.getPID()  # first of all, or it was started again
		if self._was_here and pid == self._pid:
			return True  # what it runs has ended between its answer and our look
		self._pid = 0 if is_another_init(pid) else pid
		self._was_here = self._has_started_one(pids)
		return self._was_here

	def _has_started_one(self, pids: Iterable[int]) -> bool:
		stats = filter(None, map(read_stat, pids)) if self._pid else ()
		return any(stat.parent == self._pid for stat in stats)


def is_another_init(pid: int) -> bool:
	"""A supervisord that calls itself pid 1 is that of a container: of ours only where our own pid 1 is a supervisord."""
	if pid != 1:
		return False
	try:
		words = psutil.Process(1).cmdline()
	except (psutil.Error, OSError):
		return True
	return not any(server in word for word in words for server in SERVERS)


def as_seen(info: Mapping, *, is_here: bool) -> Mapping:
	"""The info for whoever looks into this machine's process table: without a pid that is none of this machine."""
	return info if is_here else {**info, "pid": 0}


def host_of(address: Address) -> str:
	"""The name of the machine that an address names; of a socket, which another container shares with us, its path."""
	return address.socket_path or urlsplit(address.url).hostname or address.url
