"""The claims of one bench's workers: who has which job."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

import rq
from redis import Redis
from rq.job import Job
from rq.queue import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import Worker

from fmx_restart.worker.recycling import IN_PLACE_WITHIN, place_key
from fmx_restart.worker.requests import ALL, lock_key, of_host, of_worker, requests_key
from fmx_restart.worker.scripts import LEAVE, LET_GO, POP, RECORD, START

#: From rq 2.0 on, the started registry lists executions: "<job id>:<execution id>"
HAS_EXECUTIONS = int(rq.VERSION.split(".")[0]) >= 2
FAILURE_KEPT = 31_536_000  # seconds: RQ's own default
MOST_TRIES = 3  # of a job whose process died again and again before it was started


class Claim(NamedTuple):
	state: str  # popped or started
	queue: str  # its key
	id: str  # of the job
	at: float  # seconds since the epoch, by Redis' clock: when it was popped
	raw: bytes  # as it stands in Redis
	process: str = ""  # of its worker, as owners.identity() writes it

	@property
	def queue_name(self) -> str:
		return self.queue[len(Queue.redis_queue_namespace_prefix) :]


class KilledJob(NamedTuple):
	"""What becomes of a job whose process is killed."""

	policy: str = "fail"  # or requeue
	tries: int = 0  # how often it may go back


def claims_key(bench_id: str) -> str:
	"""Frappe's Redis ACL lets a bench write rq:[^q]* only."""
	return f"rq:fmx:{bench_id}:claims"


def failures_key(bench_id: str) -> str:
	"""A hash: id of a killed job whose failure nobody has recorded yet → its claim."""
	return f"rq:fmx:{bench_id}:failures"


def call_key(bench_id: str, name: str) -> str:
	"""A list: whoever called that worker. It expires."""
	return f"rq:fmx:{bench_id}:call:{name}"


def lookout_keys(bench_id: str, queue_keys: Sequence[str]) -> list[str]:
	"""Of the workers with these queues, in any order: the lookout, and those that wait to be called. They expire."""
	start = len(f"{Queue.redis_queue_namespace_prefix}{bench_id}:")
	names = ",".join(sorted(key[start:] for key in queue_keys))
	return [f"rq:fmx:{bench_id}:{what}:{names}" for what in ("lookout", "waiting")]


def bench_of(queue_name: str) -> str:
	"""Frappe's names of queues are <bench id>:<queue>."""
	return queue_name.rpartition(":")[0]


def parsed(raw: bytes) -> Claim | None:
	"""None for what is no claim."""
	try:
		fields = json.loads(raw.decode(errors="surrogateescape"))
		state, queue, id, at = (fields[name] for name in ("state", "queue", "id", "at"))
		process = str(fields.get("process", ""))
	except (ValueError, TypeError, KeyError):
		return None
	is_claim = isinstance(queue, str) and isinstance(id, str) and isinstance(at, int | float)
	return Claim(state, queue, id, at, raw, process) if is_claim and state in ("popped", "started") else None


class Claims:
	"""
	`name`: of the worker that asks. `process`: its own, as owners.identity() writes it; empty: its record tells. `has_parent`: a
	pool that follows requests to more than this worker by itself.
	"""

	def __init__(
		self, connection: Redis, bench_id: str, name: str, process: str = "", *, has_parent: bool = False
	) -> None:
		self.connection, self.key, self.name = connection, claims_key(bench_id), name
		self._bench_id, self._lookout = bench_id, []
		self.call = call_key(bench_id, name)
		self._keys, self._process = [self.key, WORKERS_SUSPENDED], process
		self._failures = failures_key(bench_id)
		self.others = 1  # who have a claim, as the last pop told
		record = Worker.redis_worker_namespace_prefix + name
		self._pops = [*self._keys, requests_key(bench_id), record, place_key(bench_id), lock_key(bench_id)]
		self._whom = [*([] if has_parent else [ALL, of_host(socket.gethostname())]), of_worker(name)]
		self.asked = self.answered = (
			0  # numbers of requests for a reload: as the last pop told, followed or refused
		)
		self.is_lookout = False  # as the last pop told
		scripts = map(connection.register_script, (POP, START, LET_GO, RECORD, LEAVE))
		self._pop, self._start, self._let_go, self._record, self._leave = scripts

	def pop(
		self,
		queue_keys: Sequence[str],
		recycles: str = "",
		seconds: float = IN_PLACE_WITHIN,
		*,
		stays: bool = False,
	) -> tuple[str, Claim | None, dict[bytes, bytes]]:
		"""
		What is to be done, as POP in scripts.py says it, the claim where there is one, and the record of its job, empty where that
		is gone. `recycles`: whether this worker should be recycled, as POP takes it; `seconds`: how long it keeps the place.
		`stays`: it waits where there is no job.
		"""
		self._lookout = lookout_keys(self._bench_id, queue_keys)
		arguments = [self.name, self._process, self.answered, recycles, int(seconds), int(stays), *self._whom]
		keys = [*self._pops, *self._lookout, *queue_keys]
		what, raw, self.others, *record = self._pop(keys=keys, args=arguments)
		self.is_lookout = what == b"none" and raw == b"1"
		if what == b"reload":
			self.asked = int(raw)
		fields = iter(record[0] if record else ())
		return what.decode(), parsed(raw), dict(zip(fields, fields, strict=True))

	def start(self, claim: Claim, killed: KilledJob, seconds: float) -> bool:
		"""Whether the job may be run. `seconds`: until RQ gives it up, unless its worker beats."""
		registry = StartedJobRegistry.key_template.format(claim.queue_name)
		listed_for = "" if HAS_EXECUTIONS else int(seconds)
		id = claim.id.encode(errors="surrogateescape")
		arguments = [self.name, id, killed.policy, killed.tries, listed_for]
		return bool(self._start(keys=[*self._keys, registry], args=arguments))

	def let_go(
		self, owner: str, raw: bytes = b"", *, is_owner: bool = False, is_killed: bool = False
	) -> tuple[str, Claim | None]:
		"""
		What became of the job, as LET_GO in scripts.py says it. `raw`: nothing happens to another claim than this.
		`is_killed`: a job that was not started counts as killed, too.
		"""
		flags = [int(is_owner), int(is_killed), MOST_TRIES, int(HAS_EXECUTIONS)]
		what, held = self._let_go(keys=[*self._keys, self._failures], args=[owner, raw, *flags])
		return what.decode(), parsed(held)

	def leave(self) -> None:
		"""This worker waits no more: if it was the lookout, another one is from now on."""
		if self._lookout:
			self._leave(keys=[*self._keys, *self._lookout], args=[self.name])

	def unrecorded(self) -> list[tuple[str, Claim]]:
		"""Killed jobs whose failure is to be recorded now, each with the name of the worker that had it."""
		found = []
		for claim in read_claims(self.connection, self._failures).values():
			id = claim.id.encode(errors="surrogateescape")
			what, owner = self._record(keys=[self._failures], args=[id, claim.raw])
			if what == b"failed":
				found.append((owner.decode(errors="surrogateescape"), claim))
		return found

	def recorded(self, id: str) -> None:
		"""The failure of a killed job is."""
		self.connection.hdel(self._failures, id.encode(errors="surrogateescape"))

	def forget(self) -> None:
		"""This worker's own: its job is gone."""
		self.connection.hdel(self.key, self.name)

	def bury(self, claim: Claim) -> None:
		"""A job that RQ itself cannot read: it counts as failed, and a person may look at it."""
		pipe = self.connection.pipeline()
		pipe.hset(f"{Job.redis_job_namespace_prefix}{claim.id}", "status", "failed")
		failed = FailedJobRegistry.key_template.format(claim.queue_name)
		pipe.zadd(failed, {claim.id: time.time() + FAILURE_KEPT})
		pipe.hdel(self.key, self.name)
		pipe.execute()
		remove_started(self.connection, claim)

	def of_others(self) -> dict[str, Claim]:
		"""Worker's name → claim."""
		found = read_claims(self.connection, self.key)
		return {name: claim for name, claim in found.items() if name != self.name}


def read_claims(connection: Redis, key: str) -> dict[str, Claim]:
	"""Worker's name → claim. What is none is left out."""
	held = connection.hgetall(key)
	found = {name.decode(errors="surrogateescape"): parsed(raw) for name, raw in held.items()}
	return {name: claim for name, claim in found.items() if claim}


def remove_started(connection: Redis, claim: Claim) -> None:
	"""What RQ lists of it as started, whichever execution: its failure is recorded."""
	key = StartedJobRegistry.key_template.format(claim.queue_name)
	for member in connection.zrange(key, 0, -1):
		id = member.decode(errors="surrogateescape")
		if (id.rpartition(":")[0] if HAS_EXECUTIONS else id) == claim.id:
			connection.zrem(key, member)
