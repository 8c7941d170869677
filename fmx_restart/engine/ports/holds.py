"""What the engine needs to hold the queue beyond the end of a command, and to lift that again."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports.queue import Fence, Look
from fmx_restart.engine.queue_hold import QueueHold


class ReleaseEnd(str, Enum):
	"""What became of a hold that was to be lifted."""

	LIFTED = "lifted"  # it has stood from its beginning on, and is lifted now
	BROKEN = "broken"  # it is lifted now; someone else had lifted the suspension before, or Redis had lost it
	EXPIRED = "expired"  # its time was over before
	RELEASED_BEFORE = "released before"
	UNKNOWN = "unknown"  # there was none by this name, or Redis has lost its data


@frozen
class Release:
	"""`hold`: as it was; None where nothing is known of it."""

	end: ReleaseEnd
	hold: QueueHold | None
	ended: float  # when it was lifted or expired, in seconds since the epoch; 0 where that is not known


@frozen
class HeldQueue:
	"""The queue as somebody who holds it wants to know it."""

	bench: str  # its id
	holds: tuple[QueueHold, ...]  # of every bench on this Redis, the one that ends last comes last
	look: Look
	running: int  # jobs that run, without short ones of this app itself


class Holds(Protocol):
	"""Owners of the fence without a process, of this bench. They add up with all others, operations as well."""

	def standing(self) -> list[QueueHold]:
		"""Those that have not ended, of every bench on this Redis; the one that ends last comes last."""

	def make(self, owner: str, seconds: float, fence: Fence, *, reason: str, by: str) -> QueueHold | None:
		"""
		From now on, for so long. One by this owner that lasts already is extended, never shortened. Redis looks in the same act
		whether `fence` has stood ever since its last renewal: None where it has not, and nothing was written.
		"""

	def release(self, owner: str, by: str) -> Release:
		"""Lift the hold by this owner. What it has come to is known for a week."""

	def serves_since(self) -> float:
		"""When Redis was started, in seconds since the epoch: what it knew before may be lost."""


class NoHolds:
	"""For a bench whose queue nobody holds."""

	def standing(self) -> list[QueueHold]:
		return []
