"""
What the count of a million waiting jobs costs: the memory of the operation, the longest time that Redis served nobody else,
and the longest time between two renewals of lock and fence. On a private Redis; the operation is a process of its own.
Try: python3 -m development.benchmarks.million --help
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import redis
import rq

from fmx_restart.adapters.redis_queue import RedisQueue, keys
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.strategies import operation_for
from fmx_restart.tests.adapters.redis_server import RedisServer

BENCH_ID = "home-frappe-frappe-bench"
OPERATION = "20261122-120000-beef"
QUEUES = ("short", "default", "long")
CHUNK = 5000  # jobs made at once
#: KEYS: a queue. ARGV: number of fields and values, these, then ids of jobs
BUILD = """
local fields = {}
for i = 2, ARGV[1] + 1 do fields[i - 1] = ARGV[i] end
for i = ARGV[1] + 2, #ARGV do
	redis.call('HSET', 'rq:job:' .. ARGV[i], unpack(fields))
	redis.call('RPUSH', KEYS[1], ARGV[i])
end
"""
BOUNDS = {"memory": 150.0, "blocked": 0.05, "pause": 5.0}  # MB, seconds, seconds


@dataclass
class Result:
	jobs: int
	arrived: int
	ghosts: int
	seconds_to_open: float = 0.0
	seconds_to_close: float = 0.0
	memory_before: float = 0.0  # MB RSS, with all that an operation imports
	memory: float = 0.0  # MB RSS, the peak
	pause: float = 0.0  # the longest between two renewals of the same lease
	blocked: float = 0.0  # the longest command, by Redis' own slow log
	ping: float = 0.0  # the longest that someone else waited for an answer
	put_back: int = 0
	lost: int = 0
	commands: list[str] = field(default_factory=list)  # the slowest ones

	@property
	def is_good(self) -> bool:
		is_exact = (self.put_back, self.lost) == (self.ghosts, 0)
		return is_exact and all(getattr(self, name) <= bound for name, bound in BOUNDS.items())


def build(connection: redis.Redis, jobs: int) -> list[str]:
	"""Copies of one real job, in three queues. Returns the ids."""
	queues = [rq.Queue(f"{BENCH_ID}:{name}", connection=connection) for name in QUEUES]
	job = queues[0].enqueue_call("app.work", kwargs={"site": "one.localhost"}, timeout=300)
	script = connection.register_script(BUILD)
	made = [job.id]
	while len(made) < jobs:
		queue = queues[len(made) // CHUNK % len(queues)]
		ids = [f"one.localhost||{uuid.uuid4()}" for _ in range(min(CHUNK, jobs - len(made)))]
		fields = connection.hgetall(job.key) | {b"origin": queue.name.encode()}
		pairs = [part for pair in fields.items() for part in pair]
		for begin in range(0, len(ids), 500):
			script(keys=[queue.key], args=[len(pairs), *pairs, *ids[begin : begin + 500]])
		made += ids
	connection.sadd(keys.QUEUES, *(queue.key for queue in queues))
	return made


def lose(connection: redis.Redis, ids: list[str]) -> None:
	"""Workers pop them and die."""
	for id in ids:
		for name in QUEUES:
			connection.lrem(f"{keys.QUEUE_PREFIX}{BENCH_ID}:{name}", 1, id)


def count(url: str, arrived: int, ghosts: list[str], pipe) -> None:
	"""In a process of its own: what an operation does before and under its fence."""
	with suppress(ImportError):
		import_module("frappe.utils.background_jobs")
	import_module("fmx_restart.wiring")
	from fmx_restart.adapters.machine import SystemClock
	from fmx_restart.engine.options import Options
	from fmx_restart.engine.ports import Bench
	from fmx_restart.engine.steps.audit import close_ledger, open_ledger
	from fmx_restart.testing.bench import InMemoryBench

	connection = redis.Redis.from_url(url, socket_timeout=5)
	twin = InMemoryBench({}).port()
	owner = f"fmx_restart:{BENCH_ID}:"
	bench = Bench(
		id=BENCH_ID,
		path="/",
		queue=RedisQueue(connection, BENCH_ID, OPERATION),
		processes=twin.processes,
		host=twin.host,
		web=twin.web,
		lock=RedisLease(connection, keys.lock_key(BENCH_ID), OPERATION, seconds=LEASE),
		fence=RedisFence(connection, owner + OPERATION, seconds=LEASE, replaces=owner),
		clock=SystemClock(),
	)
	renewals = {name: noted(lease) for name, lease in (("lock", bench.lock), ("fence", bench.fence))}
	operation = operation_for(bench, Options(), lambda event: None, OPERATION)
	result = {"memory_before": peak()}
	with operation.locked():
		began = time.monotonic()
		open_ledger(operation)
		result["seconds_to_open"] = time.monotonic() - began
		pipe.send("opened")
		while not pipe.poll(0.05):
			operation.keep_alive()
		pipe.recv()
		with operation.fenced():
			began = time.monotonic()
			close_ledger(operation)
			result["seconds_to_close"] = time.monotonic() - began
	account = operation.report.account
	result |= {"memory": peak(), "put_back": account.requeued, "lost": len(account.lost)}
	result["pause"] = max(
		later - moment for moments in renewals.values() for moment, later in pairwise(moments)
	)
	if not account.is_balanced or account.waiting + account.requeued != account.total:
		raise AssertionError(f"the account is wrong: {account}")
	pipe.send(result)


def noted(lease: RedisLease | RedisFence) -> list[float]:
	"""The moments at which it is renewed from now on."""
	moments, hold, release = [], lease.hold, lease.release

	def renew(note: str = ""):
		moments.append(time.monotonic())
		return hold(note)

	def end() -> bool:
		moments.append(time.monotonic())
		return release()

	lease.hold, lease.release = renew, end
	return moments


def peak() -> float:
	"""MB. Not by getrusage: that counts from before this program was loaded into the process."""
	status = Path("/proc/self/status").read_text()
	return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Ping(threading.Thread):
	"""Someone else who uses this Redis."""

	def __init__(self, connection: redis.Redis) -> None:
		super().__init__(daemon=True)
		self.connection, self.longest, self.is_over = connection, 0.0, threading.Event()

	def run(self) -> None:
		while not self.is_over.wait(0.002):
			began = time.monotonic()
			self.connection.ping()
			self.longest = max(self.longest, time.monotonic() - began)


def measure(server: RedisServer, jobs: int, arrived: int, ghosts: int) -> Result:
	connection = server.connection()
	connection.flushall()
	ids = build(connection, jobs)
	victims = ids[:: max(1, len(ids) // max(1, ghosts))][:ghosts]
	result = Result(jobs, arrived, len(victims))
	connection.config_set("slowlog-log-slower-than", 2000)
	ours, theirs = multiprocessing.Pipe()
	context = multiprocessing.get_context("spawn")
	child = context.Process(target=count, args=(server.url(), arrived, victims, theirs))
	child.start()
	connection.slowlog_reset()
	ping = watched(server)
	wait_for(child, ours)
	note_slowest(result, connection, ping)
	build(connection, arrived) if arrived else None
	lose(connection, victims)
	connection.slowlog_reset()
	ping = watched(server)
	ours.send("go on")
	vars(result).update(wait_for(child, ours))
	note_slowest(result, connection, ping)
	child.join()
	return result


def watched(server: RedisServer) -> Ping:
	ping = Ping(server.connection())
	ping.start()
	return ping


def wait_for(child, pipe):
	while not pipe.poll(0.1):
		if not child.is_alive():
			raise AssertionError(f"the counting process ended with {child.exitcode}")
	return pipe.recv()


def note_slowest(result: Result, connection: redis.Redis, ping: Ping) -> None:
	ping.is_over.set()
	ping.join()
	slow = sorted(connection.slowlog_get(128), key=lambda entry: -entry["duration"])
	result.ping = max(result.ping, ping.longest)
	if slow:
		result.blocked = max(result.blocked, slow[0]["duration"] / 1e6)
	result.commands += [
		f"{one['duration'] / 1000:.0f} ms {one['command'][:60].decode(errors='replace')}" for one in slow[:3]
	]


def table(results: list[Result]) -> str:
	lines = [f"rq {rq.VERSION}, redis-py {redis.__version__}, Python {sys.version.split()[0]}", ""]
	lines.append(
		"| jobs before | arrived | ghosts put back | lost | open | close | memory before | peak | longest pause between two"
		" renewals | longest command | longest wait of another client |"
	)
	lines.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for r in results:
		counts = f"{r.jobs} | {r.arrived} | {r.put_back} of {r.ghosts} | {r.lost}"
		seconds = f"{r.seconds_to_open:.1f} s | {r.seconds_to_close:.1f} s"
		memory = f"{r.memory_before:.0f} MB | {r.memory:.0f} MB"
		lines.append(
			f"| {counts} | {seconds} | {memory} | {r.pause:.1f} s | {r.blocked * 1000:.0f} ms | {r.ping * 1000:.0f} ms |"
		)
	return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
	top = argparse.ArgumentParser(prog="development/benchmarks/million.py", description=__doc__)
	top.add_argument("--jobs", type=int, default=1_000_000, help="waiting jobs (default 1000000)")
	top.add_argument(
		"--arrived", type=int, default=0, help="jobs that come between the two counts (default 0)"
	)
	top.add_argument(
		"--ghosts", type=int, default=50, help="of the waiting jobs get lost meanwhile (default 50)"
	)
	top.add_argument("--json", type=Path, help="write the results into this file, too")
	options = top.parse_args(argv)
	with tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp") as folder:
		server = RedisServer(Path(folder))
		server.start()
		try:
			result = measure(server, options.jobs, options.arrived, options.ghosts)
		finally:
			server.stop()
	if options.json:
		options.json.write_text(json.dumps(asdict(result), indent=1))
	print(table([result]))
	print("\nSlowest commands:", "; ".join(result.commands))
	print(
		f"Bounds: 150 MB, 0.05 s blocked, 5 s between two renewals: {'met' if result.is_good else 'NOT met'}"
	)
	return 0 if result.is_good else 1


if __name__ == "__main__":
	sys.exit(main())
