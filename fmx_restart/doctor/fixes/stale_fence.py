"""The fence of an operation that is proved to be dead is lifted. Those of all others stay."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fmx_restart.adapters.redis_queue.fence import forget_owner
from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.suspension import FenceOwner, read_suspension


@fix("stale-fence")
def stale_fence(patient: Patient) -> Iterator[Step]:
	for owner in patient.suspension.stale if patient.suspension else ():
		if owner.bench == patient.bench_id and owner.is_dead(patient.host):
			text = f"Lift the fence of operation {owner.operation}, so that the queue moves"
			yield Step(text, partial(lift, patient, owner))


def lift(patient: Patient, owner: FenceOwner) -> str:
	"""Only if that operation still holds neither its lock nor a process: Redis compares the lock in the same act."""
	is_gone = not owner.is_dead(patient.host)
	if is_gone or not forget_owner(patient.connection, owner.name, owner.bench, owner.operation):
		return "It is gone already."
	left = read_suspension(patient.connection)
	return "The queue moves." if left is None else "It is lifted; the queue is still suspended by others."
