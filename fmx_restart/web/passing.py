"""Listening sockets handed from one process to another, over a Unix socket that only this user and root may use."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ANSWERS_WITHIN = 5.0  # seconds
MOST_SOCKETS = 64
MOST_TEXT = 65536  # bytes


class NotOurs(OSError):
	"""The other end is another user's."""


class SocketHolder:
	"""Listens at `path`, in place of whoever listened there before, and hands `sockets` to each who connects."""

	def __init__(self, path: str, sockets: Sequence[int], note: dict) -> None:
		self._path, self._sockets, self._note = path, sockets, json.dumps(note).encode()
		Path(path).unlink(missing_ok=True)
		self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
		mask = os.umask(0o177)
		try:
			with _reachable(path) as name:
				self._listener.bind(name)
		finally:
			os.umask(mask)
		give_to_owner_of_folder(path)
		self._inode = Path(path).lstat().st_ino
		self._listener.listen(8)
		self._listener.setblocking(False)

	def fileno(self) -> int:
		"""The descriptor of the listening unix socket, for select."""
		return self._listener.fileno()

	def answer(self) -> None:
		"""One who has connected; whoever is not ours, or does not read, gets nothing."""
		with suppress(OSError):
			connection, _ = self._listener.accept()
			with connection:
				connection.settimeout(ANSWERS_WITHIN)
				refuse_others(connection, self._path)
				socket.send_fds(connection, [self._note], self._sockets)

	def close(self) -> None:
		"""A later holder's socket at the same path stays."""
		with suppress(OSError):
			if Path(self._path).lstat().st_ino == self._inode:
				Path(self._path).unlink()
		self._listener.close()


def ask_for_sockets(path: str) -> tuple[list[int], dict] | None:
	"""Descriptors and the holder's note; None where nobody of ours holds any."""
	descriptors: list[int] = []
	try:
		with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
			connection.settimeout(ANSWERS_WITHIN)
			with _reachable(path) as name:
				connection.connect(name)
			refuse_others(connection, path)
			text, descriptors, _, _ = socket.recv_fds(connection, MOST_TEXT, MOST_SOCKETS)
			return descriptors, dict(json.loads(text))
	except (OSError, ValueError):
		for descriptor in descriptors:
			os.close(descriptor)
		return None


def is_held(path: str) -> bool:
	"""Whether anybody listens there."""
	with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
		connection.settimeout(ANSWERS_WITHIN)
		with _reachable(path) as name:
			connection.connect(name)
		return True
	return False


def refuse_others(connection: socket.socket, path: str) -> None:
	"""Whoever is neither this user, nor root, nor the owner of the folder. Raises NotOurs."""
	credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
	_, user, _ = struct.unpack("3i", credentials)
	if user not in (os.geteuid(), 0, Path(path).parent.stat().st_uid):
		raise NotOurs(f"user {user}")


def give_to_owner_of_folder(path: str) -> None:
	"""Where root listens there, the user of the folder must be able to connect."""
	owner = Path(path).parent.stat()
	if os.geteuid() == 0 and owner.st_uid != 0:
		os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@contextmanager
def _reachable(path: str) -> Iterator[str]:
	"""Another name for a socket's path, short enough for any folder: 107 bytes are the limit (unix(7))."""
	descriptor = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
	try:
		yield f"/proc/self/fd/{descriptor}/{Path(path).name}"
	finally:
		os.close(descriptor)
