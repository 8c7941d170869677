"""An examination of the doctor, for a terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import Field, fields
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from fmx_restart.console.program_names import UNIT, short_program
from fmx_restart.console.say import STDOUT, VERDICT_COLOURS, go_nowhere
from fmx_restart.console.wrapping import wrapped
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
		yield Details(rows)
		if len(rows) > MOST_ROWS:
			yield Text(f"and {len(rows) - MOST_ROWS} more (--json has them all)", "dim")


class Details:
	"""A table of one row or more. Where the terminal is too narrow, columns that are empty or 0 are left out, and named."""

	def __init__(self, rows: tuple[Any, ...]) -> None:
		self.rows = rows

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		shown = [field for field in fields(self.rows[0]) if field.metadata.get("unit") != "hidden"]
		empty = [field for field in shown if not any(getattr(row, field.name) for row in self.rows)]
		left_out = []
		while empty and console.is_terminal and is_too_wide(table(self.rows, shown), console, options):
			left_out.insert(0, empty.pop())
			shown.remove(left_out[0])
		yield table(self.rows, shown)
		if left_out:
			names = ", ".join(map(heading, left_out))
			yield Prose((f"Not shown, as empty or 0: {names}.", "dim"))


def is_too_wide(drawn: Table, console: Console, options: ConsoleOptions) -> bool:
	"""Whether its cells would have to be broken."""
	return Measurement.get(console, options.update(width=WIDE), drawn).maximum > options.max_width


def heading(field: Field) -> str:
	"""Of the column."""
	return field.name.replace("_", " ")


def table(rows: tuple[Any, ...], shown: list[Field]) -> Table:
	"""`shown`: the fields of a row that have a column."""
	drawn = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
	for field in shown:
		is_number = isinstance(getattr(rows[0], field.name), int | float) or field.metadata
		drawn.add_column(heading(field), justify="right" if is_number else "left", overflow="fold")
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
	if field.name == "program":
		return Text(short_program(text))
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


def verdict(examination: Examination) -> Iterator[Prose]:
	"""Whether a restart can begin now; nothing where that was not found out in time."""
	if examination.verdict:
		style = f"bold {VERDICT_COLOURS[examination.verdict.level.value]}"
		yield Prose((printable_lines(examination.verdict.text), style))


def summary(examination: Examination) -> Prose:
	"""Healthy or not, how many problems, workers and waiting jobs; how long it took."""
	counts = f"{count(len(examination.errors), 'error')}, {count(len(examination.warnings), 'warning')}"
	counts += f", {count(len(examination.notes), 'note')}" if examination.notes else ""
	checks = f"{count(len(examination.checks), 'check')} in {examination.seconds:.1f} s"
	state = "Healthy" if examination.is_healthy else "Not healthy"
	style = "bold green" if examination.is_healthy else "bold red"
	sentences = " ".join([f": {counts}.", *facts(examination)])
	return Prose((state, style), (sentences, ""), (f" {checks}.", "dim"))


def facts(examination: Examination) -> Iterator[str]:
	"""Sentences about workers and jobs, as far as they were looked at."""
	workers, queues = examination.details.get("workers", ()), examination.details.get("queues", ())
	if workers:
		states = [row.state for row in workers]
		by_state = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
		yield f"{count(len(states), 'worker')}: {by_state}."
	if queues:
		yield f"{count(sum(row.pending for row in queues), 'job')} waiting, {sum(row.failed for row in queues)} failed."


def problems(findings: Collection[Finding]) -> Iterator[RenderableType]:
	"""Every finding, then where to read about it."""
	yield from map(Problem, findings)
	if findings:
		first = next(iter(findings)).check
		yield Prose((f"\nTo read more about a finding: bench doctor --explain {first}", "dim"))


class Problem:
	"""One finding and what to type."""

	def __init__(self, finding: Finding) -> None:
		self.finding = finding

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		finding, width = self.finding, width_of(console, options)
		about = f" ({subject(finding)})" if finding.subject else ""
		severity = f"{finding.severity.value.upper():<8}"
		yield Text.assemble(
			"\n", (severity, SEVERITY_STYLES[finding.severity]), (f"{finding.check}{about}", "bold")
		)
		yield Text(wrapped(f"  {finding.text}", width))
		fix = "  Fix: "
		yield Text.assemble((fix, "dim"), wrapped(f"{fix}{finding.remedy}", width)[len(fix) :])


class Prose:
	"""One paragraph; `parts` have a style each."""

	def __init__(self, *parts: tuple[str, str]) -> None:
		self.parts = parts

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		text = Text.assemble(*self.parts)
		lines = wrapped(text.plain, width_of(console, options))
		yield text if lines == text.plain else with_styles_of(text, lines)


def with_styles_of(text: Text, lines: str) -> Text:
	"""The same words in lines: each keeps its style."""
	shown, begin = Text(), 0
	for word in re.findall(r"\s*\S+", lines):
		at = text.plain.index(word.strip(), begin)
		begin = at + len(word.strip())
		shown.append(word[: len(word) - len(word.lstrip())]).append_text(text[at:begin])
	return shown


def width_of(console: Console, options: ConsoleOptions) -> int | None:
	"""None where nothing is to be broken, as in a pipe."""
	return options.max_width if console.is_terminal else None


def subject(finding: Finding) -> str:
	"""What it is about. A program has a group or is a unit; a site that is called like a program is none."""
	name = finding.subject
	return short_program(name) if ":" in name or name.endswith(UNIT) else name
