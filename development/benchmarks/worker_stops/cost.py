"""What a worker costs: pick-up of a job, throughput, commands of an idle one, a herd, and how soon the fence is seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from statistics import median

import psutil
from redis.client import Monitor
from rq.job import JobStatus

from development.benchmarks.worker_stops.trial import KINDS, fresh_bench
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.worker_bench import TIMES, WorkerBench, timed

HERDS = (1, 8, 20)
QUEUES = ("short", "long")
TURN = 1  # job of one kind of worker, then of the other: other work on the machine meets both
ARGUMENTS = {"site": "", "method": f"{timed.__module__}.timed", "kwargs": {}}
PACK = 10  # jobs that are there at once
OVER = "over"


@dataclass(frozen=True)
class Cost:
	kind: str
	pick_up: float  # milliseconds from before the enqueue to the first step of the job, median
	pick_up_99: float
	jobs_a_second: float
	commands_a_second: float  # of an idle worker


class Measured:
	"""A worker of one kind, on queues of its own. All kinds have one Redis."""

	def __init__(self, bench: WorkerBench, kind: str, workers: int = 1) -> None:
		self.kind, self.bench, self._ids = kind, WorkerBench(bench.server, bench.sites, id=kind), count()
		self.pids = [self.bench.start(*QUEUES, kind=kind) for _ in range(workers)]
		self.waits: list[float] = []
		self.rates: list[float] = []

	def pick_up(self) -> None:
		"""Of one job, by a worker that is idle."""
		time.sleep(0.025)
		began = time.monotonic()
		self.bench.enqueue_counted(f"{self.kind}-{next(self._ids)}", func=timed)
		_, at = self.bench.connection.blpop(TIMES)
		self.waits.append(float(at) - began)

	def run_a_pack(self) -> None:
		"""Jobs that come all at once: whoever enqueues them takes no part of the processor meanwhile."""
		queue, connection = self.bench.queue("short"), self.bench.connection
		jobs = [queue.create_job(timed, kwargs=ARGUMENTS, status=JobStatus.QUEUED) for _ in range(PACK)]
		for job in jobs:
			job.save()
		began = time.monotonic()
		connection.rpush(queue.key, *(job.id for job in jobs))
		eventually(lambda: connection.llen(TIMES) == PACK, self.bench.log, deadline=120)
		self.rates.append(PACK / (max(map(float, connection.lrange(TIMES, 0, -1))) - began))
		connection.delete(TIMES)

	@property
	def median(self) -> float:
		"""Seconds."""
		return median(self.waits)

	@property
	def late(self) -> float:
		"""As many seconds as one in a hundred takes."""
		return sorted(self.waits)[int(len(self.waits) * 0.99)]

	def cost(self) -> Cost:
		waits = (1000 * wait for wait in (self.median, self.late))
		return Cost(KINDS[self.kind], *waits, median(self.rates), idle(self.kind))


def costs(kinds: list[str], jobs: int) -> list[Cost]:
	"""`jobs`: of each kind, once for the pick-up, and once in packs."""
	with fresh_bench() as bench:
		measured = [Measured(bench, kind) for kind in kinds]
		try:
			for it in in_turns(measured, jobs // TURN):
				for _ in range(TURN):
					it.pick_up()
			for it in in_turns(measured, max(1, jobs // PACK)):
				it.run_a_pack()
		finally:
			for it in measured:
				it.bench.stop()
	return [it.cost() for it in measured]


def in_turns(measured: list[Measured], turns: int) -> Iterator[Measured]:
	"""Whoever is first in one turn is last in the next one."""
	for number in range(turns):
		yield from measured if number % 2 else measured[::-1]


def idle(kind: str, seconds: float = 10) -> float:
	"""Commands a second that it sends. What a script of Redis does is none."""
	with fresh_bench() as bench:
		bench.start(*QUEUES, kind=kind)
		time.sleep(0.5)
		with bench.connection.monitor() as monitor:
			time.sleep(seconds)
			bench.connection.echo(OVER)
			return sum(1 for _ in sent(monitor)) / seconds


def sent(monitor: Monitor) -> Iterator[str]:
	"""Commands of clients, until the one that says OVER."""
	while (told := monitor.next_command())["command"] != f"ECHO {OVER}":
		if told["client_type"] != "lua":
			yield told["command"]


def fence(workers: int) -> float:
	"""Seconds until each of so many idle workers has seen the suspension."""
	with fresh_bench() as bench:
		pids = [bench.start() for _ in range(workers)]
		time.sleep(1)
		bench.connection.set("rq:suspended", 1)
		began = time.monotonic()
		eventually(lambda: all(bench.state(pid) == "suspended" for pid in pids), "all have seen it")
		return time.monotonic() - began


@dataclass(frozen=True)
class Herd:
	kind: str
	workers: int  # that are idle, on two queues
	processor_ms_a_job: float  # of all of them
	redis_ms_a_job: float  # of the processor, too
	pick_up: float  # milliseconds, as in Cost
	pick_up_99: float


def herd(kind: str, workers: int, jobs: int) -> Herd:
	"""What one job costs all workers that wait for it."""
	with fresh_bench() as bench:
		measured = Measured(bench, kind, workers)
		pids = measured.pids
		time.sleep(2)
		before, redis_before = processor_seconds(pids), redis_seconds(bench)
		for _ in range(jobs):
			measured.pick_up()
		time.sleep(0.5)
		spent, redis_spent = processor_seconds(pids) - before, redis_seconds(bench) - redis_before
		measured.bench.stop()
	waits = (1000 * wait for wait in (measured.median, measured.late))
	return Herd(KINDS[kind], workers, 1000 * spent / jobs, 1000 * redis_spent / jobs, *waits)


def redis_seconds(bench: WorkerBench) -> float:
	told = bench.connection.info("cpu")
	return told["used_cpu_sys"] + told["used_cpu_user"]


def processor_seconds(pids: list[int]) -> float:
	"""Theirs and that of their jobs."""
	return sum(sum(psutil.Process(pid).cpu_times()[:4]) for pid in pids)
