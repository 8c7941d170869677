"""
How the queues of a bench stand, at a price that does not grow with their length: counters, and of the waiting jobs a
sample in even steps. Read-only: rq's own registries would move jobs when they are counted (rq/registry.py cleanup).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from rq import registry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.jobs import label_and_method
from fmx_restart.adapters.redis_queue.records import Record, Unreadable, of_its_type, raw, text

SCRIPT = (Path(__file__).parent / "survey.lua").read_text()
SAMPLE = 500  # jobs looked at per queue; a queue that is no longer is looked at as a whole
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
	"""Two round trips, whatever waits. What is no list counts as empty."""
	with redis_border():
		script = connection.register_script(SCRIPT)
		pipe = connection.pipeline(transaction=False)
		for queue in queues:
			name = f"{bench_id}:{queue}"
			script(keys=[keys.queue_key(name)], args=[SAMPLE, LARGEST, keys.JOB_PREFIX], client=pipe)
			for kind in COUNTED.values():
				pipe.zcard(keys.registry_key(kind, name))
			overdue = keys.registry_key(registry.ScheduledJobRegistry, name)
			pipe.zcount(overdue, "-inf", time.time() - LATE)
			pipe.lrange(keys.intermediate_key(name), 0, MOST_STRANDED - 1)
		answers = iter([of_its_type(answer) for answer in pipe.execute(raise_on_error=False)])
	each = len(COUNTED) + 3
	odd = unreadable or Unreadable()
	return [surveyed(queue, [next(answers) for _ in range(each)], odd) for queue in queues]


def surveyed(queue: str, answers: list, unreadable: Unreadable) -> QueueSurvey:
	head, *counts, overdue, stranded = answers
	length, sample = head or (0, [])
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


#: KEYS: a queue. ARGV: beginnings of ids, e.g. "a.com::" and "a.com||". How many ids begin so.
COUNT = """
local found = 0
for from = 0, redis.call('LLEN', KEYS[1]) - 1, 5000 do
	for _, id in ipairs(redis.call('LRANGE', KEYS[1], from, from + 4999)) do
		for _, stem in ipairs(ARGV) do
			if string.sub(id, 1, #stem) == stem then found = found + 1 end
		end
	end
end
return found
"""


def jobs_of_site(connection: Redis, bench_id: str, queues: Collection[str], site: str) -> dict[str, int]:
	"""Queue → waiting jobs, by their ids: Frappe 15 begins them with site::, Frappe 16 with site||."""
	stems = [f"{site}::", f"{site.replace(':', '|')}||"]
	with redis_border():
		script = connection.register_script(COUNT)
		pipe = connection.pipeline(transaction=False)
		for queue in queues:
			script(
				keys=[keys.queue_key(f"{bench_id}:{queue}")], args=[raw(stem) for stem in stems], client=pipe
			)
		counts = [of_its_type(answer) or 0 for answer in pipe.execute(raise_on_error=False)]
		return dict(zip(queues, counts, strict=True))
