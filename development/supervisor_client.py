"""supervisor's XML-RPC over its unix socket."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from xmlrpc.client import ServerProxy, Transport

from development.errors import NotReady


class UnixConnection(http.client.HTTPConnection):
	def __init__(self, path: Path) -> None:
		super().__init__("localhost")
		self.path = path

	def connect(self) -> None:
		self.sock = socket.socket(socket.AF_UNIX)
		try:
			self.sock.connect(str(self.path))
		except OSError as error:
			raise NotReady(
				f"supervisord does not answer at {self.path}: {error.strerror}",
				hint="stop the bench and start it again: development/bench down, then up",
			) from error


class UnixTransport(Transport):
	def __init__(self, path: Path) -> None:
		super().__init__()
		self.path = path

	def make_connection(self, host: str) -> UnixConnection:
		return UnixConnection(self.path)


def supervisor(path: Path):
	"""Its `supervisor` namespace, for instance `supervisor(path).getAllProcessInfo()`."""
	return ServerProxy("http://localhost", transport=UnixTransport(path)).supervisor
