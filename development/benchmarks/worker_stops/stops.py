"""Workers and pools that get TERM or KILL right after jobs came, or while they come all the time."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from development.benchmarks.worker_stops.trial import Row, Trial, fresh_bench
from fmx_restart.tests.adapters.waiting import eventually

LEAVES_WITHIN = {"worker": 30.0, "pool": 60.0}  # seconds: whoever is there longer took no notice of its TERM
CHILDREN = 2  # of a pool


@dataclass(frozen=True)
class Case:
	name: str  # of the signal
	queues: int
	policy: str
	load: bool
	what: str = "worker"  # or pool

	@property
	def jobs_come(self) -> str:
		arrivals = "all the time" if self.load else "just before"
		return f"{arrivals}, {self.queues} queue{'s' if self.queues > 1 else ''}"

	@property
	def window(self) -> float:
		"""Seconds between the last job and the signal, at most."""
		return 0.05 if self.name == "KILL" else 0.004


CASES = (
	*(Case("TERM", queues, "fail", load) for queues in (1, 3) for load in (False, True)),
	*(Case("TERM", 2, "fail", load, "pool") for load in (False, True)),
	*(Case("KILL", 2, policy, False) for policy in ("fail", "requeue")),
)


def rows(kind: str, rounds: int, seed: int) -> Iterator[Row]:
	for case in CASES:
		if kind == "lossless" or case.policy == "fail":
			yield measured(kind, case, rounds if case.what == "worker" else max(1, rounds // 4), seed)


def measured(kind: str, case: Case, rounds: int, seed: int) -> Row:
	"""In each round two workers, or a pool of two, are started, and stopped while they have jobs."""
	with fresh_bench(fmx_restart_killed_jobs=case.policy) as bench:
		trial = Trial(bench, kind, seed, [f"q{number}" for number in range(case.queues)])
		swallowed = sum(one_round(trial, case) for _ in range(rounds))
		bench.start(
			*trial.queues, kind=kind
		)  # it runs what waits, and looks after the claims of those that are gone
		trial.settle()
		remark = f"{swallowed} took no notice" if swallowed else ""
		what = f"{case.name} to a {'pool of two' if case.what == 'pool' else 'worker'}"
		return trial.row(what, rounds * CHILDREN, case.jobs_come, case.policy, remark)


def one_round(trial: Trial, case: Case) -> int:
	"""How many took no notice of the signal."""
	chance = trial.chance
	pids = [pool(trial)] if case.what == "pool" else [started(trial) for _ in range(2)]
	for _ in range(chance.randrange(2, 9) if case.load else 2):
		trial.enqueue()
		time.sleep(chance.uniform(0, 0.06) if case.load else 0)
	time.sleep(chance.uniform(0, case.window))
	for pid in pids:
		trial.bench.signal(pid, getattr(signal, f"SIG{case.name}"))
	return sum(not has_left(trial, pid, LEAVES_WITHIN[case.what]) for pid in pids)


def started(trial: Trial) -> int:
	return trial.bench.start(*trial.queues, kind=trial.kind)


def pool(trial: Trial) -> int:
	"""Its pid, once its workers are there."""
	before = trial.bench.worker_keys()
	pid = trial.bench.begin(*trial.queues, kind=f"{trial.kind} pool", num_workers=CHILDREN)
	eventually(lambda: len(trial.bench.worker_keys() - before) >= CHILDREN, trial.bench.log)
	return pid


def has_left(trial: Trial, pid: int, within: float) -> bool:
	end = time.monotonic() + within
	while not trial.bench.has_ended(pid):
		if time.monotonic() > end:
			trial.bench.kill_worker(pid)
			return False
		time.sleep(0.01)
	return True
