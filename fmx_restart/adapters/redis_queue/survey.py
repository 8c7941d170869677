"""
How the queues of a bench stand, at a price that does not grow with their length: counters, and of the waiting jobs a
sample in even steps. Read-only: rq's own registries would move jobs when they are counted (rq/registry.py cleanup).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from redis import Redis, ResponseError
from redis.client import Pipeline
from redis.commands.core import Script
from rq import registry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.inventory import PAGE
from fmx_restart.adapters.redis_queue.jobs import label_and_method
from fmx_restart.adapters.redis_queue.records import Record, Unreadable, of_its_type, raw, text

SCRIPT = (Path(__file__).parent / "survey.lua").read_text()
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


@dataclass(frozen=True)
class Method:
	site: str
	name: str  # as Desk shows it: a scheduled job's type, a document's method
	plain: str  # what was enqueued
	jobs: int


@dataclass(frozen=True)
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
	"""A few round trips, whatever waits; none of them keeps Redis busy for long. What is no list counts as empty."""
	odd = unreadable or Unreadable()
	with redis_border():
		script = connection.register_script(SCRIPT)
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
	found: list = []
	while True:
		arguments = [SAMPLE, LARGEST, keys.JOB_PREFIX, len(found), PART]
		try:
			length, part = script(keys=[keys.queue_key(name)], args=arguments)
		except ResponseError as error:
			of_its_type(error)  # raises any other
			return 0, []
		found += part
		if not part or len(found) >= min(length, SAMPLE):
			return length, found


def surveyed(queue: str, answers: list, unreadable: Unreadable) -> QueueSurvey:
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
			size, found = script(keys=[keys.queue_key(name)], args=[-read - PAGE, -read - 1, *stems])
		except ResponseError as error:
			of_its_type(error)  # raises any other
			return 0
		number, read = number + found, read + size
		if size < PAGE:
			return number
