"""Which workers lose no job when they are stopped (docs/worker.md), and what is left of those that were killed."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.redis_queue.claims import ownerless_claims
from fmx_restart.adapters.worker_advice import (
	STOCK,
	TIME,
	WORKERS,
	WorkerTime,
	believed_longer,
	stock_workers,
	untold,
	worker_times,
)
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import settings
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.doctor.words import listed
from fmx_restart.engine.format import count
from fmx_restart.engine.ports import Trouble, Worker
from fmx_restart.worker.switch import SETTING, is_on

CLAIMS = "ownerless-claims"
RESTART = (
	"bench safe-restart --wait-workers. If they are Frappe's own after it too, logs/worker.error.log says why, or"
	" FMX_RESTART_WORKER=0 stands in their environment, or a later app in sites/apps.txt has a command worker"
)


def finding(severity: Severity, trouble: Trouble, subject: str = "") -> Finding:
	"""What a plan says too, in the same words."""
	return Finding(trouble.check, severity, subject, trouble.text, trouble.remedy)


@check(WORKERS)
def lossless_workers(view: BenchView) -> Iterator[Finding]:
	"""Only of this machine, for the setting is this bench's."""
	stock = stock_workers(view.look)
	if not stock:
		return
	if is_on(view.config.get(SETTING)):
		workers = [worker for worker in view.live_workers if worker in view.look.local]
		text = (
			f"{len(stock)} of {count(len(workers), 'worker')} are Frappe's own, though {SETTING} is set, and may lose a job"
			f" when they are stopped: {pids(stock)}."
		)
		yield Finding(WORKERS, Severity.WARNING, "", text, RESTART)
	else:
		yield finding(Severity.NOTE, STOCK)


def pids(workers: list[Worker]) -> str:
	"""Of these workers, for a sentence."""
	return listed([f"pid {worker.pid}" for worker in workers])


@check(CLAIMS)
def claims_without_owner(view: BenchView) -> Iterator[Finding]:
	"""A living worker of this app takes care of them within seconds, unless the queue is suspended."""
	if view.suspension or any(worker.is_lossless for worker in view.live_workers):
		return
	if ids := ownerless_claims(view.connection, view.bench_id):
		text = (
			f"{count(len(ids), 'job')} belonged to workers that were killed, and no worker of this app is left to take care"
			f" of them: {listed(ids)}."
		)
		remedy = "bench doctor --fix puts back those that were not started; RQ fails the others in a quarter of an hour"
		yield Finding(CLAIMS, Severity.WARNING, "", text, remedy)


@check(TIME)
def grace(view: BenchView) -> Iterator[Finding]:
	"""Whether the time that workers are told fits that of their process manager and of their jobs."""
	if not is_on(view.config.get(SETTING)):
		return
	times = times_of(view)
	for time in times:
		if time.is_believed_longer:
			yield finding(Severity.WARNING, believed_longer(time), time.program.name)
		elif time.told and time.told < time.longest:
			yield finding(Severity.NOTE, ends_jobs(time), time.program.name)
	if trouble := untold(times):
		yield finding(Severity.WARNING, trouble)


def times_of(view: BenchView) -> list[WorkerTime]:
	"""Raises an OperationError where no process manager answers."""
	known = settings(view)
	return list(worker_times(view.config, known.programs if known else ()))


def ends_jobs(time: WorkerTime) -> Trouble:
	"""It ends a job before it is killed, and such a job may still have been running as it may."""
	text = (
		f"{time.program.name} ends a job {time.told:g} s after it was told to leave, and its jobs may run for"
		f" {time.longest:g} s: such a job fails, unless it may run again."
	)
	return Trouble(
		TIME,
		text,
		"Let these jobs ask fmx_restart.should_stop(), or make them restartable: bench doctor --explain worker-grace",
	)


def times_to_tell(view: BenchView) -> dict[str, float]:
	"""
	Queues as in --queue → seconds after which the manager kills such a worker, where a job may run longer than that and nobody
	has told these workers. Raises an OperationError where no process manager answers.
	"""
	return {
		",".join(time.queues): time.program.stop_seconds
		for time in times_of(view)
		if time.is_short and not time.told
	}
