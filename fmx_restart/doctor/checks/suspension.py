"""Who holds the queue back."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.suspension import FenceOwner
from fmx_restart.doctor.words import span


@check("queue-suspended")
def queue_suspended(patient: Patient) -> Iterator[Finding]:
	"""By someone else than an operation: such a suspension has neither an owner nor, most often, an end."""
	suspension = patient.suspension
	if suspension is None or not suspension.is_foreign:
		return
	end = "has no end" if suspension.left is None else f"ends in {span(suspension.left)}"
	text = f"The queue is suspended, but not by an operation; it {end}. No worker on this Redis starts a job."
	remedy = "rq resume --url <redis_queue>, once you know who suspended it"
	yield Finding("queue-suspended", Severity.ERROR, "", text, remedy)


@check("stale-fence")
def stale_fence(patient: Patient) -> Iterator[Finding]:
	"""Its operation died. The fence ends by itself within a lease; until then no worker starts a job."""
	for owner in patient.suspension.stale if patient.suspension else ():
		end = "" if owner.left is None else f"; it ends by itself in {span(owner.left)}"
		text = f"Operation {owner.operation} holds the queue suspended, but does not run any more{end}."
		remedy, fix = stale_remedy(patient, owner)
		yield Finding("stale-fence", Severity.WARNING, owner.operation, text, remedy, fix=fix)


def stale_remedy(patient: Patient, owner: FenceOwner) -> tuple[str, str]:
	if owner.bench != patient.bench_id:
		return f"bench doctor --fix, in the bench {owner.bench}", ""
	if owner.is_dead(patient.host):
		return "bench doctor --fix", "stale-fence"
	return "wait until it ends by itself: it is not proved that its process is gone", ""
