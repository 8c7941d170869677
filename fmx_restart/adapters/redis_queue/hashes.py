"""Fields of job hashes, many in one round trip, however many there are and whatever other programs keep below rq:job:."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from redis import Redis
from redis.client import Pipeline

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.records import ODD_TYPE, Unreadable, of_its_type

CHUNK = 1000  # hashes asked for in one round trip
LARGEST = 4 << 20  # bytes of a job's data; larger ones are not fetched
OTHERS_OF_RQ = (":dependents", ":dependencies")  # sets beside a job's hash


def hashes(
	connection: Redis, ids: Iterable[str], fields: Sequence[str], unreadable: Unreadable
) -> Iterator[tuple[str, list[bytes | None] | None]]:
	"""In the order of `ids`. A hash that is not there has only None for fields; a key of another type has no fields."""
	for chunk in chunks(ids):
		pipe = connection.pipeline(transaction=False)
		for id in chunk:
			pipe.hmget(keys.job_key(id), fields)
		yield from answers(pipe, chunk, unreadable)


def hashes_with_data(
	connection: Redis, ids: Iterable[str], fields: Sequence[str], unreadable: Unreadable
) -> Iterator[tuple[str, bytes | None, list[bytes | None] | None]]:
	"""As `hashes`, with the job's data: None where they are too large to be fetched."""
	for chunk in chunks(ids):
		pipe = connection.pipeline(transaction=False)
		for id in chunk:
			pipe.hstrlen(keys.job_key(id), "data")
		sizes = dict(answers(pipe, chunk, unreadable))
		for id in chunk:
			pipe.hmget(keys.job_key(id), fields if (sizes[id] or 0) > LARGEST else ["data", *fields])
		for id, found in answers(pipe, chunk, unreadable):
			if found and len(found) == len(fields):
				unreadable.note("job", id, "its data is larger than 4 MB")
				found = [None, *found]
			yield id, found and found[0], found and found[1:]


def chunks(ids: Iterable[str]) -> Iterator[list[str]]:
	ids = iter(ids)
	while chunk := list(islice(ids, CHUNK)):
		yield chunk


def answers(pipe: Pipeline, ids: Sequence[str], unreadable: Unreadable) -> Iterator[tuple[str, Any]]:
	"""None for a key of another type."""
	for id, answer in zip(ids, pipe.execute(raise_on_error=False), strict=True):
		found = of_its_type(answer)
		if found is None and not id.endswith(OTHERS_OF_RQ):
			unreadable.note("job", id, ODD_TYPE)
		yield id, found
