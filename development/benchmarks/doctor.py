"""
bench doctor beside Frappe's own on the same bench: both in processes of their own, on a private Redis with many jobs and
workers. Measured is the looking, without the start of Python and Frappe, and the most memory that it took on top.
Try: python3 -m development.benchmarks.doctor --help
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import redis
import rq

from development import current_bench
from development.benchmarks.look import BUSY_SHARE, QUEUES, add_job, add_worker
from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.wakes import FRAPPE_KWARGS
from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.bench.scratch import ScratchBench

BOUND = 1.0  # seconds of check time for 100 workers and 100,000 queued jobs
#: Run by Frappe's interpreter in the sites folder; the last line it prints is ours
MEASURED = """
import contextlib, io, json, resource, sys, time
import frappe
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
{prepare}
before, began, busy = peak(), time.perf_counter(), time.process_time()
with contextlib.redirect_stdout(io.StringIO()) as said:
	{act}
told = {{"seconds": time.perf_counter() - began, "processor": time.process_time() - busy}}
print(json.dumps({{**told, "memory": peak() - before, "said": said.getvalue()}}))
"""
WAYS = {
	"Frappe's own": ("from frappe.utils.doctor import doctor", "doctor(None)"),
	"bench doctor": (
		"from fmx_restart.wiring import examine; from fmx_restart.doctor.registry import CHECKS, DETAILS\n"
		"CHECKS.all(), DETAILS.all(); import frappe.utils.background_jobs\n"
		"import fmx_restart.recover, fmx_restart.doctor.runner",
		"print(json.dumps(examine().as_dict()))",
	),
}


@dataclass(frozen=True)
class Result:
	way: str
	jobs: int
	workers: int
	seconds: float  # median
	processor: float  # seconds of processor time of the process that looks, median
	memory: int  # bytes on top of what Python and Frappe take, most of all rounds


class Cleanups(ExitStack):
	"""What a scratch bench takes for a test case."""

	def addClassCleanup(self, act, *given) -> None:
		self.callback(act, *given)


def build(connection: redis.Redis, bench_id: str, workers: int, jobs: int) -> None:
	"""Copies of one real job with Frappe's own kwargs, and of one real worker."""
	connection.flushall()
	queues = [rq.Queue(f"{bench_id}:{name}", connection=connection) for name in QUEUES[1]]
	kwargs = {**FRAPPE_KWARGS, "method": "shop.orders.send", "kwargs": {"order": "SO-0001"}}
	job = queues[0].enqueue_call("frappe.utils.background_jobs.execute_job", kwargs=kwargs, timeout=300)
	fields = connection.hgetall(job.key)
	pipe = connection.pipeline(transaction=False)
	for number in range(jobs - 1):
		add_job(pipe, queues[number % len(queues)], fields, f"one.localhost||{uuid.uuid4()}")
		if number % 5000 == 0:
			pipe.execute()
	pipe.sadd(keys.QUEUES, *(queue.key for queue in queues))
	for number in range(workers):
		names = QUEUES[number % len(QUEUES)]
		add_worker(connection, pipe, names, is_busy=number % BUSY_SHARE == 0, bench_id=bench_id)
	pipe.execute()


def measure(scratch: ScratchBench, way: str) -> dict:
	"""One round in a process of its own."""
	prepare, act = WAYS[way]
	code = MEASURED.format(prepare=prepare, act=act)
	environment = {**os.environ, **scratch.bench.environment, **scratch.environment}
	command = [str(scratch.bench.python), "-c", code]
	done = subprocess.run(command, cwd=scratch.sites_path, env=environment, capture_output=True, text=True)
	if done.returncode:
		raise SystemExit(f"{way}: {done.stderr[-2000:]}")
	return json.loads(done.stdout.splitlines()[-1])


def compare(scratch: ScratchBench, jobs: int, workers: int, rounds: int) -> list[Result]:
	"""In turns, so that whatever else the machine does meets both."""
	told: dict[str, list[dict]] = {way: [] for way in WAYS}
	for _ in range(rounds):
		for way, measured in told.items():
			measured.append(measure(scratch, way))
			check_what_it_saw(way, measured[-1]["said"], jobs, workers)
	return [
		Result(
			way,
			jobs,
			workers,
			median(one["seconds"] for one in measured),
			median(one["processor"] for one in measured),
			max(one["memory"] for one in measured),
		)
		for way, measured in told.items()
	]


def check_what_it_saw(way: str, said: str, jobs: int, workers: int) -> None:
	"""Both must have looked at the same bench, or they are not comparable."""
	if way == "Frappe's own":
		counts = [int(line.split(":")[1]) for line in said.splitlines() if line.startswith("Number of Jobs")]
		seen = sum(counts), int(said.partition("Workers online:")[2].split()[0])
	else:
		details = json.loads(said)["details"]
		seen = sum(row["pending"] for row in details["queues"]), len(details["workers"])
	if seen != (jobs, workers):
		raise SystemExit(f"{way} saw {seen[0]} jobs and {seen[1]} workers, there are {jobs} and {workers}")


def table(results: list[Result]) -> str:
	lines = ["| queued jobs | way | seconds | processor | memory on top | Frappe's own takes |"]
	lines += ["| --- | --- | --- | --- | --- | --- |"]
	for result in results:
		frappes = next(r for r in results if r.way == "Frappe's own" and r.jobs == result.jobs)
		wall, busy = frappes.seconds / result.seconds, frappes.processor / result.processor
		ratio = "" if result is frappes else f"{wall:.1f} × as long, {busy:.1f} × the processor"
		numbers = f"{result.seconds:.2f} s | {result.processor:.2f} s | {result.memory / 2**20:.0f} MB"
		lines.append(f"| {result.jobs:,} | {result.way} | {numbers} | {ratio} |")
	return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/doctor.py", description=__doc__)
	top.add_argument("--workers", type=int, default=100, help="registered workers (default 100)")
	top.add_argument("--jobs", type=int, nargs="*", default=[100, 10_000, 100_000], help="queued jobs")
	top.add_argument("--rounds", type=int, default=3, help="rounds to take the median of (default 3)")
	top.add_argument("--json", type=Path, help="write the results into this file, too")
	options = top.parse_args(argv)
	results: list[Result] = []
	with Cleanups() as cleanups, tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp") as folder:
		server = RedisServer(Path(folder))
		cleanups.callback(server.stop)
		server.start()
		scratch = ScratchBench(current_bench(), cleanups)
		scratch.write_config(redis_queue=server.url())
		for jobs in options.jobs:
			build(server.connection(), scratch.id, options.workers, jobs)
			results += compare(scratch, jobs, options.workers, options.rounds)
	if options.json:
		options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
	print(f"rq {rq.VERSION}, redis-py {redis.__version__}, {options.workers} workers\n\n{table(results)}")
	slowest = max(result.seconds for result in results if result.way == "bench doctor")
	print(f"\nBound: {BOUND:g} s: {'met' if slowest <= BOUND else 'NOT met'} ({slowest:.2f} s)")
	return 0 if slowest <= BOUND else 1


if __name__ == "__main__":
	sys.exit(main())
