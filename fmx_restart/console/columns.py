"""Rows as aligned columns, for any terminal and for a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fmx_restart.engine.plain_text import printable

GAP = "  "


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> list[str]:
	"""Lines, the heads first. `right`: heads of columns that are flush right. An empty cell is shown as -."""
	table = [tuple(head), *(tuple(printable(cell) or "-" for cell in row) for row in rows)]
	widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
	return [
		GAP.join(
			cell.rjust(width) if name in right else cell.ljust(width)
			for name, cell, width in zip(head, row, widths, strict=True)
		).rstrip()
		for row in table
	]
