"""Queues that fill faster than they empty."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import count, span

NEAR = 0.8  # of the limit
LONG = 3600.0  # seconds that a job may wait


@check("queue-near-limit")
def queue_near_limit(patient: Patient) -> Iterator[Finding]:
	"""At max_queued_jobs frappe.enqueue begins to raise QueueOverloaded, in users' requests as well."""
	limit = patient.queue_limit
	for queue, waiting in sorted(patient.look.depths.items()) if limit else ():
		if waiting < NEAR * limit:
			continue
		is_full = waiting >= limit
		consequence = "frappe.enqueue raises" if is_full else "at the limit frappe.enqueue raises"
		text = (
			f"{waiting:,} jobs wait in {queue}, max_queued_jobs is {limit:,}: {consequence} QueueOverloaded."
		)
		remedy = f"bench show-pending-jobs, then more workers: bench worker --queue {quote(queue)}"
		severity = Severity.ERROR if is_full else Severity.WARNING
		yield Finding("queue-near-limit", severity, queue, text, remedy)


@check("long-wait")
def long_wait(patient: Patient) -> Iterator[Finding]:
	for queue in patient.surveys:
		waited = patient.look.time - queue.oldest if queue.oldest else 0.0
		if waited > LONG:
			text = (
				f"The oldest of {count(queue.pending, 'job')} in {queue.name} has waited for {span(waited)}."
			)
			remedy = f"bench doctor tells what runs; more workers: bench worker --queue {quote(queue.name)}"
			yield Finding("long-wait", Severity.WARNING, queue.name, text, remedy)


@check("overdue-jobs")
def overdue_jobs(patient: Patient) -> Iterator[Finding]:
	"""RQ's own scheduled jobs, as its retries with a pause are: bench worker starts no RQ scheduler to enqueue them."""
	for queue in patient.surveys:
		if queue.overdue:
			text = f"{count(queue.overdue, 'scheduled job')} of {queue.name} should have been enqueued, and nobody does it."
			remedy = (
				f"rq worker --with-scheduler --url <redis_queue> {quote(f'{patient.bench_id}:{queue.name}')}"
			)
			yield Finding("overdue-jobs", Severity.WARNING, queue.name, text, remedy)
