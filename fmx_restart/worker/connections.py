"""The connections of a worker to Redis that RQ knows nothing of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis
from redis.connection import Connection, ConnectionPool
from redis.exceptions import NoPermissionError, RedisError


class Spare:
	"""
	A connection that the worker opens while it has time, for the process of its next job: there it is open already, and the job
	begins half a millisecond sooner. `pool`: of the worker; in the process of a job it is empty.
	"""

	def __init__(self, pool: ConnectionPool) -> None:
		self._pool = pool
		self._connection: Connection | None = None

	def open(self) -> None:
		"""Unless there is one. Without one, the process of the job opens its own."""
		if self._connection:
			return
		connection = self._pool.connection_class(**self._pool.connection_kwargs)
		with suppress(RedisError, OSError):
			connection.connect()
			self._connection = connection

	def take(self) -> None:
		"""In the process of a job: the first connection that its pool makes. The pool opens it anew if it broke meanwhile."""
		spare, self._connection = self._connection, None
		if not spare:
			return
		spare.pid, made = os.getpid(), self._pool.connection_class

		def once(**_: Any) -> Connection:
			self._pool.connection_class = made
			return spare

		self._pool.connection_class = once

	def leave_to(self, pid: int) -> None:
		"""In the worker, once that process has it: its file is closed here, which does not end the connection."""
		if self._connection:
			self._connection.pid = pid
		self.close()

	def close(self) -> None:
		if self._connection:
			self._connection.disconnect()
		self._connection = None


@contextmanager
def may_list_no_clients(connection: Redis | None) -> Iterator[None]:
	"""RQ wants its own address of Redis. Frappe's Redis users may not ask for that, and their workers shall start too."""
	if connection is None:
		yield
		return
	ask = connection.client_list

	def listed(*args: Any, **kwargs: Any) -> list:
		try:
			return ask(*args, **kwargs)
		except NoPermissionError:
			return []

	connection.client_list = listed
	try:
		yield
	finally:
		del connection.client_list
