"""
The scheduler's process, reloaded in place: between two ticks, none of which is left out. Asked for as workers are. While it sleeps it
looks for requests; where a release of Frappe sleeps in another way, it looks after each tick.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from fmx_restart.worker.owners import mark
from fmx_restart.worker.reload import ANSWERED, REFUSED, RELOADS, TRYING, Program, answered_at_birth, reloaded
from fmx_restart.worker.requests import ALL, SCHEDULER, newest, of_host
from fmx_restart.worker.stop import Stop

MODULE = "frappe.utils.scheduler"
LOOKS = "fmx_looks_every"  # of its record: the seconds between two looks for a request
TICKING = "fmx_ticks"  # of its record, during a tick: with many sites that takes a while, and nobody looks for a request then
LOOK_EVERY = 2  # seconds
BEAT_EVERY, RECORD_KEPT = 60.0, 480  # seconds


def record_key(bench_id: str) -> str:
	"""Of the scheduler that has the lock: pid, hostname, and the fields of a worker's record that are about reloads. It expires."""
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
		self._key = record_key(bench_id)
		# nobody tells that one: TERM ends a scheduler as it always did
		self._program, self._stop = Program(), Stop()
		self._whom = [ALL, of_host(socket.gethostname()), SCHEDULER]
		self._answered: int | None = None
		self._fault = ""
		self._due = reloaded().due
		self._beaten_at = float("-inf")

	def __call__(self) -> None:
		with suppress(RedisError):
			self._connection.hset(self._key, TICKING, 1)
		self._tick()
		with suppress(RedisError):
			self._connection.hdel(self._key, TICKING)
			self._look()

	def pause(self, seconds: float) -> None:
		"""In place of the sleep between two ticks. After a reload it takes only what was left of that before."""
		until = time.monotonic() + seconds
		until, self._due = min(until, self._due or until), 0.0
		while time.monotonic() < until:
			with suppress(RedisError):
				self._beat()
				self._look(until)
			time.sleep(max(0.0, min(LOOK_EVERY, until - time.monotonic())))

	def _introduce(self) -> None:
		"""Not before the first tick or pause, as only the scheduler that has the lock comes so far."""
		if self._answered is None:
			answered = answered_at_birth(self._connection)
			pipe = self._connection.pipeline().delete(self._key)
			self._write(pipe, answered).execute()
			self._answered = answered

	def _write(self, pipe: Pipeline, answered: int, **others: int) -> Pipeline:
		"""All of its record, as Redis may have lost it."""
		about = {"pid": os.getpid(), "hostname": socket.gethostname(), RELOADS: reloaded().times}
		about |= {ANSWERED: answered, REFUSED: self._fault}
		mark(pipe, self._key, **about, **others)
		return pipe

	def _beat(self) -> None:
		"""Its record says that it looks for requests all the time, and goes away where it does not any more."""
		self._introduce()
		if time.monotonic() - self._beaten_at > BEAT_EVERY:
			pipe = self._write(self._connection.pipeline(), self._answered, **{LOOKS: LOOK_EVERY})
			pipe.hdel(self._key, TRYING, TICKING).expire(self._key, RECORD_KEPT).execute()
			self._beaten_at = time.monotonic()

	def _look(self, due: float = 0.0) -> None:
		self._introduce()
		number = newest(self._connection, self._bench_id, self._whom)
		if number <= self._answered:
			return
		self._connection.hset(self._key, TRYING, number)
		fault, _ = self._program.fault([self._module], self._stop)
		try:
			if not fault:
				past = reloaded()
				past = past._replace(times=past.times + 1, number=number, due=due)
				self._program.run_anew(past, self._stop)
		except OSError as error:
			fault = type(error).__name__
		self._answered, self._fault = number, fault
		answer = {ANSWERED: number, REFUSED: fault}
		self._connection.pipeline().hset(self._key, mapping=answer).hdel(self._key, TRYING).execute()


class Clock:
	"""The module `time` for Frappe's scheduler, which sleeps between two ticks."""

	def __init__(self, ticks: Ticks) -> None:
		self.sleep = ticks.pause

	def __getattr__(self, name: str) -> Any:
		return getattr(time, name)
