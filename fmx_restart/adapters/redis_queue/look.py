"""One look at all workers and queues of a bench: one script, one round trip, nothing is moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from redis import Redis
from rq.registry import StartedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.engine.ports import Look, StartedJob, Worker, WorkerState

SCRIPT = (Path(__file__).parent / "look.lua").read_text()
STATES = {state.value: state for state in WorkerState}


class Looker:
	def __init__(self, connection: Redis, bench_id: str) -> None:
		self.connection, self.prefix = connection, f"{bench_id}:"
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
		(seconds, microseconds), suspension, others, records, depths, started = answer
		workers = [self._worker(text(record)) for record in records]
		workers += self._lost(workers)
		self._seen = {worker.name: worker for worker in workers}
		return Look(
			time=int(seconds) + int(microseconds) / 1e6,
			workers=tuple(workers),
			depths={text(queue): depth for queue, depth in depths},
			started=tuple(started_job(entry) for entry in started if not keys.is_wake(text(entry[0]))),
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
			pipe.hmget(keys.WORKER_PREFIX + name, "death", "state", "current_job", "last_heartbeat")
		for name, (death, state, job_id, beat) in zip(missing, pipe.execute(), strict=True):
			worker = replace(self._seen[name], is_recorded=False, expires=None)
			if state:
				job = None if not job_id or keys.is_wake(text(job_id)) else text(job_id)
				worker = replace(worker, state=STATES.get(text(state), WorkerState.STARTED), job_id=job)
			if not death:
				yield replace(worker, heartbeat=instant(text(beat)) or worker.heartbeat)

	def _worker(self, record: str) -> Worker:
		name, host, pid, queues, state, job_id, born, heartbeat, leaving, expires = record.split("\0")
		ours = [queue for queue in queues.split(",") if queue.startswith(self.prefix)]
		return Worker(
			name=name,
			host=host,
			pid=int(pid or 0),
			queues=tuple(queue[len(self.prefix) :] for queue in ours),
			state=STATES.get(state, WorkerState.STARTED),
			job_id=None if not job_id or keys.is_wake(job_id) else job_id,
			born=instant(born) or 0.0,
			heartbeat=instant(heartbeat) or 0.0,
			expires=int(expires) / 1000 if int(expires) >= 0 else None,
			is_leaving=bool(leaving),
		)


def started_job(entry: list) -> StartedJob:
	id, expires, worker = (text(field) for field in entry)
	return StartedJob(id, worker or None, float(expires))


def text(value: bytes | None) -> str:
	return "" if value is None else value.decode()


def instant(value: str) -> float | None:
	"""RQ's time stamps (rq/utils.py utcformat) as seconds since the epoch. Python 3.10 reads no final Z."""
	return datetime.fromisoformat(value.rstrip("Z") + "+00:00").timestamp() if value else None
