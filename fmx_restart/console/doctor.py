"""An examination of the doctor, for a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import Field, fields
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from fmx_restart.console.columns import as_lists, fold, narrowed
from fmx_restart.console.program_names import UNIT, short_program
from fmx_restart.console.say import STDOUT, VERDICT_COLOURS, go_nowhere
from fmx_restart.console.wrapping import wrapped
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.registry import DETAILS, Finding, Severity
from fmx_restart.engine.format import count, span
from fmx_restart.engine.plain_text import printable_lines

FOLDED = 20  # columns that a folded cell keeps
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
	"""
	A table of one row or more. Where the terminal is too narrow, columns that are empty or 0 are left out, and named; then
	sentences are folded, and where that is not enough each row is a list.
	"""

	def __init__(self, rows: tuple[Any, ...]) -> None:
		self.rows = rows[:MOST_ROWS]

	def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
		most = options.max_width if console.is_terminal else sys.maxsize
		shown = [field for field in fields(self.rows[0]) if field.metadata.get("unit") != "hidden"]
		empty = [field for field in shown if not any(getattr(row, field.name) for row in self.rows)]
		left_out = []
		while empty and narrowed(self.texts(shown), (), most) is None:
			left_out.insert(0, empty.pop())
			shown.remove(left_out[0])
		yield self.drawn(shown, most)
		if left_out:
			names = ", ".join(map(heading, left_out))
			yield Prose((f"Not shown, as empty or 0: {names}.", "dim"))

	def texts(self, shown: Sequence[Field]) -> list[tuple[str, ...]]:
		"""The heads, and each cell without its style."""
		cells = ([cell(field, getattr(row, field.name)).plain for field in shown] for row in self.rows)
		return [tuple(map(heading, shown)), *map(tuple, cells)]

	def drawn(self, shown: Sequence[Field], most: int) -> RenderableType:
		"""`shown`: the fields of a row that have a column. `most`: columns of the terminal."""
		texts = self.texts(shown)
		words = [heading(field) for field in shown if isinstance(getattr(self.rows[0], field.name), str)]
		words.sort(key=lambda name: -max(len(row[texts[0].index(name)]) for row in texts))
		widths = narrowed(texts, words, most, narrow=FOLDED)
		if widths is None:
			return Text("\n".join(as_lists(texts, most)))
		return self.table(shown, widths)

	def table(self, shown: Sequence[Field], widths: Sequence[int]) -> Table:
		"""`widths`: of its columns."""
		drawn = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
		for field, width in zip(shown, widths, strict=True):
			is_number = isinstance(getattr(self.rows[0], field.name), int | float) or field.metadata
			head = "\n".join(fold(heading(field), width))
			drawn.add_column(head, justify="right" if is_number else "left", no_wrap=True)
		for row in self.rows:
			cells = (cell(field, getattr(row, field.name)) for field in shown)
			drawn.add_row(*(folded(one, width) for one, width in zip(cells, widths, strict=True)))
		return drawn


def folded(one: Text, width: int) -> Text:
	"""A cell in lines of that width."""
	return Text("\n".join(fold(one.plain, width)), one.style)


def heading(field: Field) -> str:
	"""Of the column."""
	return field.name.replace("_", " ")


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
