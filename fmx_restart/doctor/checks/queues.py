"""Queues: how full, how old, suspended or not; and the fix that lifts a stale fence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import partial
from shlex import quote

from fmx_restart.adapters.redis_queue.keys import SUSPENDED
from fmx_restart.adapters.redis_queue.leases import forget_owner
from fmx_restart.adapters.redis_queue.typed import address, redis_cli
from fmx_restart.doctor.bench_view import BenchView, FenceOwner, read_suspension
from fmx_restart.doctor.registry import INSTANT, SECONDS, Finding, Severity, Step, check, detail, fix
from fmx_restart.engine.format import count, span
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.queue_hold import clock_time

NEAR = 0.8  # of the limit
LONG = 3600.0  # seconds that a job may wait


@check("queue-near-limit")
def queue_near_limit(view: BenchView) -> Iterator[Finding]:
	"""At max_queued_jobs frappe.enqueue begins to raise QueueOverloaded, in users' requests as well."""
	limit = view.queue_limit
	for queue, waiting in sorted(view.look.depths.items()) if limit else ():
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
def long_wait(view: BenchView) -> Iterator[Finding]:
	"""By the age of the oldest job in a queue: its workers are too few, stuck or away."""
	for queue in view.surveys:
		waited = view.look.time - queue.oldest if queue.oldest else 0.0
		if waited > LONG:
			text = (
				f"The oldest of {count(queue.pending, 'job')} in {queue.name} has waited for {span(waited)}."
			)
			remedy = f"bench doctor tells what runs; more workers: bench worker --queue {quote(queue.name)}"
			yield Finding("long-wait", Severity.WARNING, queue.name, text, remedy)


@check("overdue-jobs")
def overdue_jobs(view: BenchView) -> Iterator[Finding]:
	"""RQ's own scheduled jobs, as its retries with a pause are: bench worker starts no RQ scheduler to enqueue them."""
	for queue in view.surveys:
		if queue.overdue:
			text = f"{count(queue.overdue, 'scheduled job')} of {queue.name} should have been enqueued, but no process does so."
			name, url = quote(f"{view.bench_id}:{queue.name}"), address(view.connection)
			remedy = f"{view.path}/env/bin/rq worker --with-scheduler --url {url} {name}"
			yield Finding("overdue-jobs", Severity.WARNING, queue.name, text, remedy)


@check("queue-suspended")
def queue_suspended(view: BenchView) -> Iterator[Finding]:
	"""By someone else than an operation: such a suspension has neither an owner nor, most often, an end."""
	suspension = view.suspension
	if suspension is None or not suspension.is_foreign:
		return
	end = "has no end" if suspension.left is None else f"ends in {span(suspension.left)}"
	text = f"The queue is suspended, but not by an operation or a hold; it {end}. No worker on this Redis starts a job."
	remedy = f"{redis_cli(view.connection)} del {SUSPENDED}, once you know who suspended it"
	yield Finding("queue-suspended", Severity.ERROR, "", text, remedy)


@check("queue-held")
def queue_held(view: BenchView) -> Iterator[Finding]:
	"""Somebody wants that, and it has an end. Where someone else lifted the suspension jobs run all the same."""
	for hold in view.holds:
		if hold.is_beginning:
			continue
		where = "" if hold.bench == view.bench_id else f", in the bench {hold.bench}"
		remedy = f"bench safe-restart release --owner {quote(hold.owner)}{where}"
		end = f"until {clock_time(hold.until)}"
		if view.suspension is None:
			text = f"{hold.name} was to hold the queue {end}, but someone lifted the suspension: jobs run."
			yield Finding("queue-held", Severity.WARNING, hold.owner, text, remedy)
		else:
			text = f"{hold.name} holds the queue {end}: no worker on this Redis starts a job."
			yield Finding("queue-held", Severity.NOTE, hold.owner, text, remedy)


@check("stale-fence")
def check_stale_fence(view: BenchView) -> Iterator[Finding]:
	"""Its operation died. The fence ends by itself within a lease; until then no worker starts a job."""
	for owner in view.suspension.stale if view.suspension else ():
		end = "" if owner.left is None else f"; it ends by itself in {span(owner.left)}"
		text = f"Operation {owner.operation} holds the queue suspended, but is no longer running{end}."
		remedy, fix = stale_remedy(view, owner)
		yield Finding("stale-fence", Severity.WARNING, owner.operation, text, remedy, fix=fix)


def stale_remedy(view: BenchView, owner: FenceOwner) -> tuple[str, str]:
	"""What to type, and the name of the fix; no fix where another bench must act or its process may be alive."""
	if owner.bench != view.bench_id:
		return f"bench doctor --fix, in the bench {owner.bench}", ""
	if owner.is_dead(view.host):
		return "bench doctor --fix", "stale-fence"
	return "wait until it ends by itself: its process may still be alive", ""


MOST_METHODS = 5  # per queue


@frozen
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


@frozen
class MethodRow:
	queue: str
	site: str
	method: str
	jobs: int  # of the sample
	sample: int  # jobs that were looked at, in even steps through the queue


@frozen
class SuspensionRow:
	by: str
	operation: str
	holder: str | None  # who holds that bench now, since when, in which phase; of a hold: who typed it
	until: float | None = field(metadata=INSTANT)


@detail("queues", "Queues")
def queues(view: BenchView) -> Iterator[QueueRow]:
	"""How many jobs are in each queue and registry, how many workers serve it, and how old its oldest job is in seconds."""
	for queue in view.surveys:
		yield QueueRow(
			queue=queue.name,
			pending=queue.pending,
			started=queue.started,
			failed=queue.failed,
			deferred=queue.deferred,
			scheduled=queue.scheduled,
			finished=queue.finished,
			workers=sum(queue.name in worker.queues for worker in view.live_workers),
			oldest=max(0.0, view.look.time - queue.oldest) if queue.oldest else None,
			limit=view.queue_limit,
		)


@detail("methods", "Most frequent among waiting jobs")
def methods(view: BenchView) -> Iterator[MethodRow]:
	"""Which methods wait most often, from a sample of each queue."""
	for queue in view.surveys:
		for method in queue.methods[:MOST_METHODS]:
			yield MethodRow(queue.name, method.site, method.name, method.jobs, queue.sample)


@detail("suspension", "Suspended queue")
def suspended(view: BenchView) -> Iterator[SuspensionRow]:
	"""Whoever is neither operation nor hold first, then each operation and each hold."""
	suspension = view.suspension
	if suspension is None:
		return
	now = view.look.time
	if suspension.is_foreign:
		yield SuspensionRow("someone else", "", None, suspension.left and now + suspension.left)
	for owner in suspension.owners:
		by = f"an operation of bench {owner.bench}"
		yield SuspensionRow(by, owner.operation, owner.holder, owner.left and now + owner.left)
	for hold in view.holds:
		yield SuspensionRow(f"a hold by {hold.name}, of bench {hold.bench}", "", hold.by, hold.until)


@fix("stale-fence")
def stale_fence(view: BenchView) -> Iterator[Step]:
	"""Lift the fence of this bench's operations whose process is seen to be gone."""
	for owner in view.suspension.stale if view.suspension else ():
		if owner.bench == view.bench_id and owner.is_dead(view.host):
			text = f"Lift the fence of operation {owner.operation}, so that the queue runs"
			yield Step(text, partial(lift, view, owner))


def lift(view: BenchView, owner: FenceOwner) -> str:
	"""Only if that operation still holds neither its lock nor a process: Redis compares the lock in the same act."""
	is_gone = not owner.is_dead(view.host)
	if is_gone or not forget_owner(view.connection, owner.name, owner.bench, owner.operation):
		return "It is already gone."
	suspension = read_suspension(view.connection)
	return (
		"The queue is running."
		if suspension is None
		else "It is lifted; the queue is still suspended by others."
	)
