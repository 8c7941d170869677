"""
Pools of this app in one process, as worker/pool.py: a pool looks for requests every two seconds, tries new code, goes on with it under
its pid, and replaces its workers through requests of its own, one in four at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from fmx_restart.engine.ports import Membership, Pool, ReloadRecord, Scheduler, WorkerState
from fmx_restart.testing.workers import IMPORTS, SimulatedWorker

LOOK_EVERY = 2.0  # seconds between two looks at requests
TICK = 1.0  # seconds between two looks at its workers
SCHEDULER = "scheduler"  # its name
AT_ONCE = 4  # one of so many workers may be missing


@dataclass
class SimulatedPool:
	name: str
	pid: int
	queues: tuple[str, ...] = ("default",)
	size: int = 2
	host: str = "host-1"
	is_unseen: bool = False  # its pid counts in another namespace
	times: int = 0
	answered: int = 0
	refused: str = ""
	is_trying: bool = False
	is_ticking: bool = False  # of the scheduler
	is_hung: bool = False
	is_dead: bool = False
	numbers: count = field(default_factory=lambda: count(1))  # of its workers

	def port(self) -> Pool:
		"""As its record tells."""
		reload = ReloadRecord(f"{self.host} {self.pid}", self.times, self.answered, self.refused)
		return Pool(self.name, self.host, self.pid, self.queues, self.size, reload, self.is_trying)


class PoolLoops:
	"""How pools behave; the queue brings its clock, its host and its workers."""

	def add_pool(self, name: str, pid: int, queues: tuple[str, ...] = ("default",), **how) -> SimulatedPool:
		"""A pool that starts its workers, and looks after them until it is stopped."""
		pool = self.pools[name] = SimulatedPool(name, pid, tuple(queues), **how)
		for _ in range(pool.size):
			self._start_member(pool)
		self.clock.after(TICK, lambda: self._look_after(pool))
		self.clock.after(LOOK_EVERY, lambda: self._look_for_request(pool))
		return pool

	def stop_pool(self, name: str) -> None:
		"""It and its workers are told to leave; or it was killed, and they leave by themselves."""
		pool = self.pools.pop(name, None)
		if pool:
			pool.is_dead = True
			for worker in self.members(name):
				self.stop_worker(worker.name)

	def members(self, name: str) -> list[SimulatedWorker]:
		"""Workers of that pool that have registered."""
		return [worker for worker in list(self.workers.values()) if worker.pool == name]

	def _start_member(self, pool: SimulatedPool) -> None:
		number = next(pool.numbers)
		pid = pool.pid * 100 + number
		if self.host and not pool.is_unseen:
			self.host.add(pid, parent=pool.pid)
		about = {"host": pool.host, "is_unseen": pool.is_unseen, "pool": pool.name, "times": pool.times}
		self.add_worker(f"{pool.name}.{number}", pid, pool.queues, is_lossless=True, **about)

	def _look_for_request(self, pool: SimulatedPool) -> None:
		if pool.is_dead:
			return
		number = 0 if self.server.is_away or pool.is_hung else self.asked.get(pool.name, 0)
		if number <= pool.answered:
			self.clock.after(LOOK_EVERY, lambda: self._look_for_request(pool))
			return
		pool.is_trying = True
		self.clock.after(IMPORTS, lambda: self._answer_request(pool, number))

	def _answer_request(self, pool: SimulatedPool, number: int) -> None:
		if pool.is_dead:
			return
		pool.refused = self.refusals.get(pool.name, "")
		if not pool.refused:
			pool.times += 1
		self.clock.after(0.0 if pool.refused else IMPORTS, lambda: self._is_back(pool, number))

	def _is_back(self, pool: SimulatedPool, number: int) -> None:
		pool.answered, pool.is_trying = number, False
		self._look_for_request(pool)

	def _look_after(self, pool: SimulatedPool) -> None:
		"""Workers of former code are asked to leave, and others come in the places of those that have left."""
		if pool.is_dead:
			return
		if not pool.is_hung and not pool.is_trying and not self.server.is_away:
			there = self.members(pool.name)
			for worker in there:
				if worker.times < pool.times and worker.name not in self.asked and self._may_leave(pool):
					self.asked[worker.name] = next(self._numbers)
			for _ in range(pool.size - len(there)):
				self._start_member(pool)
		self.clock.after(TICK, lambda: self._look_after(pool))

	def _may_leave(self, pool: SimulatedPool) -> bool:
		there = self.members(pool.name)
		leaving = [w for w in there if w.name in self.asked and w.state is not WorkerState.BUSY]
		return len(leaving) + pool.size - len(there) < max(1, pool.size // AT_ONCE)

	def _leave_pool(self, worker: SimulatedWorker) -> None:
		"""It was asked to."""
		self.asked.pop(worker.name, None)
		self._unregister(worker)

	def add_scheduler(self, pid: int) -> None:
		"""It looks for requests as a pool does, and has no workers."""
		self.add_pool(SCHEDULER, pid, (), size=0)

	def _scheduler_seen(self) -> Scheduler | None:
		one = self.pools.get(SCHEDULER)
		return one and Scheduler(one.host, one.pid, one.port().reload, one.is_trying, one.is_ticking)

	def _membership(self, worker: SimulatedWorker) -> Membership | None:
		return Membership(worker.pool, worker.times) if worker.pool else None
