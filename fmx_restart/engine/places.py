"""
Where every job stands: the ids of a million jobs in some 25 MB. They lie packed in buckets, and only one bucket at a time is
opened. Two collections put the same id into the same bucket, so they are compared bucket by bucket, id by id.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
		self._packed: dict[int, list[bytes]] = {}
		self._unpacked: dict[int, list[bytes]] = {}
		self._waiting = 0

	def add(self, ids: Iterable[bytes]) -> None:
		for id in ids:
			self._unpacked.setdefault(hash(id) % BUCKETS, []).append(id)
			self._waiting += 1
		if self._waiting > UNPACKED:
			self._pack()

	def bucket(self, number: int) -> set[bytes]:
		found = set(self._unpacked.get(number, ()))
		for ids in self._packed.get(number, ()):
			found.update(marshal.loads(zlib.decompress(ids)))
		return found

	def discard(self, number: int, ids: Collection[bytes]) -> None:
		"""Those ids leave that bucket."""
		left = self.bucket(number).difference(ids)
		self._unpacked.pop(number, None)
		self._packed[number] = [packed(left)] if left else []

	def _pack(self) -> None:
		for number, ids in self._unpacked.items():
			self._packed.setdefault(number, []).append(packed(ids))
		self._unpacked.clear()
		self._waiting = 0


def packed(ids: Iterable[bytes]) -> bytes:
	return zlib.compress(marshal.dumps(list(ids)), QUICKLY)


class Places:
	"""Id → place."""

	def __init__(self, places: Mapping[str, Place] | None = None) -> None:
		self._ids = {place: Ids() for place in Place}
		for id, place in (places or {}).items():
			self.add(place, [id_of(id)])

	def add(self, place: Place, ids: Iterable[bytes]) -> None:
		self._ids[place].add(ids)

	def bucket(self, number: int) -> dict[bytes, Place]:
		found: dict[bytes, Place] = {}
		for place, ids in self._ids.items():
			found.update(dict.fromkeys(ids.bucket(number), place))
		return found

	def buckets(self) -> Iterator[dict[bytes, Place]]:
		return map(self.bucket, range(BUCKETS))

	def as_dict(self) -> dict[str, Place]:
		"""All at once: for a few."""
		return {text_of(id): place for bucket in self.buckets() for id, place in bucket.items()}

	def of(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, Place]:
		"""Those of them that stand anywhere."""
		wanted = Ids()
		wanted.add(map(id_of, ids))
		found = {}
		for number, bucket in enumerate(self.buckets()):
			beat()
			found.update((text_of(id), bucket[id]) for id in wanted.bucket(number) & bucket.keys())
		return found


@dataclass(frozen=True)
class Inventory:
	"""Every job of this bench that stands in any list."""

	time: float  # seconds since the epoch, before the first list was read
	places: Places
