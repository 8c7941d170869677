"""
Where every job stands: the ids of a million jobs in some 25 MB. They lie packed in buckets, and only one bucket at a time is
opened. Two collections put the same id into the same bucket, so they are compared bucket by bucket, id by id.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

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
	return text.encode(errors="surrogateescape")


class Ids:
	"""Ids of jobs as Redis has them. One that is added twice is there once."""

	def __init__(self) -> None:
		self._packed: list[list[bytes]] = [[] for _ in range(BUCKETS)]
		self._unpacked: list[list[bytes]] = [[] for _ in range(BUCKETS)]
		self._waiting = 0

	def add(self, ids: Collection[bytes]) -> None:
		buckets = self._unpacked
		for id in ids:
			buckets[hash(id) % BUCKETS].append(id)
		self._waiting += len(ids)
		if self._waiting > UNPACKED:
			self._pack()

	def bucket(self, number: int) -> set[bytes]:
		found = set(self._unpacked[number])
		for ids in self._packed[number]:
			found.update(marshal.loads(zlib.decompress(ids)))
		return found

	def discard(self, number: int, ids: Collection[bytes]) -> None:
		"""Those ids leave that bucket."""
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
	return zlib.compress(marshal.dumps(list(ids)), QUICKLY)


class Places:
	"""Id → place."""

	def __init__(self, places: Mapping[str, Place] | None = None) -> None:
		self._ids = {place: Ids() for place in Place}
		for id, place in (places or {}).items():
			self.add(place, [id_of(id)])

	def add(self, place: Place, ids: Collection[bytes]) -> None:
		self._ids[place].add(ids)

	def waiting(self, number: int) -> set[bytes]:
		"""Of that bucket."""
		return self._ids[Place.WAITING].bucket(number)

	def bucket(self, number: int, but: Collection[bytes] = ()) -> dict[bytes, Place]:
		"""All ids of it `but` for those."""
		found: dict[bytes, Place] = {}
		for place, ids in self._ids.items():
			found.update(dict.fromkeys(ids.bucket(number).difference(but), place))
		return found

	def as_dict(self) -> dict[str, Place]:
		"""All at once: for a few."""
		buckets = map(self.bucket, range(BUCKETS))
		return {text_of(id): place for bucket in buckets for id, place in bucket.items()}

	def of(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, Place]:
		"""Those of them that stand anywhere."""
		wanted = Ids()
		wanted.add(list(map(id_of, ids)))
		found = {}
		for number in range(BUCKETS):
			if some := wanted.bucket(number):
				beat()
				bucket = self.bucket(number)
				found.update((text_of(id), bucket[id]) for id in some & bucket.keys())
		return found


@dataclass(frozen=True)
class Inventory:
	"""Every job of this bench that stands in any list."""

	time: float  # seconds since the epoch, before the first list was read
	places: Places
