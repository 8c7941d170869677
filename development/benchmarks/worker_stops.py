"""
Workers of this app beside RQ's, with the rq of the Python that runs this: stopped by TERM or KILL while jobs arrive, and what
they cost. No bench is needed. Try: python3 -m development.benchmarks.worker_stops --help
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
import rq

from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE, WorkerBench

KINDS = {"stock": "RQ's worker", "lossless": "this app's worker"}
HERDS = (1, 8, 20)
SETTLE = 60.0  # seconds until every job that is not lost has ended


@dataclass(frozen=True)
class Stops:
	"""What one kind of worker made of its stops."""

	kind: str
	signal: str
	arrivals: str  # just before the stop, or all the time
	queues: int
	policy: str
	stops: int
	jobs: int
	lost: int
	failed: int  # and said so
	begun_twice: int
	swallowed: int  # TERMs that a worker took no notice of


@contextmanager
def fresh_bench(**settings) -> Iterator[WorkerBench]:
	with tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp") as folder:
		server = RedisServer(Path(folder))
		server.start()
		bench = WorkerBench(server, Path(folder))
		bench.set(**settings)
		try:
			yield bench
		finally:
			bench.stop()
			server.stop()


@dataclass(frozen=True)
class Case:
	name: str  # of the signal
	queues: int
	policy: str
	load: bool


CASES = (
	*(Case("TERM", queues, "fail", load) for queues in (1, 3) for load in (False, True)),
	*(Case("KILL", 2, policy, False) for policy in ("fail", "requeue")),
)


def stops(kind: str, case: Case, rounds: int, seed: int) -> Stops:
	"""Two workers a round. Jobs come 0 to 4 ms before the signal (KILL: 0 to 50 ms), or all the time."""
	name, queues, policy, load = case.name, case.queues, case.policy, case.load
	chance, swallowed, ids = random.Random(seed), 0, []
	names = [f"q{number}" for number in range(queues)]
	window = 0.05 if name == "KILL" else 0.004
	with fresh_bench(fmx_restart_killed_jobs=policy) as bench:
		for _ in range(rounds):
			workers = [bench.start(*names, kind=kind) for _ in range(2)]
			for _ in range(chance.randrange(2, 9) if load else 2):
				ids.append(f"job-{len(ids)}")
				bench.enqueue_counted(ids[-1], chance.choice(names), seconds=chance.choice((0, 0, 0.03)))
				time.sleep(chance.uniform(0, 0.06) if load else 0)
			time.sleep(chance.uniform(0, window))
			for pid in workers:
				bench.signal(pid, getattr(signal, f"SIG{name}"))
			swallowed += sum(not has_left(bench, pid) for pid in workers)
		settle(bench, kind, names, ids)
		return Stops(
			kind=KINDS[kind],
			signal=name,
			arrivals="all the time" if load else "just before",
			queues=queues,
			policy=policy,
			stops=2 * rounds,
			jobs=len(ids),
			lost=sum(bench.status(id) not in ("finished", "failed") for id in ids),
			failed=sum(bench.status(id) == "failed" for id in ids),
			begun_twice=sum(bench.count(BEGUN, id) > 1 for id in ids),
			swallowed=swallowed,
		)


def has_left(bench: WorkerBench, pid: int) -> bool:
	process = bench._processes[pid]
	end = time.monotonic() + 5
	while process.poll() is None and time.monotonic() < end:
		time.sleep(0.01)
	if process.poll() is None:
		bench.kill(pid)
		return False
	bench.wait(pid)
	return True


def settle(bench: WorkerBench, kind: str, names: list[str], ids: list[str]) -> None:
	"""A last worker runs what waits, and looks after the claims of those that were killed."""
	bench.start(*names, kind=kind)
	end = time.monotonic() + (SETTLE if kind == "lossless" else 8)
	while time.monotonic() < end:
		if all(bench.status(id) in ("finished", "failed") for id in ids):
			return
		time.sleep(0.2)


@dataclass(frozen=True)
class Cost:
	kind: str
	pick_up: float  # milliseconds from enqueue to begin, median
	pick_up_99: float
	jobs_a_second: float
	commands_a_second: float  # of an idle worker


def cost(kind: str, jobs: int) -> Cost:
	with fresh_bench() as bench:
		bench.start("short", "long", kind=kind)
		waits = sorted(pick_up(bench, f"one-{number}") for number in range(jobs))
		began = time.monotonic()
		for number in range(jobs):
			bench.enqueue_counted(f"many-{number}")
		eventually(lambda: bench.count(DONE, f"many-{jobs - 1}"), "all are done", deadline=600)
		rate = jobs / (time.monotonic() - began)
		before, since = commands(bench), time.monotonic()
		time.sleep(10)
		idle = (commands(bench) - before) / (time.monotonic() - since)
		late = waits[int(len(waits) * 0.99)]
		return Cost(KINDS[kind], 1000 * median(waits), 1000 * late, rate, idle)


def pick_up(bench: WorkerBench, id: str) -> float:
	"""Seconds from the enqueue of a job to its first step, by a worker that is idle."""
	time.sleep(0.02)
	began = time.monotonic()
	bench.enqueue_counted(id)
	while not bench.count(BEGUN, id):
		time.sleep(0.0005)
	return time.monotonic() - began


OF_SCRIPTS = ("hget", "exists", "lpop", "hlen", "info")  # Redis counts what a script does, too


def commands(bench: WorkerBench) -> int:
	"""That were sent."""
	counts = bench.connection.info("commandstats").items()
	return sum(told["calls"] for name, told in counts if name.removeprefix("cmdstat_") not in OF_SCRIPTS)


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


def herd(kind: str, workers: int, jobs: int) -> Herd:
	"""What one job costs all workers that wait for it."""
	with fresh_bench() as bench:
		pids = [bench.start("short", "long", kind=kind) for _ in range(workers)]
		time.sleep(2)
		before = processor_seconds(pids)
		for number in range(jobs):
			bench.enqueue_counted(f"job-{number}")
			time.sleep(0.03)
		eventually(lambda: bench.count(DONE, f"job-{jobs - 1}"), "all are done", deadline=600)
		time.sleep(0.5)
		return Herd(KINDS[kind], workers, 1000 * (processor_seconds(pids) - before) / jobs)


def processor_seconds(pids: list[int]) -> float:
	"""Theirs and that of their jobs."""
	return sum(sum(psutil.Process(pid).cpu_times()[:4]) for pid in pids)


def table(rows: list) -> str:
	head = list(rows[0].__dataclass_fields__)
	lines = [" | ".join(head), " | ".join(["---"] * len(head))]
	for row in rows:
		cells = (getattr(row, name) for name in head)
		lines.append(" | ".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells))
	return "\n".join(f"| {line} |" for line in lines)


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/worker_stops.py", description=__doc__)
	top.add_argument(
		"--rounds", type=int, default=40, help="of two workers, for each kind of stop (default 40)"
	)
	top.add_argument("--jobs", type=int, default=300, help="for the cost (default 300; 0: not measured)")
	top.add_argument(
		"--workers", type=int, default=50, help="that see the fence (default 50; 0: not measured)"
	)
	top.add_argument("--kind", choices=KINDS, action="append", help="default: both")
	top.add_argument("--seed", type=int, default=7)
	given = top.parse_args(argv)
	kinds = given.kind or list(KINDS)
	print(f"rq {rq.VERSION}, Python {sys.version.split()[0]}\n")
	rows = []
	for case in CASES if given.rounds else ():
		for kind in kinds:
			if kind == "lossless" or case.policy == "fail":
				rows.append(stops(kind, case, given.rounds, given.seed))
				lines = table(rows[-1:]).splitlines()  # the head stands above the first one only
				print("\n".join(lines[2:] if rows[1:] else lines), flush=True)
	print()
	if given.jobs:
		print(table([cost(kind, given.jobs) for kind in kinds]), end="\n\n")
		print(table([herd(kind, workers, given.jobs) for workers in HERDS for kind in kinds]), end="\n\n")
	if given.workers:
		print(f"{given.workers} idle workers saw the fence within {fence(given.workers):.2f} s")
	lost = sum(row.lost for row in rows if row.kind == KINDS["lossless"])
	return 1 if lost else 0


if __name__ == "__main__":
	sys.exit(main())
