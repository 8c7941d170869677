"""Leases and the fence that exist only in this process."""

from __future__ import annotations

from dataclasses import dataclass, field

from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.ports import Hold
from fmx_restart.engine.waiting import Clock


@dataclass
class Server:
	"""Whether Redis answers, and whether it takes anything new: tests say so at any time."""

	is_away: bool = False
	is_full: bool = False
	slots: list[Slot] = field(default_factory=list)

	def answer(self) -> None:
		"""Raises QueueUnreachable while the server is away."""
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
		"""No value, and so no expiry."""
		self.value = self.expires = None


class InMemoryLease:
	def __init__(
		self, clock: Clock, slot: Slot, owner: str, *, seconds: float = LEASE, replaces: str = ""
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


@dataclass
class Owner:
	expires: float  # by the clock's now()
	note: str
	has_lapsed: bool = False  # the queue was not suspended at some moment since its last renewal


class Suspension(Slot):
	"""What stands under RQ's key, and its owners beside it."""

	def __init__(self, clock: Clock, server: Server | None = None) -> None:
		super().__init__(server)
		self.clock = clock
		self.owners: dict[str, Owner] = {}

	def clear(self) -> None:
		"""Its owners are gone as well, as when Redis loses its data."""
		super().clear()
		self.owners.clear()

	def standing(self) -> str | None:
		"""Who holds the queue suspended now; None where nobody does or the lease has run out."""
		if self.expires is not None and self.clock.now() >= self.expires:
			self.value = self.expires = None
		return self.value

	def living(self) -> dict[str, Owner]:
		"""Owners whose lease has not run out."""
		return {name: owner for name, owner in self.owners.items() if owner.expires > self.clock.now()}

	def named(self) -> str | None:
		"""The owner that the value names, also one that has expired."""
		value = self.standing()
		return next(
			(name for name in self.owners if value is not None and value.startswith(f"{name} ")), None
		)

	def last_until(self) -> float:
		"""The latest expiry, in the clock's monotonic seconds. Raises ValueError without an owner."""
		return max(owner.expires for owner in self.living().values())

	def suspend_for(self, name: str) -> None:
		"""Suspend in the name of an owner, until the last owner's lease ends."""
		self.value, self.expires = f"{name} {self.owners[name].note}", self.last_until()

	def mark_lapsed(self) -> None:
		"""Each owner learns at its next renewal that the queue was not suspended throughout."""
		for owner in self.owners.values():
			owner.has_lapsed = True


class InMemoryFence:
	def __init__(
		self, suspension: Suspension, owner: str, *, seconds: float = LEASE, replaces: str = ""
	) -> None:
		self.suspension, self.owner = suspension, owner
		self.seconds, self.replaces = seconds, replaces
		self.is_held, self.taken = False, 0

	def hold(self, note: str = "") -> Hold:
		place = self.suspension
		place.server.answer()
		if self.owner not in place.living() and not self._is_named():
			place.server.take()  # what is there already can be renewed in a full one
		has_stood, is_foreign = self.has_stood(), self._is_foreign()
		self._become_owner(note, is_foreign)
		was_held, self.is_held = self.is_held, True
		if is_foreign and (has_stood or not was_held):
			return Hold.FOREIGN
		self.taken += not has_stood
		return Hold.KEPT if has_stood else Hold.TAKEN

	def release(self) -> bool:
		place = self.suspension
		place.server.answer()
		self.is_held = False
		was_ours, is_foreign = self.owner in place.living() or self._is_named(), self._is_foreign()
		if was_ours or self.owner in place.owners:
			others = {name: owner for name, owner in place.living().items() if name != self.owner}
			self._hand_over(others, is_foreign)
		return was_ours

	def holder(self) -> str | None:
		self.suspension.server.answer()
		value = self.suspension.standing()
		return None if value is None else value.strip()

	def has_stood(self) -> bool:
		"""Ever since the last renewal."""
		place, mine = self.suspension, self.suspension.owners.get(self.owner)
		if place.standing() is None or (mine and mine.has_lapsed):
			return False
		return self.owner in place.living() or self._is_named()

	def _become_owner(self, note: str, is_foreign: bool) -> None:
		place = self.suspension
		neighbours = {n: o for n, o in place.living().items() if n != self.owner and not self._replaces(n)}
		place.owners = neighbours
		if place.standing() is None:
			place.mark_lapsed()
		neighbour = place.named()
		place.owners[self.owner] = Owner(place.clock.now() + self.seconds, note)
		if neighbour and not is_foreign:
			place.expires = place.last_until()
		elif not is_foreign:
			place.suspend_for(self.owner)

	def _hand_over(self, heirs: dict[str, Owner], is_foreign: bool) -> None:
		place = self.suspension
		place.owners = heirs
		if heirs and place.standing() is None:
			place.mark_lapsed()
		if is_foreign:
			return
		if not heirs:
			place.clear()
		elif place.named():
			place.expires = place.last_until()
		else:
			place.suspend_for(min(heirs, key=lambda name: (-heirs[name].expires, name)))

	def _is_foreign(self) -> bool:
		value = self.suspension.standing()
		return value is not None and not (
			self._is_named() or self._replaces(value) or self.suspension.named()
		)

	def _is_named(self) -> bool:
		return (self.suspension.standing() or "").startswith(f"{self.owner} ")

	def _replaces(self, name: str) -> bool:
		return bool(self.replaces) and name.startswith(self.replaces) and name != self.owner
