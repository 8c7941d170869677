"""The scheduler's process, reloaded in place: right after a tick, so that none is left out. Asked for as workers are."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from fmx_restart.worker.owners import mark
from fmx_restart.worker.reload import ANSWERED, REFUSED, RELOADS, Program, answered_at_birth, reloaded
from fmx_restart.worker.requests import ALL, SCHEDULER, newest, of_host
from fmx_restart.worker.stop import Stop

MODULE = "frappe.utils.scheduler"


def record_key(bench_id: str) -> str:
	"""Of the scheduler that last ticked first: pid, hostname, and the fields of a worker's record that are about reloads."""
	return f"rq:fmx:{bench_id}:scheduler"


class Ticks:
	"""
	Called at each tick in place of `tick`, which it calls. `module`: what the new code has to import, besides the hooks of the
	apps. A Redis that is away changes nothing for the scheduler.
	"""

	def __init__(
		self, tick: Callable[[], object], connection: Redis, bench_id: str, module: str = MODULE
	) -> None:
		self._tick, self._connection, self._bench_id, self._module = tick, connection, bench_id, module
		self._program, self._stop = (
			Program(),
			Stop(),
		)  # nobody tells that: TERM ends a scheduler as it always did
		self._whom = [ALL, of_host(socket.gethostname()), SCHEDULER]
		self._answered: int | None = None

	def __call__(self) -> None:
		self._tick()
		with suppress(RedisError):
			self._look()

	def _introduce(self) -> None:
		"""At the first tick, as only the scheduler that has the lock ticks."""
		if self._answered is None:
			self._answered = answered_at_birth(self._connection)
			key = record_key(self._bench_id)
			self._connection.delete(key)
			about = {"pid": os.getpid(), "hostname": socket.gethostname()}
			mark(self._connection, key, **about, **{RELOADS: reloaded().times, ANSWERED: self._answered})

	def _look(self) -> None:
		self._introduce()
		number = newest(self._connection, self._bench_id, self._whom)
		if number <= self._answered:
			return
		fault, _ = self._program.fault([self._module], self._stop)
		try:
			if not fault:
				past = reloaded()
				self._program.run_anew(past._replace(times=past.times + 1, number=number), self._stop)
		except OSError as error:
			fault = type(error).__name__
		self._answered = number
		answer = {ANSWERED: number, REFUSED: fault}
		self._connection.hset(record_key(self._bench_id), mapping=answer)
