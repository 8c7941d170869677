"""What the queues and workers look like: one script, one round trip for all workers; counters for long queues."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from redis import Redis, ResponseError
from redis.client import Pipeline
from redis.commands.core import Script
from rq import registry
from rq.registry import StartedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.inventory import PAGE
from fmx_restart.adapters.redis_queue.jobs import label_and_method
from fmx_restart.adapters.redis_queue.records import (
	Record,
	Unreadable,
	instant,
	of_its_type,
	pid,
	raw,
	text,
)
from fmx_restart.adapters.setting_rules import number
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import (
	Look,
	Membership,
	Pool,
	ReloadRecord,
	Scheduler,
	StartedJob,
	Worker,
	WorkerState,
)
from fmx_restart.worker.membership import pool_key
from fmx_restart.worker.scheduler import record_key

LOOK = (Path(__file__).parent / "look.lua").read_text()
MOST_DIGITS = 15  # of numbers that others wrote
STATES = {state.value: state for state in WorkerState}


class Looker:
	def __init__(self, connection: Redis, bench_id: str, unreadable: Unreadable | None = None) -> None:
		self.connection, self.prefix = connection, f"{bench_id}:"
		self.unreadable = unreadable or Unreadable()
		self._seen: dict[str, Worker] = {}
		self._pools: tuple[Pool, ...] = ()  # also those whose workers have just left
		self._script = connection.register_script(LOOK)
		self._args = [
			keys.WORKER_PREFIX,
			keys.QUEUE_PREFIX + self.prefix,
			self.prefix,
			StartedJobRegistry.key_template.format(""),
			keys.JOB_PREFIX,
			"1" if keys.HAS_EXECUTIONS else "0",
			pool_key(bench_id, ""),
			record_key(bench_id),
		]

	def look(self) -> Look:
		args = [*self._args, *(raw(pool.name) for pool in self._pools)]
		answer = self._script(keys=[keys.WORKERS, keys.QUEUES, keys.SUSPENDED], args=args)
		(seconds, microseconds), suspension, others, records, depths, started, odd, pools, scheduler = answer
		for kind, name, reason in odd:
			self.unreadable.note(text(kind), text(name), text(reason))
		workers = [self._worker(text(record)) for record in records]
		workers += self._lost(workers)
		self._seen = {worker.name: worker for worker in workers}
		self._pools = tuple(pool for told in pools if (pool := pool_of(text(told), self.prefix)))
		return Look(
			time=int(seconds) + int(microseconds) / 1e6,
			workers=tuple(workers),
			depths={text(queue): depth for queue, depth in depths},
			started=tuple(self._started(entry) for entry in started if not keys.is_wake(text(entry[0]))),
			suspension=text(suspension) if suspension is not None else None,
			other_benches={text(bench): workers for bench, workers in others},
			pools=self._pools,
			scheduler=scheduler_of(text(scheduler)) if scheduler else None,
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
		name, host, process, queues, state, job, born, heartbeat, leaving, mark, *about, expires = (
			record.split("\0")
		)
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
			is_lossless=bool(mark),
			reload=reload_record(host, process, about) if mark else None,
			membership=membership(about) if mark else None,
		)

	def _started(self, entry: list) -> StartedJob:
		id, expires, worker = (text(field) for field in entry)
		score = number(expires)
		return StartedJob(id, worker or None, math.inf if score is None else score)


def reload_record(host: str, process: str, about: Sequence[str]) -> ReloadRecord | None:
	"""
	None for a worker that cannot reload: of a pool, whose process would have to, or of an older version of this app. `about`: the
	fields of worker/owners.py and worker/reload.py, as look.lua asks for them.
	"""
	space, born, pool, *reloads = about
	return None if pool else reloads_of(f"{host} {space} {process} {born}", *reloads)


def reloads_of(identity: str, times: str, answered: str, refused: str) -> ReloadRecord | None:
	"""None where that cannot be read."""
	if not times.isdecimal() or not answered.isdecimal():
		return None
	return ReloadRecord(identity, int(times[:MOST_DIGITS]), int(answered[:MOST_DIGITS]), refused)


def membership(about: Sequence[str]) -> Membership | None:
	"""As reload_record."""
	_, _, pool, times, *_ = about
	return Membership(pool, int(times[:MOST_DIGITS])) if pool and times.isdecimal() else None


def pool_of(told: str, prefix: str) -> Pool | None:
	"""None where it cannot be read, or is of an older version of this app. `prefix`: of this bench's queues."""
	name, host, process, queues, size, space, born, *reloads, trying = told.split("\0")
	record = reloads_of(f"{host} {space} {process} {born}", *reloads)
	ours = [queue for queue in queues.split(",") if queue.startswith(prefix) and is_text(queue)]
	if record is None or not pid(process) or not ours or not size.isdecimal():
		return None
	names = tuple(queue[len(prefix) :] for queue in ours)
	return Pool(name, host, pid(process), names, int(size[:MOST_DIGITS]), record, bool(trying))


def scheduler_of(told: str) -> Scheduler | None:
	"""None where it looks for requests after its ticks only, as with an older version of this app."""
	_, host, process, looks, space, born, *reloads, trying, ticking = told.split("\0")
	record = reloads_of(f"{host} {space} {process} {born}", *reloads)
	if record is None or not looks or not pid(process):
		return None
	return Scheduler(host, pid(process), record, bool(trying), bool(ticking))


def is_text(name: str) -> bool:
	"""RQ itself can use no other name of a queue."""
	return not any("\udc80" <= char <= "\udcff" for char in name)


def known_job(id: str) -> str | None:
	"""The id of a job; None for none and for a wake-up."""
	return None if not id or keys.is_wake(id) else id


def state_of(text: str, job_id: str | None) -> WorkerState:
	"""A word that RQ does not have: at work where it has a job, else to be woken, after which it says what it does."""
	if not text:
		return WorkerState.STARTED
	return STATES.get(text) or (WorkerState.BUSY if job_id else WorkerState.IDLE)


SURVEY = (Path(__file__).parent / "survey.lua").read_text()
SAMPLE = 500  # jobs looked at per queue; a queue that is no longer is looked at as a whole
PART = 100  # of these in one call
LARGEST = 16_384  # bytes; the data of larger jobs are not looked at
LATE = 120.0  # seconds after its time that a scheduled job is overdue
MOST_STRANDED = 1000  # ids
COUNTED = {
	"started": registry.StartedJobRegistry,
	"failed": registry.FailedJobRegistry,
	"deferred": registry.DeferredJobRegistry,
	"scheduled": registry.ScheduledJobRegistry,
	"finished": registry.FinishedJobRegistry,
}


@frozen
class Method:
	site: str
	name: str  # as Desk shows it: a scheduled job's type, a document's method
	plain: str  # what was enqueued
	jobs: int


@frozen
class QueueSurvey:
	name: str  # without the bench's prefix
	pending: int
	started: int
	failed: int
	deferred: int
	scheduled: int
	finished: int
	overdue: int  # scheduled jobs whose time has passed
	stranded: tuple[str, ...]  # ids in RQ's intermediate list, also those that are just being popped
	oldest: float | None  # seconds since the epoch; of the sample
	sample: int  # jobs looked at
	methods: tuple[Method, ...]  # of the sample; the most frequent first


def survey(
	connection: Redis, bench_id: str, queues: Collection[str], unreadable: Unreadable | None = None
) -> list[QueueSurvey]:
	"""A few round trips, whatever waits; none of them keeps Redis busy for long. What is not a list counts as empty."""
	odd = unreadable or Unreadable()
	with redis_border():
		script = connection.register_script(SURVEY)
		pipe = connection.pipeline(transaction=False)
		for queue in queues:
			count(pipe, f"{bench_id}:{queue}")
		answers = iter([of_its_type(answer) for answer in pipe.execute(raise_on_error=False)])
		return [
			surveyed(queue, [sample(script, f"{bench_id}:{queue}"), *islice(answers, len(COUNTED) + 2)], odd)
			for queue in queues
		]


def count(pipe: Pipeline, name: str) -> None:
	"""Ask for all but the sample."""
	for kind in COUNTED.values():
		pipe.zcard(keys.registry_key(kind, name))
	overdue = keys.registry_key(registry.ScheduledJobRegistry, name)
	pipe.zcount(overdue, "-inf", time.time() - LATE)
	pipe.lrange(keys.intermediate_key(name), 0, MOST_STRANDED - 1)


def sample(script: Script, name: str) -> tuple[int, list]:
	"""The length of the queue, and its sample, part by part."""
	jobs: list = []
	while True:
		arguments = [SAMPLE, LARGEST, keys.JOB_PREFIX, len(jobs), PART]
		try:
			length, part = script(keys=[keys.queue_key(name)], args=arguments)
		except ResponseError as error:
			of_its_type(error)  # raises any other
			return 0, []
		jobs += part
		if not part or len(jobs) >= min(length, SAMPLE):
			return length, jobs


def surveyed(queue: str, answers: list, unreadable: Unreadable) -> QueueSurvey:
	"""
	One queue from Redis' answers to its commands, in the order in which they were asked. `oldest` is in seconds since 1970.
	"""
	(length, sample), *counts, overdue, stranded = answers
	methods: Counter[tuple[str, str, str]] = Counter()
	instants = []
	for id, data, enqueued in sample:
		if not keys.is_wake(text(id)):
			record = Record(unreadable, "job", text(id))
			methods[label_and_method(data, record)] += 1
			instants.append(record.instant("enqueued_at", text(enqueued)))
	return QueueSurvey(
		name=queue,
		pending=length,
		**{name: counted or 0 for name, counted in zip(COUNTED, counts, strict=True)},
		overdue=overdue or 0,
		stranded=tuple(text(id) for id in stranded or () if not keys.is_wake(text(id))),
		oldest=min(filter(None, instants), default=None),
		sample=methods.total(),
		methods=tuple(Method(*names, number) for names, number in methods.most_common()),
	)


#: KEYS: a queue. ARGV: first and last index, beginnings of ids, e.g. "a.com::" and "a.com||". How many ids there are between
#: both, and how many of them begin so.
COUNT = """
local ids, found = redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2]), 0
for _, id in ipairs(ids) do
	for i = 3, #ARGV do
		if string.sub(id, 1, #ARGV[i]) == ARGV[i] then found = found + 1 end
	end
end
return {#ids, found}
"""


def jobs_of_site(connection: Redis, bench_id: str, queues: Collection[str], site: str) -> dict[str, int]:
	"""Queue → waiting jobs, by their ids: Frappe 15 begins them with site::, Frappe 16 with site||."""
	stems = [raw(f"{site}::"), raw(f"{site.replace(':', '|')}||")]
	with redis_border():
		script = connection.register_script(COUNT)
		return {queue: jobs_that_begin(script, f"{bench_id}:{queue}", stems) for queue in queues}


def jobs_that_begin(script: Script, name: str, stems: list[bytes]) -> int:
	"""Page by page from the back, so that Redis serves others in between, and jobs that are taken shift nothing."""
	number = read = 0
	while True:
		try:
			size, beginning = script(keys=[keys.queue_key(name)], args=[-read - PAGE, -read - 1, *stems])
		except ResponseError as error:
			of_its_type(error)  # raises any other
			return 0
		number, read = number + beginning, read + size
		if size < PAGE:
			return number
