"""The queue's Redis of the development bench, as tests break it: by its own pid, and always put right again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import redis

from fmx_restart.tests.adapters.waiting import eventually

if TYPE_CHECKING:
	from development.description import Bench


class RedisProgram:
	def __init__(self, bench: Bench) -> None:
		self.bench = bench
		self.name = f"{bench.name}-redis:{bench.name}-redis-queue"

	@property
	def pid(self) -> int:
		return self._rpc.getProcessInfo(self.name)["pid"]

	def restart(self) -> None:
		"""As an administrator does it: it saves what it has, and reads it again."""
		self._rpc.stopProcess(self.name)
		self._rpc.startProcess(self.name)
		self._wait_until_it_answers()

	def restart_without_data(self) -> None:
		"""It crashes, its file is gone, supervisor brings it back."""
		pid = self.pid
		os.kill(pid, signal.SIGSTOP)  # between the two steps nobody writes
		(self.bench.path / "config" / "pids" / "redis_queue.rdb").unlink(missing_ok=True)
		os.kill(pid, signal.SIGKILL)
		eventually(lambda: self.pid not in (0, pid), "supervisor started it again")
		self._wait_until_it_answers()

	@contextmanager
	def stopped(self) -> Iterator[None]:
		"""It hangs inside the block: it takes connections and answers nobody."""
		pid = self.pid
		os.kill(pid, signal.SIGSTOP)
		try:
			yield
		finally:
			os.kill(pid, signal.SIGCONT)

	@contextmanager
	def full(self) -> Iterator[None]:
		connection = self._connection()
		connection.config_set("maxmemory", 1)
		try:
			yield
		finally:
			connection.config_set("maxmemory", 0)

	def _wait_until_it_answers(self) -> None:
		def answers() -> bool:
			with suppress(redis.ConnectionError):
				return self._connection().ping()
			return False

		eventually(answers, "Redis answers")

	def _connection(self) -> redis.Redis:
		return redis.Redis(port=self.bench.ports.redis_queue)

	@property
	def _rpc(self):
		from development.supervisor_client import supervisor

		return supervisor(self.bench.supervisor_socket)
