"""Rows as aligned columns, as wide as the terminal; in a pipe as wide as they are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from fmx_restart.console.wrapping import KEPT_SPACE, LEAST, terminal_width, unbroken, wrapped
from fmx_restart.engine.plain_text import printable

GAP = "  "
NARROW = 7  # columns that a cell keeps at least
SHORT = 24  # characters: what is longer gets a line of its own in a list
#: Where a cell is broken: behind a space, a comma, or what joins the parts of a name
PIECE = re.compile(r"[^\s,/.:@_-]*[\s,/.:@_-]*")


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
	where the terminal is too narrow, the first one first; where that is not enough the rows become lists. An empty cell is
	shown as -. `indent`: spaces before each line.
	"""
	table = [tuple(head), *(tuple(printable(cell) or "-" for cell in row) for row in rows)]
	width = max(LEAST, (terminal_width() or sys.maxsize) - indent)
	widths = narrowed(table, foldable, width)
	lines = as_lists(table, width) if widths is None else aligned(table, widths, right)
	return [" " * indent + line for line in lines]


def aligned(table: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[str]) -> Iterator[str]:
	"""Each row as the lines that it needs."""
	for row in table:
		for line in lines_of(row, widths):
			cells = zip(table[0], line, widths, strict=True)
			yield GAP.join(
				cell.rjust(width) if name in right else cell.ljust(width) for name, cell, width in cells
			).rstrip()


def as_lists(table: Sequence[Sequence[str]], width: int) -> Iterator[str]:
	"""Each row as its first cell, and below it what the others are."""
	for first, *rest in table[1:]:
		yield from wrapped(first, width).split("\n")
		for line in paired(table[0][1:], rest, width - 5):
			yield from wrapped(f"  {line}", width).replace(KEPT_SPACE, " ").split("\n")


def paired(heads: Sequence[str], cells: Sequence[str], room: int) -> Iterator[str]:
	"""
	Lines: the short cells in one, each behind its head and in one piece where `room` (columns) is enough; a long one in one of
	its own; an empty one in none.
	"""
	pairs = [(head, cell) for head, cell in zip(heads, cells, strict=True) if cell != "-"]
	long = {head for head, cell in pairs if len(cell) > SHORT or ", " in cell}
	if short := [unbroken(f"{head} {cell}", room) for head, cell in pairs if head not in long]:
		yield ", ".join(short)
	yield from (f"{head}: {cell}" for head, cell in pairs if head in long)


def narrowed(
	table: Sequence[Sequence[str]], foldable: Sequence[str], most: int, *, narrow: int = NARROW
) -> list[int] | None:
	"""Widths with which all columns fit and no word is cut, if that can be. `narrow`: columns that a folded cell keeps."""
	cells = list(zip(*table, strict=True))
	widths = [max(map(len, column)) for column in cells]
	excess = sum(widths) + len(GAP) * (len(widths) - 1) - most
	for number in map(table[0].index, foldable):
		less = max(0, min(excess, widths[number] - max(longest_piece(cells[number]), narrow)))
		widths[number], excess = widths[number] - less, excess - less
	return None if excess > 0 else widths


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
	return [line.rstrip() for line in lines]
