"""How systemd is told to stop and protect what runs this bench."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.systemd import advised, units

OFTEN = 3  # restarts by itself; one may be an update of the machine


@check("kill-mode")
def kill_mode(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "kill-mode")


@check("stop-timeout")
def stop_timeout(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "stop-timeout")


@check("oom-policy")
def oom_policy(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "oom-policy")


@check("oom-score")
def oom_score(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "oom-score")


@check("service-restarts")
def service_restarts(patient: Patient) -> Iterator[Finding]:
	for unit in units(patient):
		if unit.restarts >= OFTEN:
			since = f"; its main process runs since {unit.started}" if unit.started else ""
			text = f"systemd had to start it again {unit.restarts} times{since}."
			yield Finding(
				"service-restarts", Severity.WARNING, unit.name, text, f"journalctl -u {unit.name} -p warning"
			)
