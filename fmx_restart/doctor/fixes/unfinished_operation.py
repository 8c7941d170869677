"""What an operation left whose process died is put right, as bench safe-restart --recover does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.patient import Patient


@fix("unfinished-operation")
def unfinished_operation(patient: Patient) -> Iterator[Step]:
	for left in patient.unfinished:
		if left.is_ours:
			text = f"Recover what operation {left.operation} left"
			yield Step(text, partial(recover, patient, left.operation))


def recover(patient: Patient, operation: str) -> str:
	report = patient.ways.recover(operation)
	return f"{operation}: {report.outcome.value}." if report else "Somebody else has done it."
