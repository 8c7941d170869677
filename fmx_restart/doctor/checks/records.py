"""What other programs wrote into this bench's Redis, and nobody can read."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import count, listed


@check("unreadable-records")
def unreadable_records(patient: Patient) -> Iterator[Finding]:
	"""Everything that the other checks read is read first."""
	_ = patient.look, patient.running, patient.surveys, patient.lost_jobs
	found = patient.queue.unreadable()
	if found.count:
		number = f"{found.count:,} or more records" if found.is_more else count(found.count, "record")
		names = listed([f"{one.kind} {one.name} ({one.reason})" for one in found.named])
		text = f"{number} in Redis cannot be read, and count as unknown: {names}."
		remedy = (
			"redis-cli -u <redis_queue> hgetall rq:job:NAME, or rq:worker:NAME; delete what no program needs"
		)
		yield Finding("unreadable-records", Severity.WARNING, "", text, remedy)
