"""Lines that supervisor lacks, written to a file for the administrator. supervisor's own files stay as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from fmx_restart.doctor.files import write_for_administrator
from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.supervisor import APPLY, FIX, advice
from fmx_restart.doctor.supervisor_rules import RULES

HEAD = """\
; What the doctor of fmx_restart would add to the configuration of {bench}.
; supervisor joins sections of the same name, and the file it reads last wins: copy this one as {name}
; into the folder that supervisord.conf includes, {apply}
"""


@fix(FIX)
def supervisor_lines(patient: Patient) -> Iterator[Step]:
	lines = missing_lines(patient)
	if lines:
		file = patient.path / "config" / "fmx_restart" / f"zz-{patient.path.name}.conf"
		text = HEAD.format(bench=patient.path, name=file.name, apply=APPLY) + as_text(lines)
		yield Step(f"Write what supervisor lacks to {file}, for its administrator", lambda: write(file, text))


def missing_lines(patient: Patient) -> dict[str, dict[str, str]]:
	"""Section → key → value. Of two rules for one key, such as the longest time, the first counts."""
	lines: dict[str, dict[str, str]] = {}
	for rule in RULES:
		for program, found in advice(patient, rule):
			if program.section:
				lines.setdefault(program.section, {}).setdefault(found.key, found.value)
	return lines


def as_text(lines: Mapping[str, Mapping[str, str]]) -> str:
	return "".join(
		f"\n[{section}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
		for section, values in lines.items()
	)


def write(file: Path, text: str) -> str:
	write_for_administrator(file, text)
	return f"{file} is written. As administrator, look at it, copy it where its first lines say, {APPLY}."
