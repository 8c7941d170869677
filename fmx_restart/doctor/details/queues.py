"""Queues and what waits in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fmx_restart.doctor.detail import INSTANT, SECONDS, detail
from fmx_restart.doctor.patient import Patient

MOST_METHODS = 5  # per queue


@dataclass(frozen=True)
class QueueRow:
	queue: str
	pending: int
	started: int
	failed: int
	deferred: int
	scheduled: int
	finished: int
	workers: int  # live ones that listen to it
	oldest: float | None = field(metadata=SECONDS)  # how long the job that waits longest has waited
	limit: int | None  # max_queued_jobs


@dataclass(frozen=True)
class MethodRow:
	queue: str
	site: str
	method: str
	jobs: int  # of the sample
	sample: int  # jobs that were looked at, in even steps through the queue


@dataclass(frozen=True)
class SuspensionRow:
	by: str
	operation: str
	holder: str | None  # who holds that bench now, since when, in which phase
	until: float | None = field(metadata=INSTANT)


@detail("queues", "Queues")
def queues(patient: Patient) -> Iterator[QueueRow]:
	for queue in patient.surveys:
		yield QueueRow(
			queue=queue.name,
			pending=queue.pending,
			started=queue.started,
			failed=queue.failed,
			deferred=queue.deferred,
			scheduled=queue.scheduled,
			finished=queue.finished,
			workers=sum(queue.name in worker.queues for worker in patient.live_workers),
			oldest=max(0.0, patient.look.time - queue.oldest) if queue.oldest else None,
			limit=patient.queue_limit,
		)


@detail("methods", "Most frequent among waiting jobs")
def methods(patient: Patient) -> Iterator[MethodRow]:
	for queue in patient.surveys:
		for method in queue.methods[:MOST_METHODS]:
			yield MethodRow(queue.name, method.site, method.name, method.jobs, queue.sample)


@detail("suspension", "Suspended queue")
def suspended(patient: Patient) -> Iterator[SuspensionRow]:
	"""Whoever is no operation first, then each operation that holds the queue suspended."""
	found = patient.suspension
	if found is None:
		return
	now = patient.look.time
	if found.is_foreign:
		yield SuspensionRow("somebody else", "", None, found.left and now + found.left)
	for owner in found.owners:
		by = f"an operation of bench {owner.bench}"
		yield SuspensionRow(by, owner.operation, owner.holder, owner.left and now + owner.left)
