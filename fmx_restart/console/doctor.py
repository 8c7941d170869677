"""An examination as people read it: a summary line, the problems, then tables. Colours on a terminal only."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rich.console import Console, Group, RenderableType
from rich.text import Text

from fmx_restart.console.doctor_tables import tables
from fmx_restart.console.sentences import count
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.finding import Finding, Severity

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
#: Columns of a pipe or a file: nothing is cut off there
WIDE = 240


def console() -> Console:
	"""For stdout as it is now. A pipe has no width of its own."""
	found = Console(highlight=False)
	return found if found.is_terminal else Console(highlight=False, width=WIDE)


def report(examination: Examination, *, quiet: bool = False) -> RenderableType:
	"""`quiet`: only the problems; nothing at all where there are none. Notes are no problems."""
	shown = examination.problems if quiet else examination.findings
	parts = [*([] if quiet else [summary(examination)]), *problems(shown)]
	if not quiet:
		parts += tables(examination)
	return Group(*parts)


def summary(examination: Examination) -> Text:
	found = f"{count(len(examination.errors), 'error')}, {count(len(examination.warnings), 'warning')}"
	found += f", {count(len(examination.notes), 'note')}" if examination.notes else ""
	checks = f"{count(len(examination.checks), 'check')} in {examination.seconds:.1f} s"
	state = "Healthy" if examination.is_healthy else "Not healthy"
	style = "bold green" if examination.is_healthy else "bold red"
	told = " ".join([f": {found}.", *facts(examination)])
	return Text.assemble((state, style), told, (f" {checks}.", "dim"))


def facts(examination: Examination) -> Iterator[str]:
	workers, queues = examination.details.get("workers", ()), examination.details.get("queues", ())
	if workers:
		states = [row.state for row in workers]
		told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
		yield f"{count(len(states), 'worker')}: {told}."
	if queues:
		yield f"{count(sum(row.pending for row in queues), 'job')} waiting, {sum(row.failed for row in queues)} failed."


def problems(findings: Collection[Finding]) -> Iterator[Text]:
	for finding in findings:
		yield problem(finding)
	if findings:
		yield Text("Each name has a page: docs/doctor/NAME.md", "dim")


def problem(finding: Finding) -> Text:
	about = f" ({finding.subject})" if finding.subject else ""
	return Text.assemble(
		"\n",
		(f"{finding.severity.value.upper():<8}", STYLES[finding.severity]),
		(f"{finding.check}{about}", "bold"),
		f"\n  {finding.text}\n",
		("  To do: ", "dim"),
		finding.remedy,
	)
