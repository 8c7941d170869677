"""The details as tables: a column for each field of a row, in the unit that the field names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from fmx_restart.doctor.detail import DETAILS
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.words import span
from fmx_restart.engine.plain_text import printable_lines

MOST_ROWS = 50  # of one table; --json has them all
STYLES = {"busy": "yellow", "suspended": "green", "idle": "cyan", "started": "cyan", "stale": "red"}


def tables(examination: Examination) -> Iterator[Any]:
	for name, rows in examination.details.items():
		yield Text(f"\n{DETAILS.all()[name].title}", "bold")
		yield table(rows)
		if len(rows) > MOST_ROWS:
			yield Text(f"and {len(rows) - MOST_ROWS} more (--json has them all)", "dim")


def table(rows: tuple[Any, ...]) -> Table:
	shown = [field for field in fields(rows[0]) if field.metadata.get("unit") != "hidden"]
	drawn = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
	for field in shown:
		is_number = isinstance(getattr(rows[0], field.name), int | float) or field.metadata
		drawn.add_column(field.name.replace("_", " "), justify="right" if is_number else "left")
	for row in rows[:MOST_ROWS]:
		drawn.add_row(*(cell(field, getattr(row, field.name)) for field in shown))
	return drawn


def cell(field: Field, value: Any) -> Text:
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
