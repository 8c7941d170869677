"""Holds of the queue that exist only in this process."""

from __future__ import annotations

from fmx_restart.engine.frozen import changed
from fmx_restart.engine.ports import Release, ReleaseEnd
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.testing.leases import InMemoryFence, Owner, Suspension

STEM = "fmx_restart::hold:"


def hold_owner(bench_id: str, owner: str) -> str:
	"""The name of a hold among the owners of the fence."""
	return f"{STEM}{bench_id}:{owner}"


class InMemoryHolds:
	"""`records`: what is known of each hold of this bench, also when it has ended: owner → the hold, when it was released."""

	def __init__(self, suspension: Suspension, bench_id: str) -> None:
		self.suspension, self.bench_id, self.clock = suspension, bench_id, suspension.clock
		self.records: dict[str, tuple[QueueHold, float | None]] = {}
		self.started = self.clock.time()

	def standing(self) -> list[QueueHold]:
		place = self.suspension
		place.server.answer()
		now, time, is_suspended = self.clock.now(), self.clock.time(), place.standing() is not None
		holds = [
			changed(
				hold,
				until=time + owner.expires - now,
				has_stood=hold.has_stood and is_suspended and not owner.has_lapsed,
			)
			for name, owner in place.living().items()
			if name.startswith(STEM) and (hold := QueueHold.parse(owner.note))
		]
		return sorted(holds, key=lambda hold: (hold.until, hold.owner))

	def make(
		self, owner: str, seconds: float, fence: InMemoryFence, *, reason: str, by: str
	) -> QueueHold | None:
		place, name = self.suspension, hold_owner(self.bench_id, owner)
		place.server.take()
		if fence._is_foreign() or not fence.has_stood():
			return None
		old, mine = self._noted(name), InMemoryFence(place, name, seconds=seconds)
		expires = max(self.clock.now() + seconds, place.living()[name].expires if old else 0.0)
		has_stood = not old or (old.has_stood and mine.has_stood())
		time = self.clock.time()
		hold = QueueHold(
			self.bench_id,
			owner,
			reason or (old.reason if old else ""),
			by,
			old.since if old else time,
			time + expires - self.clock.now(),
			has_stood=has_stood,
		)
		place.owners = place.living()
		place.owners[name] = Owner(expires, hold.note(), has_lapsed=not has_stood)
		if mine._is_named() or not place.named():
			place.suspend_for(name)
		else:
			place.expires = place.last_until()
		self.records[owner] = (hold, None)
		return hold

	def release(self, owner: str, by: str) -> Release:
		place, name = self.suspension, hold_owner(self.bench_id, owner)
		place.server.answer()
		time, fence = self.clock.time(), InMemoryFence(place, name)
		noted, has_stood = self._noted(name), fence.has_stood()
		if fence.release():
			hold = noted or self.records[owner][0]
			self.records[owner] = (hold, time)
			return Release(ReleaseEnd.LIFTED if has_stood else ReleaseEnd.BROKEN, hold, time)
		hold, released = self.records.get(owner, (None, None))
		if hold is None:
			return Release(ReleaseEnd.UNKNOWN, None, 0.0)
		if released is not None:
			return Release(ReleaseEnd.RELEASED_BEFORE, hold, released)
		if hold.until > time:
			return Release(ReleaseEnd.BROKEN, hold, 0.0)
		return Release(ReleaseEnd.EXPIRED, hold, hold.until)

	def serves_since(self) -> float:
		return self.started

	def _noted(self, name: str) -> QueueHold | None:
		owner = self.suspension.living().get(name)
		return QueueHold.parse(owner.note) if owner else None
