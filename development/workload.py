"""
Load for a bench, and the exact account of what became of it.

	with Workload(bench, journal, Mix(rate=5)) as workload:
		...  # restart something
	account = workload.settle()
	assert not account.lost and not account.run_twice
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from development.description import Bench
from development.errors import NotReady
from development.processes import find_process
from development.running import last_lines, wait_until
from development.services import redis

PRODUCER = Path(__file__).with_name("producer.py")
#: Seconds of silence after which a job that has not started will not start any more.
SILENCE = 2.0


@dataclass(frozen=True)
class Mix:
	"""What the stream consists of. Ordinary jobs take up to 0.2 s, some take several seconds."""

	#: Jobs a second.
	rate: float = 4.0
	#: The part of the jobs that takes long.
	long_share: float = 0.03
	#: How long those take, from and to.
	long_seconds: tuple[float, float] = (2.0, 5.0)
	#: The same seed gives the same stream.
	seed: int = 1


@dataclass(frozen=True)
class Account:
	"""What became of every job. The three last are tokens: for a restart worth its name, all are empty."""

	enqueued: int
	started: int
	ended: int
	#: Jobs whose caller got an error from `enqueue`.
	refused: int
	#: Longest time between two starts that follow each other, in seconds.
	longest_gap: float
	#: Enqueued, never started.
	lost: tuple[str, ...]
	run_twice: tuple[str, ...]
	#: Started, never ended.
	interrupted: tuple[str, ...]


class Workload:
	"""A producer process that puts jobs until it is stopped."""

	def __init__(self, bench: Bench, journal: Path, mix: Mix | None = None) -> None:
		self.bench = bench
		self.journal = journal.resolve()
		self.mix = mix or Mix()
		self.producer: subprocess.Popen | None = None

	def __enter__(self) -> Workload:
		self.start()
		return self

	def __exit__(self, *_error) -> None:
		self.stop()

	def start(self) -> None:
		"""Returns when the first job is in its queue."""
		options = {"site": self.bench.site, "journal": str(self.journal), **asdict(self.mix)}
		self.journal.touch()
		with self.log.open("w") as log:
			self.producer = subprocess.Popen(
				[str(self.bench.python), str(PRODUCER), json.dumps(options)],
				cwd=self.bench.sites_path,
				stdout=log,
				stderr=subprocess.STDOUT,
			)
		wait_until(self.has_begun, "the producer puts jobs", timeout=60, log=self.log)

	@property
	def log(self) -> Path:
		return self.journal.with_name(self.journal.name + ".producer.log")

	def has_begun(self) -> bool:
		if self.producer.poll() is not None:
			raise NotReady(f"the producer ended: {last_lines(self.log)}")
		return any(line["event"] in ("enqueued", "refused") for line in read_journal(self.journal))

	def stop(self) -> None:
		"""No further job is put when this returns."""
		if self.producer:
			self.producer.terminate()
			self.producer.wait(timeout=30)

	def settle(self, *, timeout: float = 120.0) -> Account:
		"""Wait until every job has ended, or until nothing runs and waits any more. Then count."""
		deadline = time.monotonic() + timeout
		silent_since = None
		while time.monotonic() < deadline:
			account = account_of(read_journal(self.journal))
			if not account.lost and not account.interrupted:
				return account
			silent_since = (silent_since or time.monotonic()) if is_silent(self.bench) else None
			if silent_since and time.monotonic() - silent_since > SILENCE:
				return account
			time.sleep(0.1)
		raise NotReady(f"jobs are still waiting or running after {timeout:.0f} s")


def is_silent(bench: Bench) -> bool:
	"""No job waits in a queue, and no living worker is at work."""
	port = bench.ports.redis_queue
	if any(redis(port, "LLEN", key) != ["0"] for key in redis(port, "SMEMBERS", "rq:queues")):
		return False
	workers = [redis(port, "HMGET", key, "pid", "state") for key in redis(port, "SMEMBERS", "rq:workers")]
	busy = [
		int(it[0]) for it in workers if it[1:] == ["busy"]
	]  # of a worker that was killed only its name is left
	return not any(find_process(pid) for pid in busy)


def read_journal(journal: Path) -> list[dict]:
	return [json.loads(line) for line in journal.read_text().splitlines()]


def account_of(lines: list[dict]) -> Account:
	starts = Counter(line["token"] for line in lines if line["event"] == "start")
	tokens = {
		event: {line["token"] for line in lines if line["event"] == event}
		for event in ("enqueued", "end", "refused")
	}
	times = sorted(line["time"] for line in lines if line["event"] == "start")
	return Account(
		enqueued=len(tokens["enqueued"]),
		started=len(starts),
		ended=len(tokens["end"]),
		refused=len(tokens["refused"]),
		longest_gap=max((later - earlier for earlier, later in pairwise(times)), default=0.0),
		lost=tuple(sorted(tokens["enqueued"] - starts.keys())),
		run_twice=tuple(sorted(token for token, count in starts.items() if count > 1)),
		interrupted=tuple(sorted(starts.keys() - tokens["end"])),
	)
