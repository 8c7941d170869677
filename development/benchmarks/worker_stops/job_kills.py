"""The process of a job is killed at any instant; and the kernel kills it, or the worker, where memory is short."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import rq

from development.benchmarks.worker_stops.trial import Keeper, Row, Trial, fresh_bench
from fmx_restart.tests.worker.worker_bench import note
from fmx_restart.worker.owners import born

LIMIT = 200 << 20  # bytes for a worker and its job
STEP = 4 << 20
TOO_MUCH = 3 * LIMIT  # by then the limit was none
#: Of a process: whom the kernel kills first, and last
FIRST, LAST = 1000, 1
POLICIES = ("fail", "requeue")
TRIES = 3


def of_jobs(kind: str, kills: int, seed: int) -> Iterator[Row]:
	for policy in POLICIES if kind == "lossless" else POLICIES[:1]:
		with fresh_bench(fmx_restart_killed_jobs=policy, fmx_restart_killed_jobs_tries=TRIES) as bench:
			trial = Trial(bench, kind, seed)
			with Keeper(trial) as keeper:
				with trial.load(0.06):
					for _ in range(kills):
						time.sleep(trial.chance.uniform(0, 0.15))  # else it is one job all the time
						kill_a_job(trial, keeper)
				trial.settle()
			yield trial.row("KILL to the process of a job", kills, "all the time", policy, ended(keeper))


def ended(keeper: Keeper) -> str:
	return f"{keeper.ended} workers ended by themselves" if keeper.ended else ""


def kill_a_job(trial: Trial, keeper: Keeper) -> None:
	"""Within 40 ms after its process was there; half of them within 4 ms, when the job may not have begun."""
	while True:
		for pid in keeper.pids:
			for horse in children(pid):
				time.sleep(trial.chance.uniform(0, trial.chance.choice((0.004, 0.04))))
				if born(horse):  # it is no process that has ended, and waits for its worker
					os.kill(horse, 9)
					return
		time.sleep(0.001)


def children(pid: int) -> list[int]:
	with suppress(OSError):
		return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
	return []


def of_memory(kind: str, kills: int, seed: int) -> Iterator[Row]:
	"""Where this machine lets nobody limit memory, nothing is measured."""
	for policy in POLICIES if kind == "lossless" else POLICIES[:1]:
		yield out_of_memory(kind, policy, kills, seed, of_worker=False)
	yield out_of_memory(kind, "fail", max(1, kills // 2), seed, of_worker=True)


def out_of_memory(kind: str, policy: str, kills: int, seed: int, *, of_worker: bool) -> Row:
	settings = {"fmx_restart_killed_jobs": policy, "fmx_restart_killed_jobs_tries": 1}
	with fresh_bench(**settings) as bench, memory_limit(LIMIT) as group:
		trial = Trial(bench, kind, seed)
		bench.start(*trial.queues, kind=kind)  # it is not limited, and looks after what others leave
		with trial.load(0.1):
			for _ in range(kills):
				one_kill(trial, group, of_worker=of_worker)
		trial.settle()
		what = f"out of memory, the {'worker' if of_worker else 'process of a job'} is killed"
		return trial.row(what, killed_in(group), "all the time", policy)


def one_kill(trial: Trial, group: Path, *, of_worker: bool) -> None:
	"""A worker of its own queue has a job that takes all memory."""
	bench, before = trial.bench, killed_in(group)
	pid = bench.start("limited", kind=trial.kind)
	(group / "cgroup.procs").write_text(str(pid))
	if of_worker:
		Path(f"/proc/{pid}/oom_score_adj").write_text(str(FIRST))
	id = f"job-{len(trial.ids)}-limited"
	trial.ids.append(id)
	bench.enqueue_counted(id, "limited", func=takes_all, seconds=LAST if of_worker else 0)
	end = time.monotonic() + 30
	while killed_in(group) == before and time.monotonic() < end:
		time.sleep(0.01)
	wait_for_the_end(trial, id)
	bench.kill_worker(pid)


def wait_for_the_end(trial: Trial, id: str) -> None:
	"""As long as a worker that was left alone would need, where its job has one."""
	end = time.monotonic() + (10 if trial.kind == "lossless" else 2)
	while trial.bench.status(id) not in ("failed", "finished") and time.monotonic() < end:
		time.sleep(0.02)


def takes_all(site: str, method: str, kwargs: dict) -> None:
	"""`seconds`: the process' oom_score_adj; then what it takes counts as nobody's own. 0 to leave that as it is."""
	note(rq.get_current_job().id, "begun")
	held, file = [], os.memfd_create("held")
	if kwargs["seconds"]:
		Path("/proc/self/oom_score_adj").write_text(str(kwargs["seconds"]))
	for _ in range(TOO_MUCH // STEP):
		if kwargs["seconds"]:
			os.write(file, bytes(STEP))
		else:
			held.append(bytearray(b"1" * STEP))
	raise AssertionError("memory was not limited")


@contextmanager
def memory_limit(size: int) -> Iterator[Path]:
	"""A control group, of version 1 or 2. Whoever is left in it at the end is killed."""
	root = Path("/sys/fs/cgroup")
	is_v2 = (root / "cgroup.controllers").exists()
	group = (root if is_v2 else root / "memory") / f"fmx-trial-{os.getpid()}"
	if is_v2:
		(root / "cgroup.subtree_control").write_text("+memory")
	group.mkdir()
	try:
		(group / ("memory.max" if is_v2 else "memory.limit_in_bytes")).write_text(str(size))
		with suppress(OSError):  # without swap there is none to limit
			(group / ("memory.swap.max" if is_v2 else "memory.memsw.limit_in_bytes")).write_text(
				"0" if is_v2 else str(size)
			)
		yield group
	finally:
		remove(group)


def remove(group: Path) -> None:
	for _ in range(100):
		for pid in (group / "cgroup.procs").read_text().split():
			with suppress(ProcessLookupError):
				os.kill(int(pid), 9)
		with suppress(OSError):
			group.rmdir()
			return
		time.sleep(0.05)


def killed_in(group: Path) -> int:
	"""How many processes the kernel has killed there."""
	v2 = group / "memory.events"
	lines = (v2 if v2.exists() else group / "memory.oom_control").read_text().splitlines()
	return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
