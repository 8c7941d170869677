"""Who suspended the queue, and whether they are still there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.fence import Owner, owners
from fmx_restart.adapters.redis_queue.keys import SUSPENDED, lock_key
from fmx_restart.engine.holder import Holder, describe
from fmx_restart.engine.ports import Host, HostProcess

OURS = "fmx_restart:"  # how the owner of a fence of this app begins: fmx_restart:<bench>:<operation>


@dataclass(frozen=True)
class FenceOwner:
	"""An operation that holds the queue suspended, of any bench on this Redis."""

	name: str  # as it stands in Redis
	bench: str
	operation: str
	left: float | None  # seconds until it ends by itself; None: never
	note: str
	lock: str | None  # what the lock of that bench holds: an operation and its note

	@property
	def is_stale(self) -> bool:
		"""That operation does not hold its bench's lock any more; each does as long as it runs."""
		return not (self.lock or "").startswith(self.operation)

	@property
	def holder(self) -> str | None:
		"""Who holds that bench now, in words."""
		return describe(self.lock) if self.lock else None

	def is_dead(self, host: Host) -> bool:
		"""Proved: it is stale, it ran on this machine, and its process is gone."""
		process = Holder.parse(f"{self.name} {self.note}")
		is_here = process is not None and process.host == host.name
		return self.is_stale and is_here and not host.alive([HostProcess(process.pid, process.identity)])


@dataclass(frozen=True)
class Suspension:
	value: str
	left: float | None  # seconds until it ends by itself; None: never
	owners: tuple[FenceOwner, ...] = ()  # operations; also those behind someone else's suspension

	@property
	def is_foreign(self) -> bool:
		"""Someone suspended the queue who is no operation."""
		return not any(self.value == one.name or self.value.startswith(f"{one.name} ") for one in self.owners)

	@property
	def stale(self) -> list[FenceOwner]:
		return [one for one in self.owners if one.is_stale]


def read_suspension(connection: Redis) -> Suspension | None:
	"""Few round trips: the fence first, so that one that is lifted in between is not called stale."""
	with redis_border():
		value, left = connection.pipeline().get(SUSPENDED).pttl(SUSPENDED).execute()
	if value is None:
		return None
	told, until = text_of(value), left / 1000 if left >= 0 else None
	known = owners(connection)
	if told.startswith(OURS) and not any(told.startswith(one.name) for one in known):
		name, _, note = told.partition(" ")  # an older version knows no owners beside the value
		known.append(Owner(name, until, note))
	return Suspension(told, until, tuple(with_locks(connection, known)))


def with_locks(connection: Redis, known: Iterable[Owner]) -> Iterable[FenceOwner]:
	for one in known:
		bench, _, owner = one.name[len(OURS) :].rpartition(":")
		if one.name.startswith(OURS) and owner:
			with redis_border():
				lock = connection.get(lock_key(bench))
			operation = owner.partition("/")[0]  # a recovery goes by the dead one's id, and a word of its own
			held = None if lock is None else text_of(lock).strip()
			yield FenceOwner(one.name, bench, operation, one.left, one.note, held)


def text_of(value: bytes) -> str:
	return value.decode(errors="replace").strip()
