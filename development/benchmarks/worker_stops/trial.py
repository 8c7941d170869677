"""One kind of worker under one kind of fault: the jobs that come, and what became of each."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from redis.exceptions import ConnectionError, TimeoutError

from development.description import ROOT
from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.redis_server import RedisServer
from fmx_restart.tests.worker.worker_bench import WorkerBench, noted

KINDS = {"stock": "RQ's worker", "lossless": "this app's worker"}
QUEUES = ("one", "two")
LENGTHS = (0, 0, 0.03)  # seconds that jobs take
KEPT = 86_400  # seconds: by then they are counted
ENDED = ("finished", "failed")
FORGOTTEN = "forgotten"  # Redis has lost its data
#: Seconds without any job that ends after which what is left counts as it stands: RQ's worker looks after it in minutes
PATIENCE = {"stock": 8.0, "lossless": 150.0}
AWAY = (ConnectionError, TimeoutError)


@dataclass(frozen=True)
class Row:
	"""What one kind of worker made of it."""

	kind: str
	what: str
	jobs_come: str
	killed_jobs: str  # what becomes of them
	times: int
	jobs: int
	lost: int  # in no list, or in one that nobody serves
	left: int  # that count as started, and run nowhere
	failed: int  # and said so
	begun_twice: int
	remark: str = ""


@contextmanager
def fresh_bench(
	server: type[RedisServer] = RedisServer, *, port: bool = False, **settings
) -> Iterator[WorkerBench]:
	"""`port`: Redis listens on one of this machine. Nested machines and containers see its folder too."""
	base = ROOT / "trials" if port else Path("/tmp")  # a unix socket's path is short
	base.mkdir(parents=True, exist_ok=True)
	with tempfile.TemporaryDirectory(prefix="fmx", dir=base) as folder, sockets(port, folder) as of_socket:
		redis = server(Path(of_socket), data=Path(folder), port=free_port() if port else 0)
		redis.start()
		bench = WorkerBench(redis, Path(folder))
		bench.set(**settings)
		try:
			yield bench
		finally:
			bench.stop()
			redis.stop()


@contextmanager
def sockets(port: bool, folder: str) -> Iterator[str]:
	if not port:
		yield folder
		return
	with tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp") as short:
		yield short


class Trial:
	def __init__(self, bench: WorkerBench, kind: str, seed: int, queues: Sequence[str] = QUEUES) -> None:
		self.bench, self.kind, self.queues = bench, kind, queues
		self.chance, self.ids, self._numbers = random.Random(seed), [], count()

	def enqueue(self, **given) -> str:
		"""Its id, once it is in Redis, once: also where the answer got lost, or Redis is away for a while."""
		id = f"job-{next(self._numbers)}"
		self.ids.append(id)
		length = self.chance.choice(LENGTHS)
		given = {"func": noted, "seconds": length, "method": "works", "result_ttl": KEPT, **given}
		queue = self.chance.choice(self.queues)
		while True:
			with suppress(*AWAY):
				if not self.bench.connection.exists(f"rq:job:{id}"):
					self.bench.enqueue_counted(id, queue, **given)
				return id
			time.sleep(0.02)

	@contextmanager
	def load(self, gap: float, **given) -> Iterator[None]:
		"""Jobs come all the time, at most so many seconds after each other, and once more than the workers can do."""
		is_over = threading.Event()

		def arrive() -> None:
			while not is_over.wait(self.chance.uniform(0, gap)):
				self.enqueue(**given)

		thread = threading.Thread(target=arrive)
		thread.start()
		try:
			yield
		finally:
			is_over.set()
			thread.join()

	def settle(self) -> None:
		"""Until each job has ended, or none does so any more."""
		ended, since = -1, time.monotonic()
		while time.monotonic() - since < PATIENCE[self.kind]:
			found = self.statuses()
			now = sum(found[status] for status in (*ENDED, FORGOTTEN))
			if now == len(self.ids):
				return
			if now != ended:
				ended, since = now, time.monotonic()
			time.sleep(0.2)

	def statuses(self) -> Counter:
		pipe = self.bench.connection.pipeline(transaction=False)
		for id in list(self.ids):
			pipe.hget(f"rq:job:{id}", "status")
		return Counter((status or FORGOTTEN.encode()).decode() for status in pipe.execute())

	def row(self, what: str, times: int, jobs_come: str, killed_jobs: str = "fail", remark: str = "") -> Row:
		"""Of what stands in Redis now. Jobs that Redis has forgotten are named, not lost by a worker."""
		found = self.statuses()
		if found[FORGOTTEN]:
			remark = f"{remark}; {found[FORGOTTEN]} forgotten by Redis".removeprefix("; ")
		lost = len(self.ids) - sum(found[it] for it in (*ENDED, "started", FORGOTTEN))
		begun = self.bench.counted_notes()
		return Row(
			kind=KINDS[self.kind],
			what=what,
			jobs_come=jobs_come,
			killed_jobs=killed_jobs,
			times=times,
			jobs=len(self.ids),
			lost=lost,
			left=found["started"],
			failed=found["failed"],
			begun_twice=sum(begun[id, "begun"] > 1 for id in self.ids),
			remark=remark,
		)


class Keeper:
	"""Starts a worker again when it has ended, as any process manager does. `ended`: how often one did so by itself."""

	def __init__(self, trial: Trial, workers: int = 2) -> None:
		self._trial, self.ended, self._is_over = trial, 0, threading.Event()
		self.pids = [self.begin() for _ in range(workers)]
		self._thread = threading.Thread(target=self._keep)

	def begin(self) -> int:
		return self._trial.bench.begin(*self._trial.queues, kind=self._trial.kind)

	def __enter__(self) -> Keeper:
		self._thread.start()
		return self

	def __exit__(self, *_error) -> None:
		self._is_over.set()
		self._thread.join()

	def _keep(self) -> None:
		while not self._is_over.wait(0.1):
			for number, pid in enumerate(self.pids):
				if self._trial.bench.has_ended(pid):
					self.ended += 1
					self.pids[number] = self.begin()
