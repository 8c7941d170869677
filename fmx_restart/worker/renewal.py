"""
A worker that starts anew: because somebody asks it to reload, or because its process has become old or large (`recycling.py`). It
has no claim then. Its process goes on with the code on the disk; a worker of a pool leaves, as its pool starts another one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NoReturn

from redis.exceptions import RedisError
from rq.worker import StopRequested, WorkerStatus

from fmx_restart.worker.bells import SELDOM
from fmx_restart.worker.claims import Claims
from fmx_restart.worker.membership import POOL, Membership, pool_key
from fmx_restart.worker.owners import mark
from fmx_restart.worker.recycling import (
	AS_CHILD_WITHIN,
	FREE,
	IN_PLACE_WITHIN,
	REASON,
	RECYCLED,
	SETTING,
	STAYED,
	UNUSED,
	Recycling,
	place_key,
)
from fmx_restart.worker.reload import (
	ANSWERED,
	REFUSED,
	RELOADS,
	Program,
	Reloaded,
	answered_at_birth,
	reloaded,
)
from fmx_restart.worker.requests import LOADS, TRIALS_KEPT, TRY, TRYING, trials_key
from fmx_restart.worker.stop import Stop, hold_back

RECORD_KEPT = 480  # seconds, as RQ keeps a worker's record


class Renewal:
	"""The part of Lossless that is about this."""

	program: Program
	stop: Stop
	claims: Claims
	recycling: Recycling
	pool: Membership | None  # None for a worker that is no pool's
	unused: list[str]  # what of the setting cannot be used, and why
	bench_id: str
	_next: Reloaded | None = None  # what its process shall be told when it starts anew

	@property
	def has_own_pool(self) -> bool:
		"""Whether its pool is one of this app: it follows requests itself."""
		return self.pool is not None and bool(self.pool.name)

	def introduce(self) -> None:
		"""Write into the worker's record what others want to know of it. Raises RedisError."""
		past, pool = reloaded(), {}
		if self.has_own_pool:
			recycled, reason = self.connection.hmget(
				pool_key(self.bench_id, self.pool.name), RECYCLED, REASON
			)
			past = past._replace(times=self.pool.reloads, number=self.pool.answered)
			past = past._replace(recycled=int(recycled or 0), reason=(reason or b"").decode())
			pool = {POOL: self.pool.name}
		if not self.claims.answered:
			self.claims.answered = past.number if self.has_own_pool else answered_at_birth(self.connection)
		about = {RELOADS: past.times, ANSWERED: self.claims.answered, RECYCLED: past.recycled, **pool}
		texts = {REASON: past.reason, UNUSED: "; ".join(self.unused)}
		mark(self.connection, self.key, **about, **{name: text for name, text in texts.items() if text})
		for fault in self.unused:
			self.log.warning("Worker %s: a part of %s is not used: %s", self.name, SETTING, fault)
		self.free_place(past.name)

	def free_place(self, name: str) -> None:
		"""Let another worker be recycled, if that name has the place. Otherwise it expires."""
		if name:
			with suppress(RedisError):
				self.connection.eval(FREE, 1, place_key(self.bench_id), name)

	def wish(self, *, is_burst: bool) -> tuple[str, float]:
		"""Whether it should be recycled, as POP takes it, and how many seconds it would keep the place."""
		wish = "" if is_burst else self.recycling.wish()
		return wish, AS_CHILD_WITHIN if self.pool else IN_PLACE_WITHIN

	def start_anew(self, what: str) -> None:
		"""In Redis only, or as a process, as POP says it."""
		if what == "unregistered":
			self.register_anew()
		elif what == "reload":
			self.reload(self.claims.asked)
		else:
			self.recycle()

	def reload(self, number: int) -> None:
		"""
		Raises StopRequested when the new code is to take over: when RQ has ended this worker, its process goes on with that.
		Returns where the worker stays as it is, or was told to leave.
		"""
		if self.has_own_pool:
			self.leave("its pool goes on with the code that is there now")
		past = reloaded()
		fault = self.fault("it was asked to reload")
		if fault:
			self.claims.answered = number
			self.note({ANSWERED: number, REFUSED: fault})
		elif not self.is_leaving:
			self.go_on(past._replace(times=past.times + 1, number=number, name=""))

	def recycle(self) -> None:
		"""As reload. POP has given the place to this worker."""
		reason, past = self.recycling.why, reloaded()
		if self.pool:
			self.count_in_pool(reason)
			self.leave(f"it is recycled ({reason}), and its pool starts another one")
		fault = self.fault(f"it should be recycled ({reason})")
		if fault:
			self.recycling.stay()
			self.note({STAYED: fault})
		elif not self.is_leaving:
			past = past._replace(recycled=past.recycled + 1, reason=reason, name=self.name)
			self.go_on(past._replace(times=past.times + 1, number=self.claims.answered))
		self.free_place(self.name)

	def fault(self, why: str) -> str:
		"""
		The type of the error that keeps the new code from being run; empty where nothing does. Its state says that it takes no
		job meanwhile.
		"""
		self.set_state(WorkerStatus.SUSPENDED)
		fault, module = self.program.fault([type(self).__module__], self.stop)
		if fault:
			where = f" in {module}" if module else ""
			self.log.error("Worker %s: %s, and stays as it is: %s%s", self.name, why, fault, where)
		return fault

	def wait_at_fence(self) -> None:
		"""Until the next look. An operation may want to know meanwhile whether the code that is here now can be loaded."""
		with suppress(RedisError):
			self.answer_trial()
		self.stop.wait(SELDOM)

	def answer_trial(self) -> None:
		"""Where it is asked for one: nothing of this process changes. Raises RedisError."""
		key = trials_key(self.bench_id)
		if self.connection.hget(key, self.name) != TRY.encode():
			return
		self.connection.hset(key, self.name, TRYING)
		fault, module = self.program.fault([type(self).__module__], self.stop)
		found = f"{fault} {module}".strip() or LOADS
		self.connection.pipeline().hset(key, self.name, found).expire(key, TRIALS_KEPT).execute()

	def note(self, fields: dict[str, str | int]) -> None:
		"""Into its record, if Redis answers."""
		with suppress(RedisError):
			self.connection.hset(self.key, mapping=fields)

	def count_in_pool(self, reason: str) -> None:
		"""The worker that comes next says how often that happened."""
		if self.has_own_pool:
			key = pool_key(self.bench_id, self.pool.name)
			pipe = self.connection.pipeline().hincrby(key, RECYCLED, 1).hset(key, REASON, reason)
			with suppress(RedisError):
				pipe.expire(key, RECORD_KEPT).execute()

	def go_on(self, past: Reloaded) -> NoReturn:
		"""Raises RedisError where Redis is away: the new code could not register."""
		self.connection.time()
		hold_back()
		self._next = past
		why = f" ({past.reason})" if past.name else ""
		self.log.info("Worker %s: restarting itself with the code that is there now%s", self.name, why)
		raise StopRequested

	def leave(self, why: str) -> NoReturn:
		"""Its process ends."""
		self.log.info("Worker %s: it leaves: %s", self.name, why)
		raise StopRequested
