"""Who holds the queue back."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient

OURS = "fmx_restart:"  # how the value of our fence begins


@check("queue-suspended")
def queue_suspended(patient: Patient) -> Iterator[Finding]:
	"""Somebody else's suspension has no end, and stops every bench on this Redis."""
	value = patient.look.suspension
	if value is None or value.startswith(OURS):
		return
	yield Finding(
		"queue-suspended",
		Severity.ERROR,
		"",
		"The queue is suspended: no worker of any bench on this Redis starts a job.",
		"redis-cli -u <redis_queue> del rq:suspended, once you know who set it",
	)
