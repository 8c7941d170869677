"""Jobs that got lost, that nobody runs any more, or that run for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fmx_restart.adapters.redis_queue.lost import LostJob
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.lost import MOST_KEYS, is_deduplicated
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import count, job_name, listed, span
from fmx_restart.engine.ports import StartedJob
from fmx_restart.engine.workers import is_live

GRACE = 90.0  # seconds; RQ's worker kills a job 60 s after its limit (rq/worker.py monitor_work_horse), looking each 30 s
PUT_BACK = "bench doctor --fix"


@check("ghost-jobs")
def ghost_jobs(patient: Patient) -> Iterator[Finding]:
	"""The hash says queued, and no list holds the id: no worker will ever find it."""
	lost = patient.lost_jobs
	if lost.ghosts:
		text = f"{count(len(lost.ghosts), 'job')} popped by a worker and never started; nobody will run them: {names(patient, lost.ghosts)}."
		yield Finding("ghost-jobs", Severity.ERROR, queues(lost.ghosts), text, PUT_BACK, fix="put-back")
	if not lost.is_complete:
		text = f"More than {MOST_KEYS:,} jobs are in Redis; not all of them were looked at."
		yield Finding("ghost-jobs", Severity.WARNING, "", text, "bench doctor, once the queues are shorter")


@check("stranded-jobs")
def stranded_jobs(patient: Patient) -> Iterator[Finding]:
	"""In RQ's intermediate list: its worker died in the pop. RQ marks it failed some time later, and never runs it."""
	if stranded := patient.lost_jobs.stranded:
		text = f"{count(len(stranded), 'job')} popped into RQ's intermediate list and never started: {names(patient, stranded)}."
		yield Finding("stranded-jobs", Severity.ERROR, queues(stranded), text, PUT_BACK, fix="put-back")


@check("abandoned-jobs")
def abandoned_jobs(patient: Patient) -> Iterator[Finding]:
	"""Started, and its worker is gone: interrupted, or run on by a process that lost its worker. Never put back."""
	ids = [job.id for job in patient.look.started if is_abandoned(job, patient)]
	ids += [job.id for job in patient.lost_jobs.abandoned]
	if ids:
		jobs = patient.queue.describe(ids[:5])
		text = f"{count(len(ids), 'job')} started, and no worker runs them: {listed([job_name(jobs.get(id), id) for id in ids])}."
		remedy = "look for orphans first (bench doctor names them); then Desk, RQ Job: requeue or delete"
		yield Finding("abandoned-jobs", Severity.ERROR, "", text, remedy)


def is_abandoned(job: StartedJob, patient: Patient) -> bool:
	look = patient.look
	worker = next((worker for worker in look.workers if worker.name == job.worker), None)
	if worker is None:
		return job.expires < look.time
	is_elsewhere = worker.job_id is not None and worker.job_id != job.id
	return is_elsewhere or not is_live(worker, look)


@check("blocked-jobs")
def blocked_jobs(patient: Patient) -> Iterator[Finding]:
	"""frappe.enqueue with deduplicate, and each scheduled job, finds the lost one's id and enqueues nothing more."""
	lost = patient.lost_jobs
	for jobs, fix, remedy in (
		((*lost.ghosts, *lost.stranded), "put-back", PUT_BACK),
		(lost.abandoned, "", "Desk, RQ Job: delete it; then it can be enqueued again"),
	):
		blocking = [job for job in jobs if is_deduplicated(job.id)]
		if blocking:
			ids = listed([job.id for job in blocking])
			text = f"Nothing of this name can be enqueued any more, Frappe takes it for {blocking[0].status}: {ids}."
			yield Finding("blocked-jobs", Severity.ERROR, queues(blocking), text, remedy, fix=fix)


@check("endless-jobs")
def endless_jobs(patient: Patient) -> Iterator[Finding]:
	"""Its own alarm and its worker should both have ended it."""
	for id, job in patient.running.items():
		elapsed = patient.look.time - job.started if job.started else 0.0
		if job.timeout and elapsed > job.timeout + GRACE:
			text = f"{job_name(job, id)} has run for {span(elapsed)}; its limit is {span(job.timeout)}."
			remedy = "py-spy dump of its process; bench safe-restart --wait-workers --on-timeout kill ends it"
			yield Finding("endless-jobs", Severity.ERROR, job.queue, text, remedy)


def names(patient: Patient, lost: Sequence[LostJob]) -> str:
	known = patient.queue.describe([job.id for job in lost[:5]])
	return listed([job_name(known.get(job.id), job.id) for job in lost])


def queues(lost: Sequence[LostJob]) -> str:
	return ", ".join(sorted({job.queue for job in lost}))
