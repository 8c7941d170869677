"""A lease that exists only in this process; several owners may share one slot."""

from __future__ import annotations

from dataclasses import dataclass

from fmx_restart.engine.ports import Hold
from fmx_restart.engine.waiting import Clock


@dataclass
class Slot:
	"""What Redis keeps under one key."""

	value: str | None = None
	expires: float | None = None  # by the clock's now(); None: never


class InMemoryLease:
	def __init__(
		self, clock: Clock, slot: Slot, owner: str, *, seconds: float = 30.0, replaces: str = ""
	) -> None:
		self.clock, self.slot, self.owner = clock, slot, owner + " "
		self.seconds, self.replaces = seconds, replaces

	def hold(self, note: str = "") -> Hold:
		value = self._value()
		is_ours = value is not None and value.startswith(self.owner)
		is_stale = value is not None and bool(self.replaces) and value.startswith(self.replaces)
		if value is not None and not is_ours and not is_stale:
			return Hold.FOREIGN
		self.slot.value, self.slot.expires = self.owner + note, self.clock.now() + self.seconds
		return Hold.KEPT if is_ours else Hold.TAKEN

	def release(self) -> bool:
		value = self._value()
		if value is None or not value.startswith(self.owner):
			return False
		self.slot.value = self.slot.expires = None
		return True

	def holder(self) -> str | None:
		value = self._value()
		return None if value is None else value.strip()

	def _value(self) -> str | None:
		if self.slot.expires is not None and self.clock.now() >= self.slot.expires:
			self.slot.value = self.slot.expires = None
		return self.slot.value
