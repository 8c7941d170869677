"""Which workers lose no job when they are stopped (docs/worker.md), and what is left of those that were killed."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.bench import queue_limits, served_queues
from fmx_restart.adapters.redis_queue.claims import ownerless_claims
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import programs
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.doctor.words import listed
from fmx_restart.engine.format import count
from fmx_restart.engine.ports import ProcessKind, ProgramSettings, Worker
from fmx_restart.worker.grace import SETTING as GRACE
from fmx_restart.worker.grace import told_seconds
from fmx_restart.worker.switch import SETTING, is_on

WORKERS, CLAIMS, TIME = "lossless-workers", "ownerless-claims", "worker-grace"
SETUP = "bench safe-restart setup worker"
RESTART = (
	"bench safe-restart --wait-workers. If they are Frappe's own after it too, logs/worker.error.log says why, or"
	" FMX_RESTART_WORKER=0 stands in their environment, or a later app in sites/apps.txt has a command worker"
)


@check(WORKERS)
def lossless_workers(view: BenchView) -> Iterator[Finding]:
	"""Only of this machine, for the setting is this bench's."""
	workers = [worker for worker in view.live_workers if worker in view.look.local]
	stock = [worker for worker in workers if not worker.is_lossless]
	if not stock:
		return
	if is_on(view.config.get(SETTING)):
		text = (
			f"{len(stock)} of {count(len(workers), 'worker')} are Frappe's own, though {SETTING} is set, and may lose a job"
			f" when they are stopped: {pids(stock)}."
		)
		yield Finding(WORKERS, Severity.WARNING, "", text, RESTART)
	else:
		text = (
			"The workers are Frappe's own: a stop by anything but bench safe-restart may lose a job, as may a kill by the"
			" kernel."
		)
		yield Finding(WORKERS, Severity.NOTE, "", text, SETUP)


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
	if GRACE not in view.config or not is_on(view.config.get(SETTING)):
		return
	for program, queues, longest in worker_programs(view):
		if seconds := told_seconds(view.config, queues, {}):
			yield from of_program(program, seconds, longest)


def worker_programs(view: BenchView) -> Iterator[tuple[ProgramSettings, tuple[str, ...], float]]:
	"""Each, its queues in their order, and how many seconds the longest of its jobs may run."""
	limits = queue_limits(view.config)
	for program in programs(view, ProcessKind.WORKER):
		queues = served_queues(program.words, limits)
		yield program, queues, max((limits.get(queue, 0) for queue in queues), default=0)


def times_to_tell(view: BenchView) -> dict[str, float]:
	"""
	Queues as in --queue → seconds after which the manager kills such a worker, where a job may run longer than that. Raises an
	OperationError where no process manager answers.
	"""
	return {
		",".join(queues): program.stop_seconds
		for program, queues, longest in worker_programs(view)
		if program.stop_seconds and program.stop_seconds < longest
	}


def of_program(program: ProgramSettings, seconds: float, longest: float) -> Iterator[Finding]:
	"""`longest`: seconds that its jobs may run."""
	killed_after = program.stop_seconds
	if killed_after is not None and seconds > killed_after:
		text = (
			f"{program.name} believes that it has {seconds:g} s to leave ({GRACE}), but it is killed after"
			f" {killed_after:g} s."
		)
		yield Finding(
			TIME, Severity.WARNING, program.name, text, f"bench set-config -gp {GRACE} {killed_after:g}"
		)
	elif seconds < longest:
		text = (
			f"{program.name} ends a job {seconds:g} s after it was told to leave, and its jobs may run for {longest:g} s:"
			" such a job fails, unless it may run again."
		)
		remedy = "Let these jobs ask fmx_restart.should_stop(), or make them restartable: docs/worker.md"
		yield Finding(TIME, Severity.NOTE, program.name, text, remedy)
