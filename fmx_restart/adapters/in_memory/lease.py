"""A lease that exists only in this process; several owners may share one slot."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.ports import Hold
from fmx_restart.engine.waiting import Clock


@dataclass
class Server:
	"""Whether Redis answers, and whether it takes anything new: tests say so at any time."""

	is_away: bool = False
	is_full: bool = False
	slots: list[Slot] = field(default_factory=list)

	def answer(self) -> None:
		if self.is_away:
			raise QueueUnreachable("Redis does not answer: connection refused.")

	def take(self) -> None:
		self.answer()
		if self.is_full:
			raise QueueUnreachable("Redis refuses to write (OOM): command not allowed.")


class Slot:
	"""What Redis keeps under one key."""

	def __init__(self, server: Server | None = None) -> None:
		self.value: str | None = None
		self.expires: float | None = None  # by the clock's now(); None: never
		self.server = server or Server()
		self.server.slots.append(self)

	def clear(self) -> None:
		self.value = self.expires = None


class InMemoryLease:
	def __init__(
		self, clock: Clock, slot: Slot, owner: str, *, seconds: float = 30.0, replaces: str = ""
	) -> None:
		self.clock, self.slot, self.owner = clock, slot, owner + " "
		self.seconds, self.replaces = seconds, replaces

	def hold(self, note: str = "") -> Hold:
		self.slot.server.answer()
		value = self._value()
		is_ours = value is not None and value.startswith(self.owner)
		is_stale = value is not None and bool(self.replaces) and value.startswith(self.replaces)
		if value is not None and not is_ours and not is_stale:
			return Hold.FOREIGN
		if not is_ours:
			self.slot.server.take()  # what is there already can be renewed in a full one
		self.slot.value, self.slot.expires = self.owner + note, self.clock.now() + self.seconds
		return Hold.KEPT if is_ours else Hold.TAKEN

	def release(self) -> bool:
		self.slot.server.answer()
		value = self._value()
		if value is None or not value.startswith(self.owner):
			return False
		self.slot.clear()
		return True

	def holder(self) -> str | None:
		self.slot.server.answer()
		value = self._value()
		return None if value is None else value.strip()

	def _value(self) -> str | None:
		if self.slot.expires is not None and self.clock.now() >= self.slot.expires:
			self.slot.clear()
		return self.slot.value
