"""
The account of every job before and after. Two inventories are compared: the first read right before the fence, the second
under the fence, when every worker is parked or new and nothing can move a job unseen. What the second one does not list is
asked one by one: a hash that says queued is a ghost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from fmx_restart.engine.places import BUCKETS, Beat, Ids, Inventory, Place, id_of, no_beat, text_of

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


@dataclass
class Comparison:
	"""Two inventories side by side: the jobs that must be explained, and what the lists say about each."""

	before: int = 0  # open in the first one
	arrived: int = 0
	placed: Counter[str] = field(default_factory=Counter)  # outcome → jobs whose list tells it
	interrupted: list[str] = field(default_factory=list)  # listed as running, and nobody works on them
	unplaced: set[str] = field(
		default_factory=set
	)  # in no list, or in RQ's intermediate one: their hashes must tell


class Ledger:
	def __init__(self, before: Inventory, abandoned: Collection[str] = ()) -> None:
		"""`abandoned`: RQ lists them as running, and nobody had worked on them any more when the operation began."""
		self.before, self.abandoned = before, frozenset(abandoned)
		self.seen_running: set[str] = set()
		self.requeued: set[str] = set()  # killed on purpose and put back

	def compare(
		self, after: Inventory, *, abandoned: Collection[str] = (), beat: Beat = no_beat
	) -> Comparison:
		"""`abandoned`: RQ lists them as running, and nobody works on them."""
		found, dead = Comparison(), set(map(id_of, abandoned))
		older, requeued = set(map(id_of, self.abandoned)), set(map(id_of, self.requeued))
		for number in range(BUCKETS):
			beat()
			still = self.before.places.waiting(number) & after.places.waiting(number)
			still -= dead | older | requeued  # nearly all of a long queue: counted at once
			found.before += len(still)
			found.placed["waiting"] += len(still)
			before, now = self.before.places.bucket(number, still), after.places.bucket(number, still)
			self._compare({id: place for id, place in before.items() if id not in older}, now, dead, found)
		return found

	def _compare(
		self, before: Mapping[bytes, Place], now: Mapping[bytes, Place], dead: set[bytes], found: Comparison
	) -> None:
		"""One by one, those that do not simply wait."""
		older = set(map(id_of, self.abandoned))
		opened = {id for id, place in before.items() if place in OPEN}
		come = {id for id, place in now.items() if before.get(id) is not place} - older - opened
		found.before += len(opened)
		found.arrived += len(come)
		for id in chain(opened, come):
			place, name = now.get(id, Place.STRANDED), text_of(id)
			if place is Place.STRANDED:
				found.unplaced.add(name)
			elif id in dead:
				found.interrupted.append(name)
			else:
				is_back = place is Place.WAITING and name in self.requeued
				found.placed["requeued" if is_back else LISTED[place]] += 1

	def discard_known(self, hashes: Ids, beat: Beat = no_beat) -> None:
		"""Of jobs that waited before the comparison tells."""
		for number in range(BUCKETS):
			beat()
			hashes.discard(number, self.before.places.waiting(number))

	@staticmethod
	def unlisted(hashes: Ids, after: Inventory, beat: Beat = no_beat) -> Iterator[str]:
		for number in range(BUCKETS):
			if left := hashes.bucket(number):
				beat()
				yield from map(text_of, left - after.places.bucket(number).keys())

	def witnesses(self) -> Iterator[str]:
		"""Jobs that nobody touches while we work: when all their hashes are gone, Redis has lost its data."""
		for number in range(BUCKETS):
			ids = map(text_of, self.before.places.bucket(number))
			yield from (id for id in ids if id not in self.seen_running)

	def close(
		self, compared: Comparison, statuses: Mapping[str, str | None], *, data_lost: bool = False
	) -> Account:
		"""`statuses` answers for every unplaced id. Ghosts stand under `lost` until they are put back."""
		account = Account(before=compared.before, arrived=compared.arrived)
		account.older_interrupted = sorted(self.abandoned)
		account.interrupted += compared.interrupted
		for outcome, number in compared.placed.items():
			count(account, outcome, number)
		for id in sorted(compared.unplaced):
			status = statuses.get(id)
			if status is None and data_lost:
				account.gone.append(id)
			else:
				self.judge(account, id, status)
		return account

	def judge(self, account: Account, id: str, status: str | None) -> None:
		"""A job that stands in no list, by what its hash says."""
		if status == "queued":
			account.lost.append(id)
		elif status == "started":
			account.interrupted.append(id)
		elif status in ENDED:
			count(account, ENDED[status])
		elif status is None and id in self.seen_running:
			count(account, "finished")
		else:
			count(account, "removed")


def count(account: Account, outcome: str, number: int = 1) -> None:
	setattr(account, outcome, getattr(account, outcome) + number)
