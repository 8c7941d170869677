"""Which sites command the bench: settings that are missing, or do not mean what somebody wanted."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.control_sites import rule_of
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient


@check("control-sites")
def control_sites(patient: Patient) -> Iterator[Finding]:
	for fault in rule_of(patient.config, patient.path / "sites").faults:
		severity = Severity.ERROR if fault.is_error else Severity.WARNING
		yield Finding("control-sites", severity, fault.subject, fault.text, fault.remedy)
