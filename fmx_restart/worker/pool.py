"""
A pool of workers, reloaded in place. Its process tries the new code and goes on with it under the same pid, beside the workers
that it has. Then it lets these leave, each when it has no job, and starts others in their places, a few at a time. RQ's pool stops
its workers by a signal, and a second signal would end their jobs, so these are asked through Redis.
"""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from redis.exceptions import RedisError
from rq.worker import Worker, WorkerStatus
from rq.worker_pool import WorkerData, WorkerPool

from fmx_restart.worker.claims import bench_of
from fmx_restart.worker.fork_server import Helpers, bury, dismiss, own_helpers, start_first
from fmx_restart.worker.membership import pool_key, tell_workers
from fmx_restart.worker.owners import born, mark
from fmx_restart.worker.reload import (
	ANSWERED,
	REFUSED,
	RELOADS,
	TRYING,
	Program,
	Reloaded,
	age,
	answered_at_birth,
	reloaded,
)
from fmx_restart.worker.requests import ALL, ask, newest, of_host, of_pool, of_worker, withdraw
from fmx_restart.worker.stop import Stop, hold_back, let_in

LOOK_EVERY = 2.0  # seconds between two looks for a request
BEAT_EVERY, RECORD_KEPT = 60.0, 480  # seconds
AT_ONCE = 4  # one of so many workers may be missing while they are replaced
LONG_JOB = (
	5.0  # seconds after which one that was asked to leave, and is still there, is not expected to end soon
)
AT_WORK = (WorkerStatus.IDLE, WorkerStatus.BUSY, WorkerStatus.SUSPENDED)


class Adopted:
	"""A worker that this process started with its former code: a multiprocessing.Process, as far as RQ uses one."""

	def __init__(self, pid: int, since: str) -> None:
		self.pid, self.since = pid, since

	def join(self, seconds: float) -> None:
		"""Until it has ended, `seconds` at most."""
		if self.is_alive():
			with suppress(OSError):
				file = os.pidfd_open(self.pid)
				try:
					poll = select.poll()
					poll.register(file, select.POLLIN)
					poll.poll(seconds * 1000)
				finally:
					os.close(file)
		if not self.is_alive():
			bury(self.pid)

	def is_alive(self) -> bool:
		"""Not any more once it only waits for its parent."""
		return bool(self.since) and born(self.pid) == self.since


class Pool(WorkerPool):
	def start(self, *args: Any, **kwargs: Any) -> None:
		"""As RQ's: returns once the pool was told to stop, and its workers have left."""
		self._program, self._stop, self._past = Program(), Stop(), reloaded()
		self.name = self._past.name or self.name
		self._bench_id = bench_of(self._queue_names[0])
		self._key = pool_key(self._bench_id, self.name)
		self._whom = [ALL, of_host(socket.gethostname()), of_pool(self.name)]
		self._answered, self._fault = self.answered_at_birth(), ""
		self._look_at, self._beaten_at = 0.0, float("-inf")
		self._former: dict[str, int] = {}  # workers with former code → the request to leave; 0: not asked yet
		self._expected: dict[str, float] = {}  # when these were asked
		self._helpers = Helpers()
		tell_workers(self.name, self._past.times, self._answered)
		try:
			super().start(*args, **kwargs)
		finally:
			with suppress(RedisError):
				self.connection.delete(self._key)

	def answered_at_birth(self) -> int:
		"""RQ's pool starts while Redis is away, too: then this machine's clock tells."""
		try:
			return answered_at_birth(self.connection)
		except RedisError:
			return int((time.time() - age()) * 1000)

	# Its workers

	def start_workers(self, burst: bool = True, _sleep: float = 0, logging_level: str = "INFO") -> None:
		self.adopt()
		self._install_signal_handlers()
		let_in()  # a reload held them back
		for number in range(len(self.worker_dict), self.num_workers):
			self.start_worker(number + 1, burst=burst, _sleep=_sleep, logging_level=logging_level)

	def start_worker(self, *args: Any, **kwargs: Any) -> None:
		"""A signal waits until the new process can hear it: the handler of this process would stop its siblings there."""
		start_first()
		hold_back()
		try:
			if self.status != self.Status.STOPPED:
				super().start_worker(*args, **kwargs)
		finally:
			let_in()

	def adopt(self) -> None:
		if not self._past.children:
			return
		workers, *helpers = self._past.children
		for name, pid, since, asked in workers:
			self.worker_dict[name] = WorkerData(name, pid, Adopted(pid, since))
			self._former[name] = asked
		self._helpers = Helpers(*map(tuple, helpers))

	def handle_dead_worker(self, worker_data: WorkerData) -> None:
		super().handle_dead_worker(worker_data)
		self._expected.pop(worker_data.name, None)
		if self._former.pop(worker_data.name, 0):
			with suppress(RedisError):
				withdraw(self.connection, self._bench_id, [of_worker(worker_data.name)])
		if not self._former:
			self._helpers = dismiss(self._helpers)

	def check_workers(self, respawn: bool = True) -> None:
		"""RQ's pool calls this once a second."""
		super().check_workers(respawn)
		self._helpers = self._helpers._replace(pids=tuple(pid for pid in self._helpers.pids if not bury(pid)))
		if respawn:  # one in burst mode ends by itself
			with suppress(RedisError):
				self.look()

	def request_stop(self, signum: int | None = None, frame: FrameType | None = None) -> None:
		self._stop.asked_at = self._stop.asked_at or time.monotonic()
		super().request_stop(signum, frame)

	# Reload

	def look(self) -> None:
		if time.monotonic() - self._beaten_at > BEAT_EVERY:
			self.beat()
		if self._former:
			self.replace()
		if time.monotonic() >= self._look_at:
			self._look_at = time.monotonic() + LOOK_EVERY
			number = newest(self.connection, self._bench_id, self._whom)
			if number > self._answered:
				self.reload(number)

	def beat(self) -> None:
		"""Its record, which RQ does not have."""
		about = {"pid": os.getpid(), "hostname": socket.gethostname(), "workers": self.num_workers}
		about |= {"queues": ",".join(self._queue_names), RELOADS: self._past.times, ANSWERED: self._answered}
		pipe = self.connection.pipeline()
		if self._fault:
			about[REFUSED] = self._fault
		pipe.hdel(self._key, TRYING, *([] if self._fault else [REFUSED]))
		mark(pipe, self._key, **about)
		pipe.expire(self._key, RECORD_KEPT).execute()
		self._beaten_at = time.monotonic()

	def replace(self) -> None:
		"""Ask workers with former code to leave. At the fence they take no job, and all may leave at once."""
		states = self.states()
		places = max(1, self.num_workers // AT_ONCE) - self.missing(states)
		for name in [name for name, asked in self._former.items() if not asked]:
			if states.get(name) == WorkerStatus.SUSPENDED or places > 0:
				places -= 1
				record = Worker.redis_worker_namespace_prefix + name
				self._former[name] = ask(self.connection, self._bench_id, of_worker(name), record=record)
				self._expected[name] = time.monotonic()

	def states(self) -> dict[str, str]:
		"""Worker's name → what it does; empty where it has not said so yet."""
		pipe = self.connection.pipeline(transaction=False)
		for name in self.worker_dict:
			pipe.hget(f"{Worker.redis_worker_namespace_prefix}{name}", "state")
		return {
			name: (state or b"").decode()
			for name, state in zip(self.worker_dict, pipe.execute(), strict=True)
		}

	def missing(self, states: dict[str, str]) -> int:
		"""How many of its workers do not serve now because they are being replaced."""
		now = time.monotonic()
		leaving = [name for name in self._former if now - self._expected.get(name, -LONG_JOB) < LONG_JOB]
		coming = [name for name, state in states.items() if name not in self._former and state not in AT_WORK]
		return len(leaving) + len(coming) + self.num_workers - len(self.worker_dict)

	def reload(self, number: int) -> None:
		"""Returns where it stays as it is, or was told to stop. Raises RedisError where it did not begin."""
		pipe = self.connection.pipeline().hset(self._key, TRYING, number)
		pipe.expire(self._key, RECORD_KEPT).execute()
		modules = [type(self).__module__, self.worker_class.__module__]
		fault, module = self._program.fault(modules, self._stop)
		try:
			if not fault:
				self.go_on(number)
		except OSError as error:
			fault = type(error).__name__
		if self._stop.asked_at is not None:
			return
		self._answered, self._fault = number, fault
		where = f" in {module}" if module else ""
		self.log.error("Pool %s: it was asked to reload, and stays as it is: %s%s", self.name, fault, where)
		self.beat()

	def go_on(self, number: int) -> None:
		"""Returns only if it was told to stop; raises OSError."""
		helpers = self._helpers + own_helpers()
		hold_back()
		try:
			if self._stop.asked_at is None:
				self.log.info("Pool %s: restarting itself with the code that is there now", self.name)
				times = self._past.times + 1
				past = Reloaded(times, number, name=self.name, children=(self.workers_now(), *helpers))
				self._program.run_anew(past, self._stop)
		finally:
			self._install_signal_handlers()
			let_in()

	def workers_now(self) -> list[tuple[str, int, str, int]]:
		"""Name, pid, start of its process, and the request to leave."""
		workers = self.worker_dict.values()
		return [(one.name, one.pid, born(one.pid), self._former.get(one.name, 0)) for one in workers]
