"""
What one look at a large bench costs: ours beside rq's own way to learn the same (Worker.all, then each worker's
state and job, then each queue's count), in one run, on a private Redis.
Try: python3 -m development.benchmarks.look --help
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import redis
import rq
from rq.job import Job

from fmx_restart.adapters.redis_queue import RedisQueue, keys
from fmx_restart.tests.adapters.redis_server import RedisServer

BENCH_ID = "home-frappe-frappe-bench"
QUEUES = (("short", "default"), ("long", "default", "short"))
BUSY_SHARE = 10  # one worker in so many runs a job
BOUND = 0.050  # seconds for 1,000 workers and 100,000 queued jobs


@dataclass(frozen=True)
class Result:
	method: str
	median: float  # seconds
	slowest: float  # seconds
	round_trips: int


def build(connection: redis.Redis, workers: int, jobs: int) -> None:
	"""Copies of one real worker and one real job, so that every field is there."""
	queues = {name: rq.Queue(f"{BENCH_ID}:{name}", connection=connection) for name in QUEUES[1]}
	job = queues["short"].enqueue_call("app.work", kwargs={"site": "one.localhost"}, timeout=300)
	job_hash = connection.hgetall(job.key)
	pipe = connection.pipeline(transaction=False)
	for number in range(jobs - 1):
		queue = list(queues.values())[number % len(queues)]
		add_job(pipe, queue, job_hash, f"one.localhost||{uuid.uuid4()}")
		if number % 5000 == 0:
			pipe.execute()
	for queue in queues.values():
		pipe.sadd(keys.QUEUES, queue.key)
	pipe.execute()
	for number in range(workers):
		add_worker(connection, pipe, QUEUES[number % len(QUEUES)], is_busy=number % BUSY_SHARE == 0)
	pipe.execute()


def add_job(pipe: redis.client.Pipeline, queue: rq.Queue, fields: dict, id: str) -> None:
	pipe.hset(keys.job_key(id), mapping={**fields, "origin": queue.name})
	pipe.rpush(queue.key, id)


def add_worker(
	connection: redis.Redis,
	pipe: redis.client.Pipeline,
	queues: tuple[str, ...],
	*,
	is_busy: bool,
	bench_id: str = BENCH_ID,
) -> None:
	names = [f"{bench_id}:{queue}" for queue in queues]
	worker = rq.Worker(names, connection=connection, prepare_for_work=False)
	worker.pid, worker.hostname, worker.ip_address = 4242, "erp-1", "unknown"
	worker.register_birth()
	if is_busy:
		job = Job.create("app.work", id=f"one.localhost||{uuid.uuid4()}", connection=connection)
		member = f"{job.id}:{uuid.uuid4().hex}" if keys.HAS_EXECUTIONS else job.id
		pipe.hset(worker.key, mapping={"state": "busy", "current_job": job.id})
		pipe.hset(job.key, mapping={"worker_name": worker.name, "status": "started"})
		pipe.zadd(f"rq:wip:{names[0]}", {member: time.time() + 90})
	else:
		pipe.hset(worker.key, "state", "idle")


def rqs_way(connection: redis.Redis) -> tuple[int, int]:
	"""Returns how many workers and waiting jobs there are, having read what a look tells."""
	workers = rq.Worker.all(connection=connection)
	for worker in workers:
		worker.get_state()
		worker.get_current_job_id()
	return len(workers), sum(queue.count for queue in rq.Queue.all(connection=connection))


def our_way(queue: RedisQueue) -> tuple[int, int]:
	look = queue.look()
	return len(look.workers), sum(look.depths.values())


def measure(method: str, connection: redis.Redis, times: int, act: Callable[[], tuple[int, int]]) -> Result:
	"""Both ways must see the same bench, or they are not comparable."""
	seen = act()  # scripts loaded, connection open
	before = reads(connection)
	took = []
	for _ in range(times):
		began = time.perf_counter()
		if act() != seen:
			raise AssertionError(f"{method} saw something else the second time")
		took.append(time.perf_counter() - began)
	round_trips = (reads(connection) - before - 1) // times
	return Result(method, statistics.median(took), max(took), round_trips)


def reads(connection: redis.Redis) -> int:
	"""Read events on the server: one for each request that came alone or in a small pipeline."""
	return connection.info("stats")["total_reads_processed"]


def table(results: list[Result], workers: int, jobs: int) -> str:
	lines = [f"{workers} workers, {jobs} queued jobs, rq {rq.VERSION}, redis-py {redis.__version__}", ""]
	lines += ["| method | median | slowest | round trips |", "| --- | --- | --- | --- |"]
	for result in results:
		times = f"{result.median * 1000:.1f} ms | {result.slowest * 1000:.1f} ms"
		lines.append(f"| {result.method} | {times} | {result.round_trips} |")
	return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/look.py", description=__doc__)
	top.add_argument("--workers", type=int, default=1000, help="registered workers (default 1000)")
	top.add_argument("--jobs", type=int, default=100_000, help="queued jobs (default 100000)")
	top.add_argument("--times", type=int, default=20, help="looks to take the median of (default 20)")
	top.add_argument("--json", type=Path, help="write the results into this file, too")
	options = top.parse_args(argv)
	with tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp") as folder:
		server = RedisServer(Path(folder))
		server.start()
		try:
			results = compare(server.connection(), options)
		finally:
			server.stop()
	if options.json:
		options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
	print(table(results, options.workers, options.jobs))
	is_met = results[0].median <= BOUND
	print(f"\nBound: {BOUND * 1000:.0f} ms and one round trip: {'met' if is_met else 'NOT met'}")
	return 0 if is_met and results[0].round_trips == 1 else 1


def compare(connection: redis.Redis, options: argparse.Namespace) -> list[Result]:
	build(connection, options.workers, options.jobs)
	queue = RedisQueue(connection, BENCH_ID, "benchmark")
	return [
		measure("one look of ours", connection, options.times, lambda: our_way(queue)),
		measure("rq's own way", connection, 3, lambda: rqs_way(connection)),
	]


if __name__ == "__main__":
	sys.exit(main())
