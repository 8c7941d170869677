"""Real jobs of the development bench, put by real frappe.enqueue, and what they wrote down themselves."""

from __future__ import annotations

import atexit
import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil

from fmx_restart.tests.adapters.waiting import eventually

if TYPE_CHECKING:
	from development.description import Bench

HOLD = "fmx_restart.tests.bench.jobs.hold"
FORK = "fmx_restart.tests.bench.jobs.fork"
AGAIN = "fmx_restart.tests.bench.jobs.again"
GATED = {HOLD, FORK, AGAIN}  # these go on until the test lets them go
WORK = "fmx_workload.jobs.work"
#: Seconds for a job to be taken by a worker, or to end; the machine may be busy.
PATIENCE = 90.0


@dataclass(frozen=True)
class TestJob:
	"""One job, known by its token; `id` is RQ's."""

	__test__ = False  # pytest takes every class called Test… for one

	token: str
	id: str
	jobs: Jobs

	@property
	def starts(self) -> int:
		return self.jobs.events()[self.token, "start"]

	@property
	def ends(self) -> int:
		return self.jobs.events()[self.token, "end"]

	def wait_for_start(self) -> TestJob:
		eventually(lambda: self.starts, f"{self.id} has started", deadline=PATIENCE)
		return self

	def wait_for_end(self) -> TestJob:
		eventually(lambda: self.ends, f"{self.id} has ended", deadline=PATIENCE)
		return self

	def let_go(self) -> None:
		"""A held job ends; waits until it has."""
		self.jobs.gate(self.token).touch()
		self.wait_for_end()


class Enqueuer:
	"""enqueuer.py as a process. It starts with the first job, because it imports Frappe."""

	def __init__(self, bench: Bench, sites_path: Path | None = None, **environment: str) -> None:
		self.bench, self.sites_path = bench, sites_path or bench.sites_path
		self.environment = {**bench.environment, **environment}
		self._process: subprocess.Popen | None = None

	def put(self, request: dict) -> str:
		"""The job's id."""
		if self._process is None or self._process.poll() is not None:
			self._process = self._start()
		self._process.stdin.write(json.dumps(request) + "\n")
		self._process.stdin.flush()
		return json.loads(self._process.stdout.readline())

	def _start(self) -> subprocess.Popen:
		return subprocess.Popen(
			[str(self.bench.python), str(Path(__file__).with_name("enqueuer.py"))],
			cwd=self.sites_path,
			env=self.environment,
			stdin=subprocess.PIPE,
			stdout=subprocess.PIPE,
			text=True,
		)

	def close(self) -> None:
		if self._process and self._process.poll() is None:
			self._process.communicate(timeout=30)


#: Bench → the one for all classes of tests: to start one for each would take as long as several restarts.
_shared: dict[str, Enqueuer] = {}


def shared_enqueuer(bench: Bench) -> Enqueuer:
	if bench.name not in _shared:
		_shared[bench.name] = Enqueuer(bench)
		atexit.register(_shared[bench.name].close)
	return _shared[bench.name]


def close_shared() -> None:
	"""Those that tests of this process share."""
	for enqueuer in _shared.values():
		enqueuer.close()


class Jobs:
	"""
	`folder` holds the journal and the gates; `enqueuer` is one of their own, where the bench's does not do. Close them: that
	lets every held job go.
	"""

	def __init__(self, bench: Bench, folder: Path, enqueuer: Enqueuer | None = None) -> None:
		self.bench, self.folder = bench, folder
		self.journal = folder / "jobs.jsonl"
		self.journal.touch()
		self._tokens: list[str] = []
		self._own, self._enqueuer = enqueuer, enqueuer or shared_enqueuer(bench)

	def hold(self, queue: str = "short", *, secret: str = "", **given) -> TestJob:
		"""A job that runs until it is let go. Returns when it has started."""
		return self.put(HOLD, queue, **given, secret=secret).wait_for_start()

	def work(self, queue: str = "short", seconds: float = 0.0, **given) -> TestJob:
		"""An ordinary job. Returns when it is in its queue."""
		return self.put(WORK, queue, **given, seconds=seconds)

	def put(self, method: str, queue: str, *, site: str | None = None, **given) -> TestJob:
		token = uuid4().hex
		self._tokens.append(token)
		request = {
			"site": site or self.bench.site,
			"method": method,
			"queue": queue,
			"job_id": token,
			**given,
		}
		request |= {"token": token, "journal": str(self.journal)}
		if method in GATED:
			request["gate"] = str(self.gate(token))
		return TestJob(token, self._enqueuer.put(request), self)

	def gate(self, token: str) -> Path:
		return self.folder / f"{token}.gate"

	def events(self) -> Counter[tuple[str, str]]:
		"""How often each token has started and ended."""
		lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
		return Counter((line["token"], line["event"]) for line in lines)

	def pids(self, token: str) -> list[int]:
		"""Of the processes that began with this token, in order."""
		lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
		return [line["pid"] for line in lines if (line["token"], line["event"]) == (token, "start")]

	def let_all_go(self) -> None:
		for token in self._tokens:
			self.gate(token).touch()

	def close(self) -> None:
		"""Waits until no job of ours runs: its folder may be deleted then."""
		self.let_all_go()
		if self._own:
			self._own.close()
		eventually(lambda: not self._running(), "every job of this test is over", deadline=PATIENCE)

	def _running(self) -> set[int]:
		"""Pids of job processes that began and still are there; a killed one has left no end."""
		lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
		begun = {line["pid"] for line in lines if line["event"] == "start"}
		ended = {line["pid"] for line in lines if line["event"] == "end"}
		return {pid for pid in begun - ended if psutil.pid_exists(pid)}
