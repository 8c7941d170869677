"""Who suspended the queue, and whether they are still there."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.keys import SUSPENDED, lock_key
from fmx_restart.engine.holder import describe

OURS = "fmx_restart:"  # how the value of a fence of this app begins: fmx_restart:<bench>:<operation>


@dataclass(frozen=True)
class Suspension:
	value: str
	left: float | None  # seconds until it ends by itself; None: never
	bench: str = ""  # of the operation whose fence it is; "" for somebody else's suspension
	operation: str = ""
	lock: str | None = None  # what the lock of that bench holds: an operation and its note

	@property
	def is_ours(self) -> bool:
		return bool(self.operation)

	@property
	def is_stale(self) -> bool:
		"""The fence of an operation that does not run any more: each holds its bench's lock as long as it runs."""
		return self.is_ours and not (self.lock or "").startswith(self.operation)

	@property
	def holder(self) -> str | None:
		"""Who holds that bench now, in words."""
		return describe(self.lock) if self.lock else None


def read_suspension(connection: Redis) -> Suspension | None:
	"""Two round trips: the fence first, so that one that is lifted in between is not called stale."""
	with redis_border():
		value, left = connection.pipeline().get(SUSPENDED).pttl(SUSPENDED).execute()
		if value is None:
			return None
		told, until = text_of(value), left / 1000 if left >= 0 else None
		if not told.startswith(OURS):
			return Suspension(told, until)
		bench, _, owner = told.partition(" ")[0][len(OURS) :].rpartition(":")
		lock = connection.get(lock_key(bench))
	operation = owner.partition("/")[0]  # a recovery goes by the dead one's id, and a word of its own
	return Suspension(told, until, bench, operation, None if lock is None else text_of(lock).strip())


def text_of(value: bytes) -> str:
	return value.decode(errors="replace")
