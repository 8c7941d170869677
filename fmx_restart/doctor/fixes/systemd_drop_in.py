"""Drop-ins for systemd, written to files for the administrator. Nothing below /etc or /lib is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fmx_restart.doctor.files import write_for_administrator
from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.systemd import FIX, advice
from fmx_restart.doctor.systemd_rules import RULES


@fix(FIX)
def systemd_drop_in(patient: Patient) -> Iterator[Step]:
	for unit, lines in missing_lines(patient).items():
		file = patient.path / "config" / "fmx_restart" / f"{unit}.conf"
		yield Step(
			f"Write what {unit} lacks to {file}, for the administrator",
			lambda unit=unit, file=file, lines=lines: write(unit, file, lines),
		)


def missing_lines(patient: Patient) -> dict[str, list[str]]:
	"""Unit → lines. One drop-in serves all instances of a template: worker@1.service and worker@2.service."""
	found: dict[str, list[str]] = {}
	for rule in RULES:
		for unit, advised in advice(patient, rule):
			lines = found.setdefault(template_of(unit.name), [])
			if advised.line not in lines:
				lines.append(advised.line)
	return found


def template_of(unit: str) -> str:
	name, at, _ = unit.partition("@")
	return f"{name}@.service" if at else unit


def write(unit: str, file: Path, lines: list[str]) -> str:
	target = f"/etc/systemd/system/{unit}.d/fmx_restart.conf"
	install = f"sudo install -D -m 644 {file} {target} && sudo systemctl daemon-reload"
	head = (
		f"# What the doctor of fmx_restart would add to {unit}. As administrator:\n# {install}\n[Service]\n"
	)
	write_for_administrator(file, head + "".join(f"{line}\n" for line in lines))
	return f"{file} is written. As administrator, look at it, then: {install}"
