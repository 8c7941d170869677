"""A unix socket in front of another one, which hands every answer on late: real bytes, a real delay."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path


class SlowProxy:
	def __init__(self, path: Path, target: Path, delay: float) -> None:
		"""`delay`: seconds between a request and the first byte of its answer."""
		self.path, self.target, self.delay = path, target, delay
		self.answers = 0
		self._is_closed = threading.Event()
		self._server = socket.socket(socket.AF_UNIX)
		self._server.bind(str(path))
		self._server.listen()
		threading.Thread(target=self._serve, daemon=True).start()

	def close(self) -> None:
		self._is_closed.set()
		self._server.close()

	def _serve(self) -> None:
		with suppress(OSError):  # closed
			while True:
				client, _ = self._server.accept()
				threading.Thread(target=self._converse, args=(client,), daemon=True).start()

	def _converse(self, client: socket.socket) -> None:
		with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
			server.connect(str(self.target))
			asked = threading.Event()
			threading.Thread(target=self._pass_questions, args=(client, server, asked), daemon=True).start()
			while answer := server.recv(65536):
				if asked.is_set():
					asked.clear()
					self.answers += 1
					self._is_closed.wait(self.delay)
				client.sendall(answer)

	def _pass_questions(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
		with suppress(OSError):
			while question := client.recv(65536):
				asked.set()
				server.sendall(question)
			server.shutdown(socket.SHUT_WR)
