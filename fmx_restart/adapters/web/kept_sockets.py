"""Listening sockets of a web program that stay open while none of its processes runs: connections wait in the kernel's queue."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.process_table import identity_of
from fmx_restart.adapters.web.addresses import Listening, descriptors_of, listening, socket_inode
from fmx_restart.adapters.web.holders import all_pids
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import HostProcess
from fmx_restart.web.files import PREFIX, Files
from fmx_restart.web.passing import SocketHolder

PIDFD_GETFD = 438  # since Linux 5.6; the same number on every processor that Frappe runs on
CLOSES_WITHIN = 1.0  # seconds


class KeptSockets:
	"""
	Handed to the next master that asks for them at `files.socket`. Owns the descriptors; when this process dies the kernel
	closes them.
	"""

	def __init__(self, files: Files, descriptors: list[int]) -> None:
		"""Raises OSError."""
		self.files, self._descriptors = files, descriptors
		for descriptor in descriptors:
			os.set_inheritable(descriptor, False)
		self.inodes = {os.fstat(descriptor).st_ino for descriptor in descriptors}
		# an empty note: its new workers have no site to answer before they take requests, as nobody serves beside them
		self._holder = SocketHolder(files.socket, descriptors, {})
		self._wake = os.pipe()
		self._thread = threading.Thread(target=self._answer, name="web-requests-wait", daemon=True)
		self._thread.start()

	def _answer(self) -> None:
		"""Whoever asks, until let_go."""
		try:
			while self._wake[0] not in (ready := select.select([self._holder, self._wake[0]], [], [])[0]):
				if ready:
					self._holder.answer()
		finally:
			self._holder.close()
			for descriptor in (*self._descriptors, self._wake[0]):
				os.close(descriptor)

	def let_go(self) -> None:
		"""What waits goes to whoever else has the sockets, or is refused. Only once."""
		os.close(self._wake[1])
		self._thread.join(CLOSES_WITHIN)

	def others(self) -> list[int]:
		"""Pids of processes that could take a request, or have taken part in doing so and have not ended."""
		mark = str(Path(self.files.folder).resolve() / f"{PREFIX}{self.files.key}")
		return [pid for pid in all_pids() if pid != os.getpid() and has_open(pid, self.inodes, mark)]


def has_open(pid: int, inodes: set[int], mark: str) -> bool:
	"""One of these sockets, or a file whose path begins with `mark`. False for one that is gone, or another user's."""
	with suppress(OSError):
		return any(
			socket_inode(target) in inodes or target.startswith(mark) for _, target in descriptors_of(pid)
		)
	return False


def copy_sockets(master: HostProcess) -> list[int]:
	"""
	Descriptors of the listening sockets of this process, in the order in which it made them. It does not notice. Raises
	ProcessFault, in few words, where it has none that outlive it, or where the kernel does not allow it.
	"""
	found = listening([master])
	if not found.listeners:
		raise ProcessFault(found.unknown or "it does not listen")
	if any(endpoint.path for endpoint in found.endpoints):
		raise ProcessFault("it listens at a Unix socket, which it deletes when it stops")
	try:
		return copy_descriptors(master, found)
	except (OSError, AttributeError) as error:
		raise ProcessFault(
			f"the system does not let its connections be kept ({getattr(error, 'strerror', '') or error})"
		) from error


def copy_descriptors(master: HostProcess, found: Listening) -> list[int]:
	"""Raises OSError, ProcessFault where its pid is another process' by now, AttributeError before Python could do it."""
	wanted = {listener.inode for listener in found.listeners}
	handle, copies = os.pidfd_open(master.pid), []
	try:
		if identity_of(master.pid) != master.identity:
			raise ProcessFault("it has ended meanwhile")
		for number, target in sorted(descriptors_of(master.pid)):
			if (inode := socket_inode(target)) in wanted:
				wanted.discard(inode)
				copies.append(copy_descriptor(handle, number))
	except BaseException:
		close_all(copies)
		raise
	finally:
		os.close(handle)
	return copies


def copy_descriptor(handle: int, number: int) -> int:
	"""pidfd_getfd(2), which Python does not have. Raises OSError."""
	import ctypes  # 10 ms, and seldom needed

	call = ctypes.CDLL(None, use_errno=True).syscall
	call.restype = ctypes.c_long
	copy = call(PIDFD_GETFD, handle, number, 0)
	if copy < 0:
		error = ctypes.get_errno()
		raise OSError(error, os.strerror(error))
	return copy


def close_all(descriptors: Iterable[int]) -> None:
	"""Close every descriptor. Raises OSError for one that is closed already."""
	for descriptor in descriptors:
		os.close(descriptor)
