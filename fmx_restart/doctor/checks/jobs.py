"""Jobs that are lost, abandoned, endless or unreadable; and the fix that puts lost ones back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from shlex import quote

from fmx_restart.adapters.redis_queue.inventory import LostJob
from fmx_restart.adapters.redis_queue.typed import redis_cli
from fmx_restart.doctor.bench_view import MOST_KEYS, BenchView, is_deduplicated
from fmx_restart.doctor.idle_moment import idle_moment
from fmx_restart.doctor.registry import Finding, Severity, Step, check, fix
from fmx_restart.doctor.words import job_name, listed
from fmx_restart.engine.format import count, span
from fmx_restart.engine.ports import StartedJob, UnreadableRecord
from fmx_restart.engine.workers import is_live

GRACE = 90.0  # seconds; RQ's worker kills a job 60 s after its limit (rq/worker.py monitor_work_horse), looking each 30 s
PUT_BACK = "bench doctor --fix"


@check("ghost-jobs")
def ghost_jobs(view: BenchView) -> Iterator[Finding]:
	"""The hash says queued, and no list holds the id: no worker will ever find it."""
	lost = view.lost_jobs
	if lost.ghosts:
		text = f"{count(len(lost.ghosts), 'job')} popped by a worker and never started; no worker will run them: {names(view, lost.ghosts)}."
		yield Finding("ghost-jobs", Severity.ERROR, queues(lost.ghosts), text, PUT_BACK, fix="put-back")
	if not lost.is_complete:
		text = f"More than {MOST_KEYS:,} jobs are in Redis; not all of them were examined."
		yield Finding(
			"ghost-jobs", Severity.WARNING, "", text, "run bench doctor again when the queues are shorter"
		)


@check("stranded-jobs")
def stranded_jobs(view: BenchView) -> Iterator[Finding]:
	"""In RQ's intermediate list: its worker died in the pop. RQ marks it failed some time later, and never runs it."""
	if stranded := view.lost_jobs.stranded:
		text = f"{count(len(stranded), 'job')} popped into RQ's intermediate list and never started: {names(view, stranded)}."
		yield Finding("stranded-jobs", Severity.ERROR, queues(stranded), text, PUT_BACK, fix="put-back")


@check("abandoned-jobs")
def abandoned_jobs(view: BenchView) -> Iterator[Finding]:
	"""Started, and its worker is gone: interrupted, or run on by a process that lost its worker. Never put back."""
	ids = [job.id for job in view.look.started if is_abandoned(job, view)]
	ids += [job.id for job in view.lost_jobs.abandoned]
	if ids:
		jobs = view.queue.describe(ids[:5])
		text = f"{count(len(ids), 'job')} started, and no worker runs them: {listed([job_name(jobs.get(id), id) for id in ids])}."
		remedy = "look for orphans first (bench doctor names them); then Desk, RQ Job: requeue or delete"
		yield Finding("abandoned-jobs", Severity.ERROR, "", text, remedy)


def is_abandoned(job: StartedJob, view: BenchView) -> bool:
	"""Nobody runs a job that counts as started: its worker is gone, or is busy with another one."""
	look = view.look
	worker = next((worker for worker in look.workers if worker.name == job.worker), None)
	if worker is None:
		return job.expires < look.time
	is_elsewhere = worker.job_id is not None and worker.job_id != job.id
	return is_elsewhere or not is_live(worker, look)


@check("blocked-jobs")
def blocked_jobs(view: BenchView) -> Iterator[Finding]:
	"""frappe.enqueue with deduplicate, and each scheduled job, finds the lost one's id and enqueues nothing more."""
	lost = view.lost_jobs
	for jobs, repair, remedy in (
		((*lost.ghosts, *lost.stranded), "put-back", PUT_BACK),
		(lost.abandoned, "", "Desk, RQ Job: delete it; then it can be enqueued again"),
	):
		blocking = [job for job in jobs if is_deduplicated(job.id)]
		if blocking:
			ids = listed([job.id for job in blocking])
			text = f"No further job of this name can be enqueued, because Frappe considers this one {blocking[0].status}: {ids}."
			yield Finding("blocked-jobs", Severity.ERROR, queues(blocking), text, remedy, fix=repair)


@check("endless-jobs")
def endless_jobs(view: BenchView) -> Iterator[Finding]:
	"""Its own alarm and its worker should both have ended it."""
	for id, job in view.running.items():
		elapsed = view.look.time - job.started if job.started else 0.0
		if job.timeout and elapsed > job.timeout + GRACE:
			text = f"{job_name(job, id)} has run for {span(elapsed)}; its limit is {span(job.timeout)}."
			remedy = "py-spy dump of its process; bench safe-restart --wait-workers --on-timeout kill ends it"
			yield Finding("endless-jobs", Severity.ERROR, job.queue, text, remedy)


def names(view: BenchView, lost: Sequence[LostJob]) -> str:
	"""Names of some of the jobs; how many others there are."""
	known = view.queue.describe([job.id for job in lost[:5]])
	return listed([job_name(known.get(job.id), job.id) for job in lost])


def queues(lost: Sequence[LostJob]) -> str:
	"""Each queue once, for a sentence."""
	return ", ".join(sorted({job.queue for job in lost}))


def how_to_look(named: Sequence[UnreadableRecord]) -> str:
	"""A command of Redis for the first record whose key is known: a name with escapes is not its real one."""
	keys = (f"rq:{it.kind}:{it.name}" for it in named if it.kind in ("job", "worker") and "\\" not in it.name)
	key = next(keys, "")
	return f"hgetall {quote(key)}" if key else "--scan --pattern 'rq:*'"


@check("unreadable-records")
def unreadable_records(view: BenchView) -> Iterator[Finding]:
	"""Everything that the other checks read is read first."""
	_ = view.look, view.running, view.surveys, view.lost_jobs
	records = view.queue.unreadable()
	if records.count:
		number = f"{records.count:,} or more records" if records.is_more else count(records.count, "record")
		names = listed([f"{record.kind} {record.name} ({record.reason})" for record in records.named])
		text = f"{number} in Redis cannot be read, and count as unknown: {names}."
		remedy = f"{redis_cli(view.connection)} {how_to_look(records.named)}; delete what no program needs"
		yield Finding("unreadable-records", Severity.WARNING, "", text, remedy)


ONE_BY_ONE = 10  # more jobs than these are asked for by queue


@fix("put-back")
def put_back(view: BenchView) -> Iterator[Step]:
	"""One by one, so that a person can choose; many lost jobs by their queues."""
	lost = sorted((*view.lost_jobs.ghosts, *view.lost_jobs.stranded), key=lambda job: job.queue)
	batches = [[job] for job in lost]
	if len(lost) > ONE_BY_ONE:
		batches = [list(jobs) for _, jobs in groupby(lost, key=lambda job: job.queue)]
	for batch in batches:
		yield Step(describe(view, batch), partial(push, view, [job.id for job in batch]))


def describe(view: BenchView, batch: Sequence[LostJob]) -> str:
	"""The step's sentence: how many, how old, which."""
	known = view.queue.describe([job.id for job in batch])
	names = listed([job_name(known.get(job.id), job.id) for job in batch])
	ages = sorted({span(time.time() - job.enqueued) for job in (batch[0], batch[-1]) if job.enqueued})
	ago = f", enqueued {' to '.join(ages)} ago" if ages else ""
	return f"Put {count(len(batch), 'job')} back to the front of {batch[0].queue}{ago}: {names}"


def push(view: BenchView, ids: Sequence[str]) -> str:
	"""Only those that are still in no list then: the script looks and pushes in one act (adapters put_back)."""
	with idle_moment(view) as held:
		outcome = view.queue.put_back(ids, held.bench.fence, held.keep_alive)
	others = len(ids) - len(outcome.pushed) - len(outcome.refused)
	rest = f"; {count(others, 'job')} had been put back or removed by someone else" if others else ""
	refused = (
		f"; {count(len(outcome.refused), 'job')} left, because the suspension ended too early"
		if outcome.refused
		else ""
	)
	return f"{count(len(outcome.pushed), 'job')} put back{rest}{refused}."
