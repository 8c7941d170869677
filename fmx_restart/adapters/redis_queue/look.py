"""One look at all workers and queues of a bench: one script, one round trip, nothing is moved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from redis import Redis
from rq.registry import StartedJobRegistry

from fmx_restart.adapters.numbers import number
from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.records import (
	Record,
	Unreadable,
	instant,
	of_its_type,
	pid,
	text,
)
from fmx_restart.engine.ports import Look, StartedJob, Worker, WorkerState

SCRIPT = (Path(__file__).parent / "look.lua").read_text()
STATES = {state.value: state for state in WorkerState}


class Looker:
	def __init__(self, connection: Redis, bench_id: str, unreadable: Unreadable | None = None) -> None:
		self.connection, self.prefix = connection, f"{bench_id}:"
		self.unreadable = unreadable or Unreadable()
		self._seen: dict[str, Worker] = {}
		self._script = connection.register_script(SCRIPT)
		self._args = [
			keys.WORKER_PREFIX,
			keys.QUEUE_PREFIX + self.prefix,
			self.prefix,
			StartedJobRegistry.key_template.format(""),
			keys.JOB_PREFIX,
			"1" if keys.HAS_EXECUTIONS else "0",
		]

	def look(self) -> Look:
		answer = self._script(keys=[keys.WORKERS, keys.QUEUES, keys.SUSPENDED], args=self._args)
		(seconds, microseconds), suspension, others, records, depths, started, odd = answer
		for kind, name, reason in odd:
			self.unreadable.note(text(kind), text(name), text(reason))
		workers = [self._worker(text(record)) for record in records]
		workers += self._lost(workers)
		self._seen = {worker.name: worker for worker in workers}
		return Look(
			time=int(seconds) + int(microseconds) / 1e6,
			workers=tuple(workers),
			depths={text(queue): depth for queue, depth in depths},
			started=tuple(self._started(entry) for entry in started if not keys.is_wake(text(entry[0]))),
			suspension=text(suspension) if suspension is not None else None,
			other_benches={text(bench): workers for bench, workers in others},
		)

	def _lost(self, recorded: list[Worker]) -> Iterator[Worker]:
		"""
		Seen before, and gone from RQ's list without a farewell: a Redis that lost its data. RQ enters a worker only when
		it starts; afterwards each writes just what changes. What it has not written since is as it was.
		"""
		missing = self._seen.keys() - {worker.name for worker in recorded}
		if not missing:
			return
		pipe = self.connection.pipeline(transaction=False)
		for name in missing:
			pipe.hmget(keys.worker_key(name), "death", "state", "current_job", "last_heartbeat")
		for name, answer in zip(missing, pipe.execute(raise_on_error=False), strict=True):
			death, state, job, beat = map(text, of_its_type(answer) or [None] * 4)
			worker = replace(self._seen[name], is_recorded=False, expires=None)
			if state:
				job_id = known_job(job)
				worker = replace(worker, state=state_of(state, job_id), job_id=job_id)
			if not death:
				yield replace(worker, heartbeat=instant(beat) or worker.heartbeat)

	def _worker(self, record: str) -> Worker:
		name, host, process, queues, state, job, born, heartbeat, leaving, expires = record.split("\0")
		ours = [queue for queue in queues.split(",") if queue.startswith(self.prefix) and is_text(queue)]
		reading, job_id = Record(self.unreadable, "worker", name), known_job(job)
		if not host or pid(process) is None:
			reading.note("it does not say which process it is")
		if (state and state not in STATES) or not heartbeat:
			reading.note("it does not say what it does, or since when")
		return Worker(
			name=name,
			host=host,
			pid=pid(process) or 0,
			queues=tuple(queue[len(self.prefix) :] for queue in ours),
			state=state_of(state, job_id),
			job_id=job_id,
			born=reading.instant("birth", born) or 0.0,
			heartbeat=reading.instant("last_heartbeat", heartbeat) or 0.0,
			expires=int(expires) / 1000 if int(expires) >= 0 else None,
			is_leaving=bool(leaving),
		)

	def _started(self, entry: list) -> StartedJob:
		id, expires, worker = (text(field) for field in entry)
		score = number(expires)
		return StartedJob(id, worker or None, math.inf if score is None else score)


def is_text(name: str) -> bool:
	"""RQ itself can use no other name of a queue."""
	return not any("\udc80" <= char <= "\udcff" for char in name)


def known_job(id: str) -> str | None:
	return None if not id or keys.is_wake(id) else id


def state_of(text: str, job_id: str | None) -> WorkerState:
	"""A word that RQ does not have: at work where it has a job, else to be woken, after which it says what it does."""
	if not text:
		return WorkerState.STARTED
	return STATES.get(text) or (WorkerState.BUSY if job_id else WorkerState.IDLE)
