"""Who holds the queue back."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import span


@check("queue-suspended")
def queue_suspended(patient: Patient) -> Iterator[Finding]:
	"""By somebody else than an operation of ours: that has neither an owner nor, most often, an end."""
	suspension = patient.suspension
	if suspension is None or suspension.is_ours:
		return
	end = "has no end" if suspension.left is None else f"ends in {span(suspension.left)}"
	text = (
		f"The queue is suspended, by none of our operations; it {end}. No worker on this Redis starts a job."
	)
	remedy = "rq resume --url <redis_queue>, once you know who suspended it"
	yield Finding("queue-suspended", Severity.ERROR, "", text, remedy)


@check("stale-fence")
def stale_fence(patient: Patient) -> Iterator[Finding]:
	"""Its operation died. It ends by itself within a lease; until then no worker starts a job."""
	suspension = patient.suspension
	if suspension is None or not suspension.is_stale:
		return
	end = "" if suspension.left is None else f"; it ends by itself in {span(suspension.left)}"
	text = f"The queue is held by operation {suspension.operation}, which does not run any more{end}."
	is_here = suspension.bench == patient.bench_id
	remedy = "bench doctor --fix" if is_here else f"bench doctor --fix, in the bench {suspension.bench}"
	fix = "stale-fence" if is_here else ""
	yield Finding("stale-fence", Severity.WARNING, suspension.operation, text, remedy, fix=fix)
