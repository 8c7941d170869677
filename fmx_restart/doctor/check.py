"""Checks: small functions that look at a patient and yield what is wrong. Nothing wrong, nothing said."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fmx_restart.doctor.finding import Finding
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.registry import Registry

Check = Callable[[Patient], Iterable[Finding]]
CHECKS: Registry[Check] = Registry("fmx_restart.doctor.checks")


def check(name: str) -> Callable[[Check], Check]:
	"""
	@check("ghost-jobs") above a function registers it. Its findings carry that name, and docs/doctor/<name>.md says what
	they mean. It changes nothing, raises what it cannot handle (examine.py makes a finding of it), and says nothing
	where it does not apply.
	"""

	def register(function: Check) -> Check:
		CHECKS.add(name, function)
		return function

	return register
