"""The fence of an operation that does not run any more is lifted, if it still is that one's."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.redis_queue.keys import SUSPENDED
from fmx_restart.adapters.redis_queue.lease import RedisLease
from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.suspension import read_suspension


@fix("stale-fence")
def stale_fence(patient: Patient) -> Iterator[Step]:
	found = patient.suspension
	if found and found.is_stale and found.bench == patient.bench_id:
		yield Step(
			f"Lift the fence of operation {found.operation}, so that the queue moves", lambda: lift(patient)
		)


def lift(patient: Patient) -> str:
	"""Looks once more, then compares and deletes in one act: another operation's is never touched."""
	found = read_suspension(patient.connection)
	if found is None or not found.is_stale or found.bench != patient.bench_id:
		return "It is gone already."
	owner = found.value.partition(" ")[0]
	lifted = RedisLease(patient.connection, SUSPENDED, owner, seconds=1).release()
	return "The queue moves." if lifted else "It is gone already."
