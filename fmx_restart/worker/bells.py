"""
How an idle worker learns of a job without taking it. On a connection for each queue, BLMOVE moves the first job of the queue
onto its own place, and answers when there is one. Redis answers all who wait so, and one is enough for a job: so of the
workers with the same queues one does so, the lookout, and the others wait on another connection to be called (scripts.py says when).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from redis import Redis
from redis.connection import Connection
from redis.exceptions import RedisError

from fmx_restart.worker.scripts import BE_LOOKOUT
from fmx_restart.worker.stop import Stop

PAUSE = 1.0  # seconds without bells after one could not be hung up
OFTEN = 0.05  # seconds between two looks where there is no bell
SELDOM = 0.9  # seconds between two looks where there is one for each queue: at the fence, and at other workers' claims


class Bells:
	def __init__(self, connection: Redis, keys: Sequence[str], call: str) -> None:
		"""`keys`: of the queues. `call`: of the list to which others write when they call this worker."""
		self._pool = connection.connection_pool
		self._queues = [("BLMOVE", key, key, "LEFT", "LEFT", 0) for key in dict.fromkeys(keys)]
		self._calls = [("BLPOP", call, 0)]
		self._hung: dict[int, tuple[tuple, Connection]] = {}  # by the file; with what was sent
		self._spare: dict[tuple, Connection] = {}  # they have rung
		self._deaf_until = 0.0  # by the monotonic clock
		self._is_old = False  # Redis is older than 6.2: it has no bells

	def wait(self, stop: Stop, *, is_lookout: bool) -> bool:
		"""
		As a lookout for a job in its queues, else for a call; until the next look or a signal at most. Whether it was called to be the
		lookout: from then on no job is missed if it waits once more before it looks.
		"""
		files, seconds = self._hang_all(is_lookout=is_lookout)
		return any([self._answer(file) == BE_LOOKOUT for file in stop.wait(seconds, files)])

	def _hang_all(self, *, is_lookout: bool) -> tuple[Collection[int], float]:
		"""The files to wait for, and how many seconds at most."""
		if time.monotonic() < self._deaf_until or (is_lookout and self._is_old):
			return (), OFTEN
		ways = self._queues if is_lookout else self._calls
		with self._told():
			for file, (way, _) in list(self._hung.items()) if is_lookout else ():
				if way in ways:
					self._read(
						file
					)  # it rang before the last look; where there is still a job, the next one rings
			hung = {way for way, _ in self._hung.values()}
			for way in ways:
				if way not in hung:
					self._hang(way)
			return [file for file, (way, _) in self._hung.items() if way in ways], SELDOM
		return (), OFTEN

	def _hang(self, way: tuple) -> None:
		bell = self._spare.pop(way, None) or self._pool.make_connection()
		try:
			bell.send_command(*way)
			self._hung[bell._sock.fileno()] = way, bell
		except BaseException:
			bell.disconnect()
			raise

	def _answer(self, file: int) -> str:
		"""What a call says, of a file that can be read; empty for a bell."""
		with self._told():
			return self._read(file)
		return ""

	def _read(self, file: int) -> str:
		"""With TLS a file that can be read may have less than an answer. Another bell may have taken all of them down meanwhile."""
		way, bell = self._hung.get(file, (None, None))
		if not bell or not bell.can_read(0):
			return ""
		answer = bell.read_response()
		del self._hung[file]
		self._spare[way] = bell
		return answer[1].decode() if way in self._calls else ""

	@contextmanager
	def _told(self) -> Iterator[None]:
		"""Without bells for a while after what goes wrong."""
		try:
			yield
		except (RedisError, OSError) as error:
			self._is_old = self._is_old or "unknown command" in str(error)
			self._deaf_until = time.monotonic() + PAUSE
			self.take_down()

	def take_down(self) -> None:
		for bell in (*(bell for _, bell in self._hung.values()), *self._spare.values()):
			bell.disconnect()
		self._hung, self._spare = {}, {}
