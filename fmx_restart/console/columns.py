"""Rows as aligned columns, as wide as the terminal; in a pipe as wide as they are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from fmx_restart.console.wrapping import LEAST, terminal_width
from fmx_restart.engine.plain_text import printable

GAP = "  "
NARROW = 7  # columns that a cell keeps at least
#: Where a cell is broken: behind a space, a comma, or what joins the parts of a name
PIECE = re.compile(r"[^\s,/.:@-]*[\s,/.:@-]*")


def columns(
	head: Sequence[str],
	rows: Iterable[Sequence[str]],
	*,
	right: Sequence[str] = (),
	foldable: Sequence[str] = (),
	indent: int = 0,
) -> list[str]:
	"""
	Lines, the heads first. `right`: heads of columns that are flush right. `foldable`: those whose cells have several lines
	where the terminal is too narrow, the first one first. An empty cell is shown as -. `indent`: spaces before each line.
	"""
	table = [tuple(head), *(tuple(printable(cell) or "-" for cell in row) for row in rows)]
	width = terminal_width() or sys.maxsize
	widths = narrowed(table, foldable, max(LEAST, width - indent))
	return [
		" " * indent
		+ GAP.join(
			cell.rjust(width) if name in right else cell.ljust(width)
			for name, cell, width in zip(head, line, widths, strict=True)
		).rstrip()
		for row in table
		for line in lines_of(row, widths)
	]


def narrowed(table: Sequence[Sequence[str]], foldable: Sequence[str], most: int) -> list[int]:
	"""Widths with which all columns fit, if that can be: no word is cut where one can be kept, and none of the head."""
	cells = list(zip(*table, strict=True))
	widths = [max(map(len, column)) for column in cells]
	excess = sum(widths) + len(GAP) * (len(widths) - 1) - most
	numbers = [table[0].index(name) for name in foldable]
	for leasts in (map(longest_piece, cells), (longest_piece(column[:1]) for column in cells)):
		leasts = list(leasts)
		for number in numbers:
			less = max(0, min(excess, widths[number] - max(leasts[number], NARROW)))
			widths[number], excess = widths[number] - less, excess - less
	return widths


def longest_piece(cells: Iterable[str]) -> int:
	"""Of what is not broken, without the space behind it."""
	return max(len(piece.rstrip()) for cell in cells for piece in PIECE.findall(cell))


def lines_of(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, ...]]:
	"""A row as the lines that it needs."""
	folded = [fold(cell, width) for cell, width in zip(row, widths, strict=True)]
	yield from zip_longest(*folded, fillvalue="")


def fold(cell: str, width: int) -> list[str]:
	"""A cell in lines of that width."""
	lines = [""]
	for piece in PIECE.findall(cell):
		if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
			lines.append("")
		lines[-1] += piece
		while len(lines[-1].rstrip()) > width:
			lines[-1:] = [lines[-1][:width], lines[-1][width:]]
	return [line.rstrip() for line in lines]
