"""
Workers of this app as processes of their own, beside RQ's own ones, on the queues of one bench; and jobs that count how often
they begin and end.

python -m fmx_restart.tests.worker.worker_bench KIND OPTIONS URL QUEUE… is a worker.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import redis
import rq
from filelock import FileLock
from rq.job import Job
from rq.worker import SimpleWorker
from rq.worker_pool import WorkerPool

import fmx_restart
from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.adapters.rq_bench import CHECKOUT, RqBench, release_key
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.worker.claims import Claim, bench_of, claims_key, parsed
from fmx_restart.worker.lossless import Lossless
from fmx_restart.worker.membership import POOL, pool_key
from fmx_restart.worker.owners import IS_OURS
from fmx_restart.worker.pool import Pool
from fmx_restart.worker.scheduler import Clock, Ticks

CURSORS = "rq:test:cursors"
TICKS, TIMES = "rq:test:ticks", "rq:test:times"
NOTES = "notes.jsonl"  # in the bench's sites: what Redis may forget
BEGUN, DONE, FAILED = "rq:test:begun", "rq:test:done", "rq:test:failed"


class NoFork(Lossless, SimpleWorker):
	"""As Frappe's FrappeWorkerNoFork: a job runs in the worker's own process."""

	forks = False


KINDS = {"lossless": Lossless, "nofork": NoFork, "stock": rq.Worker}


class WorkerBench(RqBench):
	"""`folder`: for the bench's sites, where workers run and read their settings."""

	def __init__(self, server: RedisServer, folder: Path, **given) -> None:
		super().__init__(server, **given)
		self.sites = folder

	def set(self, **settings) -> None:
		(self.sites / "common_site_config.json").write_text(json.dumps(settings))

	#: How they are started; subprocess.Popen gives each an interpreter of its own
	popen: type[subprocess.Popen] = Forked

	def start(self, *queues: str, kind: str = "lossless", user: str | None = None, **options) -> int:
		"""Its pid, once it is idle or suspended, unless it works in burst mode: then once it has ended."""
		pid = self.begin(*queues, kind=kind, user=user, **options)
		if options.get("burst"):
			self.wait(pid)
		else:
			eventually(lambda: self.state(pid) in ("idle", "suspended", "busy"), self.log)
		return pid

	def begin(self, *queues: str, kind: str = "lossless", user: str | None = None, **options) -> int:
		"""Its pid, at once; of a pool, that of its parent."""
		command = [sys.executable, "-m", __name__, kind, json.dumps(options), self.server.url(user)]
		with (self.sites / "worker.log").open("a") as log:
			process = self.popen(
				[*command, *self.names(*(queues or ("short",)))],
				cwd=self.sites,
				env={**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{self.sites}"},
				stdin=subprocess.DEVNULL,
				stdout=log,
				stderr=log,
			)
		self._processes[process.pid] = process
		return process.pid

	@property
	def log(self) -> str:
		return "the worker is ready:\n" + (self.sites / "worker.log").read_text()

	def signal(self, pid: int, number: int) -> None:
		self._processes[pid].send_signal(number)

	def signal_horse(self, pid: int, number: int) -> None:
		"""The process of its job."""
		[horse] = psutil.Process(pid).children()
		horse.send_signal(number)

	def kill(self, pid: int) -> None:
		"""The worker's process alone, as the kernel kills it, at this instant."""
		process = self._processes.pop(pid)
		process.kill()
		process.wait()

	def wait(self, pid: int) -> int:
		"""Its exit code, once it has ended."""
		return self._processes.pop(pid).wait(30)

	def enqueue_counted(self, id: str, queue: str = "short", *, seconds: float = 0, **given) -> Job:
		inner = {"seconds": seconds, "waits": given.pop("waits", False)}
		on_failure = {"on_failure": given.pop("on_failure")} if "on_failure" in given else {}
		kwargs = {
			"site": "one.localhost",
			"method": given.pop("method", f"{__name__}.counted"),
			"kwargs": inner,
		}
		return self.queue(queue).enqueue_call(
			given.pop("func", counted),
			kwargs=kwargs,
			timeout=given.pop("timeout", 300),
			job_id=id,
			**on_failure,
			**given,
		)

	def has_ended(self, pid: int) -> bool:
		return pid not in self._processes or self._processes[pid].poll() is not None

	def worker_keys(self) -> set[bytes]:
		"""Of all workers that have registered; RQ forgets those that are gone after a while."""
		return self.connection.smembers("rq:workers")

	def records(self) -> list[dict[str, str]]:
		"""Of workers that have not taken leave."""
		keys = self.connection.smembers("rq:workers")
		return [fields for key in keys if "death" not in (fields := self.fields(key))]

	def fields(self, key: str | bytes) -> dict[str, str]:
		return {name.decode(): value.decode() for name, value in self.connection.hgetall(key).items()}

	def record(self, pid: int) -> dict[str, str]:
		return next((fields for fields in self.records() if fields.get("pid") == str(pid)), {})

	def pool_record(self) -> dict[str, str]:
		"""Of the only pool, as its workers name it."""
		names = {fields[POOL] for fields in self.records() if POOL in fields}
		return self.fields(pool_key(self.id, names.pop())) if len(names) == 1 else {}

	def state(self, pid: int) -> str | None:
		return self.record(pid).get("state")

	def is_ours(self, pid: int) -> bool:
		return IS_OURS in self.record(pid)

	def claims(self) -> dict[str, Claim]:
		held = self.connection.hgetall(claims_key(self.id))
		return {name.decode(): parsed(raw) for name, raw in held.items()}

	def status(self, id: str) -> str | None:
		value = self.connection.hget(f"rq:job:{id}", "status")
		return value and value.decode()

	def waiting(self, queue: str = "short") -> list[str]:
		return [id.decode() for id in self.connection.lrange(f"rq:queue:{self.id}:{queue}", 0, -1)]

	def count(self, key: str, id: str) -> int:
		return int(self.connection.hget(key, id) or 0)

	def notes(self, id: str) -> list[str]:
		"""What that job, one of `noted`, has done."""
		return [what for other, what in self._all_notes() if other == id]

	def counted_notes(self) -> Counter[tuple[str, str]]:
		"""Id, and what that job has done → how often."""
		return Counter(self._all_notes())

	def _all_notes(self) -> list[tuple[str, str]]:
		notes = self.sites / NOTES
		return [tuple(json.loads(line)) for line in notes.read_text().splitlines()] if notes.exists() else []

	def has_begun(self, id: str, times: int = 1) -> None:
		eventually(lambda: self.count(BEGUN, id) >= times, f"{id} has begun: {self.log}")

	def is_done(self, id: str) -> None:
		eventually(lambda: self.status(id) == "finished", f"{id} is done: {self.log}")


def counted(site: str, method: str, kwargs: dict) -> None:
	job = rq.get_current_job()
	job.connection.hincrby(BEGUN, job.id, 1)
	if kwargs["waits"]:
		job.connection.blpop(release_key(job.id), timeout=50)
	time.sleep(kwargs["seconds"])
	job.connection.hincrby(DONE, job.id, 1)


def timed(site: str, method: str, kwargs: dict) -> None:
	now = time.monotonic()
	rq.get_current_job().connection.rpush(TIMES, now)


def noted(site: str, method: str, kwargs: dict) -> None:
	"""As counted, but without Redis."""
	id = rq.get_current_job().id
	note(id, "begun")
	time.sleep(kwargs["seconds"])
	note(id, "done")
	if method == "raises":
		raise ZeroDivisionError


def note(id: str, what: str) -> None:
	with Path(NOTES).open("a") as notes:  # in one write, to the end
		notes.write(json.dumps([id, what]) + "\n")


def polite(site: str, method: str, kwargs: dict) -> None:
	"""Works until it is asked to end, and goes on where it was."""
	job = rq.get_current_job()
	job.connection.hincrby(BEGUN, job.id, 1)
	if "cursor" in kwargs:
		job.connection.rpush(CURSORS, json.dumps(kwargs))
		return None
	while not fmx_restart.should_stop():
		time.sleep(0.001)
	return fmx_restart.resume_later(cursor={"row": 7})


def on_failure(job: Job, connection: redis.Redis, kind: type, error: Exception, _traceback: object) -> None:
	connection.hincrby(FAILED, job.id, 1)


@fmx_restart.restartable(tries=2)
def decorated() -> None:
	"""Its name stands in jobs' arguments."""


def schedule(connection: redis.Redis, queues: tuple[str, ...], options: str) -> None:
	"""As Frappe's scheduler: it has a lock, and leaves where another one has it. With `tick`, it looks for requests between two."""
	tick = Ticks(lambda: connection.rpush(TICKS, os.getpid()), connection, bench_of(queues[0]), "json")
	lock = FileLock("scheduler_process")
	lock.acquire(blocking=False)
	sleep = time.sleep if options == "{}" else Clock(tick).sleep
	while True:
		sleep(0.05 if options == "{}" else json.loads(options)["tick"])
		tick()


def work(kind: str, options: str, url: str, *queues: str) -> None:
	connection = redis.Redis.from_url(url)
	if kind == "scheduler":
		schedule(connection, queues, options)
	if kind.endswith(" pool"):
		worker = KINDS[kind.removesuffix(" pool")]
		WorkerPool(queues, connection=connection, worker_class=worker, **json.loads(options)).start()
		return
	if kind == "pool":
		given = json.loads(options)
		multiprocessing.set_start_method(given.get("method", "fork"), force=True)
		worker_class = KINDS[given.get("worker", "lossless")]
		Pool(queues, connection=connection, worker_class=worker_class, num_workers=given["workers"]).start()
		return
	KINDS[kind]([rq.Queue(name, connection=connection) for name in queues], connection=connection).work(
		**json.loads(options)
	)


if __name__ == "__main__":
	from fmx_restart.tests.worker import (
		worker_bench,
	)  # as jobs name it: else each of them imports it once more

	worker_bench.work(*sys.argv[1:])
