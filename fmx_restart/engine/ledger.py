"""
The account of every job before and after. Two inventories are compared, both read while nothing can move
a job unseen: the first right before the fence, the second under the fence when every worker is parked or
new. What the second one does not list is asked one by one: a hash that says queued is a ghost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fmx_restart.engine.ports import Inventory, Place

OPEN = {Place.WAITING, Place.RUNNING, Place.STRANDED}
#: RQ's words in a job's hash (rq/job.py JobStatus), by what they mean for the account
ENDED = {"finished": "finished", "failed": "failed", "stopped": "failed"}
LISTED = {
	Place.WAITING: "waiting",
	Place.LATER: "waiting",
	Place.RUNNING: "running",
	Place.FINISHED: "finished",
	Place.FAILED: "failed",
	Place.CANCELED: "removed",
}


@dataclass
class Account:
	"""before + arrived = finished + failed + waiting + running + requeued + interrupted + removed + lost + gone"""

	before: int = 0  # waiting or running when the fence went up
	arrived: int = 0  # enqueued since
	finished: int = 0
	failed: int = 0
	waiting: int = 0
	running: int = 0
	requeued: int = 0  # put back: ghosts, and jobs that were killed on purpose
	interrupted: list[str] = field(default_factory=list)  # started, and nobody runs them any more
	removed: int = 0  # deleted by somebody, or expired: RQ keeps no trace of a job with result_ttl=0
	lost: list[str] = field(default_factory=list)  # ghosts that could not be put back
	gone: list[str] = field(default_factory=list)  # Redis lost its data, and these with it
	older_ghosts: int = 0  # lost before this operation began; not counted above, not touched
	older_interrupted: list[str] = field(default_factory=list)  # by a worker killed before; likewise

	@property
	def total(self) -> int:
		return self.before + self.arrived

	@property
	def is_balanced(self) -> bool:
		outcomes = self.finished + self.failed + self.waiting + self.running + self.requeued + self.removed
		return self.total == outcomes + len(self.interrupted) + len(self.lost) + len(self.gone)


class Ledger:
	def __init__(self, before: Inventory, abandoned: Collection[str] = ()) -> None:
		"""`abandoned`: RQ lists them as running, and nobody had worked on them any more when the operation began."""
		self.before, self.abandoned = before, frozenset(abandoned)
		self.seen_running: set[str] = set()
		self.requeued: set[str] = set()  # killed on purpose and put back

	@property
	def waiting_before(self) -> set[str]:
		return {id for id, place in self.before.places.items() if place is Place.WAITING}

	def subjects(self, after: Inventory) -> set[str]:
		"""Every job the account must explain: open before, or come since."""
		opened = {id for id, place in self.before.places.items() if place in OPEN}
		come = {id for id, place in after.places.items() if place is not self.before.places.get(id)}
		return (opened | come) - self.abandoned

	def unplaced(self, after: Inventory) -> set[str]:
		"""Subjects that stand in no list, or in RQ's intermediate one: their hashes must tell."""
		resting = {id for id, place in after.places.items() if place is not Place.STRANDED}
		return self.subjects(after) - resting

	@property
	def witnesses(self) -> set[str]:
		"""Jobs that nobody touches while we work: when all their hashes are gone, Redis has lost its data."""
		return self.before.places.keys() - self.seen_running

	def close(
		self,
		after: Inventory,
		statuses: Mapping[str, str | None],
		*,
		data_lost: bool = False,
		abandoned: Collection[str] = (),
	) -> Account:
		"""
		`statuses` answers for every unplaced id. Ghosts stand under `lost` until they are put back. `abandoned`: RQ lists
		them as running, and nobody works on them.
		"""
		subjects = self.subjects(after)
		account = Account(before=sum(self.before.places.get(id) in OPEN for id in subjects))
		account.arrived = len(subjects) - account.before
		account.older_interrupted = sorted(self.abandoned)
		unplaced = self.unplaced(after)
		for id in subjects - unplaced:
			is_back = id in self.requeued and after.places[id] is Place.WAITING
			if id in abandoned:
				account.interrupted.append(id)
			else:
				self._count(account, "requeued" if is_back else LISTED[after.places[id]])
		for id in sorted(unplaced):
			status = statuses.get(id)
			if status is None and data_lost:
				account.gone.append(id)
			else:
				self._judge(account, id, status)
		return account

	def _judge(self, account: Account, id: str, status: str | None) -> None:
		if status == "queued":
			account.lost.append(id)
		elif status == "started":
			account.interrupted.append(id)
		elif status in ENDED:
			self._count(account, ENDED[status])
		elif status is None and id in self.seen_running:
			self._count(account, "finished")
		else:
			self._count(account, "removed")

	@staticmethod
	def _count(account: Account, outcome: str) -> None:
		setattr(account, outcome, getattr(account, outcome) + 1)
