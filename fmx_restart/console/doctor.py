"""An examination of the doctor, for a terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import Field, fields
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fmx_restart.console.say import STDOUT, VERDICT_COLOURS, go_nowhere
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.registry import DETAILS, Finding, Severity
from fmx_restart.engine.format import count, span
from fmx_restart.engine.plain_text import printable_lines

MOST_ROWS = 50  # of one table; --json has them all
STYLES = {"busy": "yellow", "suspended": "green", "idle": "cyan", "started": "cyan", "stale": "red"}


def tables(examination: Examination) -> Iterator[Any]:
	"""Each table of details; a long one is cut, and says so."""
	for name, rows in examination.details.items():
		yield Text(f"\n{DETAILS.all()[name].title}", "bold")
		yield table(rows)
		if len(rows) > MOST_ROWS:
			yield Text(f"and {len(rows) - MOST_ROWS} more (--json has them all)", "dim")


def table(rows: tuple[Any, ...]) -> Table:
	"""Columns by the fields of a row, without those that only JSON shows."""
	shown = [field for field in fields(rows[0]) if field.metadata.get("unit") != "hidden"]
	drawn = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
	for field in shown:
		is_number = isinstance(getattr(rows[0], field.name), int | float) or field.metadata
		drawn.add_column(field.name.replace("_", " "), justify="right" if is_number else "left")
	for row in rows[:MOST_ROWS]:
		drawn.add_row(*(cell(field, getattr(row, field.name)) for field in shown))
	return drawn


def cell(field: Field, value: Any) -> Text:
	"""A value in its unit: seconds, bytes or an instant; "-" for none."""
	if value is None or value == "":
		return Text("-", "dim")
	unit = field.metadata.get("unit")
	if unit == "seconds":
		return Text(f"{value * 1000:.1f} ms" if 0 < value < 0.1 else span(value))
	if unit == "bytes":
		return Text(f"{value / 2**20:,.0f} MB")
	if unit == "instant":
		return Text(f"{datetime.fromtimestamp(value):%Y-%m-%d %H:%M:%S}")
	if isinstance(value, bool):
		return Text("yes" if value else "no")
	if isinstance(value, int):
		return Text(f"{value}")
	text = printable_lines(value if isinstance(value, str) else str(value))
	return Text(text, STYLES.get(text, ""))


SEVERITY_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
#: Columns of a pipe or a file: nothing is cut off there
WIDE = 240


def console() -> Console:
	"""For stdout as it is now. A pipe has no width of its own."""
	console = Screen(highlight=False)
	return console if console.is_terminal else Screen(highlight=False, width=WIDE)


class Screen(Console):
	"""One whose reader may leave at any time, as head does: the exit code tells what was found, not who has read it."""

	def on_broken_pipe(self) -> None:
		self.quiet = True
		go_nowhere(STDOUT)


def report(examination: Examination, *, quiet: bool = False) -> RenderableType:
	"""`quiet`: only the problems; nothing at all where there are none. Notes are no problems."""
	shown = examination.problems if quiet else examination.findings
	parts = [*([] if quiet else [*verdict(examination), summary(examination)]), *problems(shown)]
	if not quiet:
		parts += tables(examination)
	return Group(*parts)


def verdict(examination: Examination) -> Iterator[Text]:
	"""Whether a restart can begin now; nothing where that was not found out in time."""
	if examination.verdict:
		style = f"bold {VERDICT_COLOURS[examination.verdict.level.value]}"
		yield Text(printable_lines(examination.verdict.text), style)


def summary(examination: Examination) -> Text:
	"""Healthy or not, how many problems, workers and waiting jobs; how long it took."""
	counts = f"{count(len(examination.errors), 'error')}, {count(len(examination.warnings), 'warning')}"
	counts += f", {count(len(examination.notes), 'note')}" if examination.notes else ""
	checks = f"{count(len(examination.checks), 'check')} in {examination.seconds:.1f} s"
	state = "Healthy" if examination.is_healthy else "Not healthy"
	style = "bold green" if examination.is_healthy else "bold red"
	sentences = " ".join([f": {counts}.", *facts(examination)])
	return Text.assemble((state, style), sentences, (f" {checks}.", "dim"))


def facts(examination: Examination) -> Iterator[str]:
	"""Sentences about workers and jobs, as far as they were looked at."""
	workers, queues = examination.details.get("workers", ()), examination.details.get("queues", ())
	if workers:
		states = [row.state for row in workers]
		by_state = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
		yield f"{count(len(states), 'worker')}: {by_state}."
	if queues:
		yield f"{count(sum(row.pending for row in queues), 'job')} waiting, {sum(row.failed for row in queues)} failed."


def problems(findings: Collection[Finding]) -> Iterator[Text]:
	"""Every finding, then where to read about it."""
	for finding in findings:
		yield problem(finding)
	if findings:
		first = next(iter(findings)).check
		yield Text(f"What a name means, and what to do: bench doctor --explain {first}", "dim")


def problem(finding: Finding) -> Text:
	"""One finding and what to type."""
	about = f" ({finding.subject})" if finding.subject else ""
	return Text.assemble(
		"\n",
		(f"{finding.severity.value.upper():<8}", SEVERITY_STYLES[finding.severity]),
		(f"{finding.check}{about}", "bold"),
		f"\n  {finding.text}\n",
		("  Fix: ", "dim"),
		finding.remedy,
	)
