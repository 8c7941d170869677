"""The ledger: where every job stands before and after, and the account of what became of each."""

from __future__ import annotations

import marshal
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain

from fmx_restart.engine.frozen import frozen

BUCKETS = 64
UNPACKED = 20_000  # ids of one collection that wait to be packed
QUICKLY = 1  # zlib's level: ids are half random, more effort gains nothing


Beat = Callable[[], object]  # called between two steps of something long, so that leases can be renewed


def no_beat() -> None:
	"""In place of a renewal where nothing has to be kept alive."""


class Place(str, Enum):
	"""The list a job's id stands in. Of an id in several lists the last one of these counts."""

	CANCELED = "canceled"
	LATER = "later"  # scheduled or deferred
	FAILED = "failed"
	FINISHED = "finished"
	RUNNING = "running"
	STRANDED = "stranded"  # popped by BLMOVE into RQ's intermediate list, not started
	WAITING = "waiting"


def text_of(id: bytes) -> str:
	"""Without loss, also where it is not UTF-8."""
	return id.decode(errors="surrogateescape")


def id_of(text: str) -> bytes:
	"""The inverse of text_of."""
	return text.encode(errors="surrogateescape")


class Ids:
	"""Ids of jobs as Redis has them. One that is added twice is there once."""

	def __init__(self) -> None:
		self._packed: list[list[bytes]] = [[] for _ in range(BUCKETS)]
		self._unpacked: list[list[bytes]] = [[] for _ in range(BUCKETS)]
		self._waiting = 0

	def add(self, ids: Collection[bytes]) -> None:
		"""The newest are kept as they are, and packed when there are many."""
		buckets = self._unpacked
		for id in ids:
			buckets[hash(id) % BUCKETS].append(id)
		self._waiting += len(ids)
		if self._waiting > UNPACKED:
			self._pack()

	def bucket(self, number: int) -> set[bytes]:
		"""One of BUCKETS parts of all ids, by their hash: so that not all have to be unpacked at once."""
		members = set(self._unpacked[number])
		for ids in self._packed[number]:
			members.update(marshal.loads(zlib.decompress(ids)))
		return members

	def discard(self, number: int, ids: Collection[bytes]) -> None:
		"""Take these ids out of that bucket."""
		left = self.bucket(number).difference(ids)
		self._unpacked[number] = []
		self._packed[number] = [packed(left)] if left else []

	def _pack(self) -> None:
		for number, ids in enumerate(self._unpacked):
			if ids:
				self._packed[number].append(packed(ids))
		self._unpacked = [[] for _ in range(BUCKETS)]
		self._waiting = 0


def packed(ids: Iterable[bytes]) -> bytes:
	"""Ids as compressed bytes: a million of them take some 25 MB."""
	return zlib.compress(marshal.dumps(list(ids)), QUICKLY)


class Places:
	"""Id of a job → the list it stands in, for a million of them."""

	def __init__(self, places: Mapping[str, Place] | None = None) -> None:
		self._ids = {place: Ids() for place in Place}
		for id, place in (places or {}).items():
			self.add(place, [id_of(id)])

	def add(self, place: Place, ids: Collection[bytes]) -> None:
		"""Of an id that is added to several places the last one of Place counts."""
		self._ids[place].add(ids)

	def waiting(self, number: int) -> set[bytes]:
		"""Ids of that bucket that wait in a queue."""
		return self._ids[Place.WAITING].bucket(number)

	def bucket(self, number: int, without: Collection[bytes] = ()) -> dict[bytes, Place]:
		"""Id → place of that bucket, `without` these ids."""
		places: dict[bytes, Place] = {}
		for place, ids in self._ids.items():
			places.update(dict.fromkeys(ids.bucket(number).difference(without), place))
		return places

	def as_dict(self) -> dict[str, Place]:
		"""Everything at once: only for a few ids."""
		buckets = map(self.bucket, range(BUCKETS))
		return {text_of(id): place for bucket in buckets for id, place in bucket.items()}

	def of(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, Place]:
		"""Id → place of those that stand in any list."""
		wanted = Ids()
		wanted.add(list(map(id_of, ids)))
		places = {}
		for number in range(BUCKETS):
			if ids_here := wanted.bucket(number):
				beat()
				bucket = self.bucket(number)
				places.update((text_of(id), bucket[id]) for id in ids_here & bucket.keys())
		return places


@frozen
class Inventory:
	"""Every job of this bench that stands in any list."""

	time: float  # seconds since the epoch, before the first list was read
	places: Places


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
	interrupted: list[str] = field(default_factory=list)  # started, and no worker runs them any more
	removed: int = 0  # deleted by someone, or expired: RQ keeps no trace of a job with result_ttl=0
	lost: list[str] = field(default_factory=list)  # ghosts that could not be put back
	gone: list[str] = field(default_factory=list)  # Redis lost its data, and these with it
	older_ghosts: int = 0  # lost before this operation began; not counted above, not touched
	older_interrupted: list[str] = field(default_factory=list)  # by a worker killed before; likewise

	@property
	def total(self) -> int:
		"""Jobs that have to be accounted for."""
		return self.before + self.arrived

	@property
	def is_balanced(self) -> bool:
		"""Every job has exactly one outcome."""
		outcomes = self.finished + self.failed + self.waiting + self.running + self.requeued + self.removed
		return self.total == outcomes + len(self.interrupted) + len(self.lost) + len(self.gone)


@dataclass
class Comparison:
	"""Two inventories side by side: the jobs that must be explained, and what the lists say about each."""

	before: int = 0  # open in the first one
	arrived: int = 0
	placed: Counter[str] = field(default_factory=Counter)  # outcome → jobs whose list tells it
	interrupted: list[str] = field(default_factory=list)  # listed as running, and nobody works on them
	#: in no list, or in RQ's intermediate one: their hashes must tell
	unplaced: set[str] = field(default_factory=set)


class Ledger:
	"""Compares where each job stands before the fence and after it, and accounts for every one."""

	def __init__(self, before: Inventory, abandoned: Collection[str] = ()) -> None:
		"""`abandoned`: RQ lists them as running, and nobody had worked on them any more when the operation began."""
		self.before, self.abandoned = before, frozenset(abandoned)
		self.seen_running: set[str] = set()
		self.requeued: set[str] = set()  # killed on purpose and put back

	def compare(
		self, after: Inventory, *, abandoned: Collection[str] = (), beat: Beat = no_beat
	) -> Comparison:
		"""`abandoned`: RQ lists them as running, and nobody works on them."""
		comparison, dead = Comparison(), set(map(id_of, abandoned))
		older, requeued = set(map(id_of, self.abandoned)), set(map(id_of, self.requeued))
		for number in range(BUCKETS):
			beat()
			still = self.before.places.waiting(number) & after.places.waiting(number)
			still -= dead | older | requeued  # nearly all of a long queue: counted at once
			comparison.before += len(still)
			comparison.placed["waiting"] += len(still)
			before, now = self.before.places.bucket(number, still), after.places.bucket(number, still)
			self._compare(
				{id: place for id, place in before.items() if id not in older}, now, dead, comparison
			)
		return comparison

	def _compare(
		self,
		before: Mapping[bytes, Place],
		now: Mapping[bytes, Place],
		dead: set[bytes],
		comparison: Comparison,
	) -> None:
		"""Add to `comparison` the jobs that do not simply wait, one by one."""
		older = set(map(id_of, self.abandoned))
		opened = {id for id, place in before.items() if place in OPEN}
		new = {id for id, place in now.items() if before.get(id) is not place} - older - opened
		comparison.before += len(opened)
		comparison.arrived += len(new)
		for id in chain(opened, new):
			place, name = now.get(id, Place.STRANDED), text_of(id)
			if place is Place.STRANDED:
				comparison.unplaced.add(name)
			elif id in dead:
				comparison.interrupted.append(name)
			else:
				is_back = place is Place.WAITING and name in self.requeued
				comparison.placed["requeued" if is_back else LISTED[place]] += 1

	def discard_known(self, hashes: Ids, beat: Beat = no_beat) -> None:
		"""Take out of `hashes` the jobs that waited before: the comparison accounts for them."""
		for number in range(BUCKETS):
			beat()
			hashes.discard(number, self.before.places.waiting(number))

	@staticmethod
	def unlisted(hashes: Ids, after: Inventory, beat: Beat = no_beat) -> Iterator[str]:
		"""Ids that have a hash and stand in no list."""
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
		"""Count a job that stands in no list, by the status in its hash."""
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
	"""Add to one of the account's numbers; `outcome` is the name of its field."""
	setattr(account, outcome, getattr(account, outcome) + number)
