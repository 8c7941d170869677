"""
How an idle worker learns of a job without taking it: on a connection for each queue, BLMOVE moves the first job of the queue
onto its own place, and answers when there is one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis import Redis
from redis.connection import Connection
from redis.exceptions import RedisError, ResponseError

PAUSE = 1.0  # seconds without bells after one could not be hung up
OFTEN = 0.05  # seconds between two looks where there is no bell
SELDOM = 0.9  # seconds between two looks where there is one for each queue: at the fence, and at other workers' claims


class Bells:
	def __init__(self, connection: Redis, keys: Sequence[str]) -> None:
		"""`keys`: of the queues."""
		self._pool, self._keys = connection.connection_pool, keys
		self._hung: dict[int, tuple[str, Connection]] = {}
		self._spare: dict[str, Connection] = {}  # they have rung
		self._deaf_until = 0.0  # by the monotonic clock; infinity: Redis is older than 6.2

	def hang(self) -> tuple[list[int], float]:
		"""The files to wait for, and how many seconds at most."""
		if time.monotonic() < self._deaf_until:
			return [], OFTEN
		try:
			for key in set(self._keys) - {key for key, _ in self._hung.values()}:
				self._hang(key)
		except (RedisError, OSError):
			self._be_deaf(PAUSE)
			return [], OFTEN
		return list(self._hung), SELDOM

	def _hang(self, key: str) -> None:
		bell = self._spare.pop(key, None) or self._pool.make_connection()
		try:
			bell.send_command("BLMOVE", key, key, "LEFT", "LEFT", 0)
			self._hung[bell._sock.fileno()] = key, bell
		except BaseException:
			bell.disconnect()
			raise

	def answer(self, file: int) -> None:
		"""Of a file that can be read. With TLS that may be less than an answer."""
		key, bell = self._hung[file]
		try:
			if bell.can_read(0):
				bell.read_response()
				del self._hung[file]
				self._spare[key] = bell
		except ResponseError:
			self._be_deaf(float("inf"))
		except (RedisError, OSError):
			self._be_deaf(PAUSE)

	def _be_deaf(self, seconds: float) -> None:
		self._deaf_until = time.monotonic() + seconds
		self.take_down()

	def take_down(self) -> None:
		for _, bell in self._hung.values():
			bell.disconnect()
		for bell in self._spare.values():
			bell.disconnect()
		self._hung, self._spare = {}, {}
