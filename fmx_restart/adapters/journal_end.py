"""Whether a journal has its end. Imports next to nothing: the guardian of an operation that ended well only asks this."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

TAIL = 65536  # bytes: most Ended facts begin within the last of them
ENDED = '{"event": "Ended"'  # how the line begins that closes a journal, in every format
LEFT_OPEN = (
	'"is_left_open": true'  # stands in the line of an operation that lost the bench: that closes nothing
)


def whole_lines(journal: Path) -> Iterator[str]:
	"""Without one at the end that is not written to its end: a crash cut it off, or someone writes it just now."""
	with journal.open("rb") as lines:
		for line in lines:
			if line.endswith(b"\n"):
				yield line.decode(errors="replace")


def tail_of(journal: Path) -> list[str]:
	"""Its last lines, without the first of them, which may be a part; nothing where the last one is not whole."""
	with journal.open("rb") as file:
		file.seek(max(0, file.seek(0, 2) - TAIL))
		tail = file.read()
	return tail.decode(errors="replace").split("\n")[1:] if tail.endswith(b"\n") else []


def end_of(journal: Path) -> str:
	"""The line that closes it, where that is among its last ones; else empty."""
	return next(filter(closes, reversed(tail_of(journal))), "")


def is_closed(journal: Path) -> bool:
	"""By how its lines begin: an end is one also where its report is not understood. A journal may be long."""
	last_lines = tail_of(journal)
	return any(map(closes, last_lines)) or (bool(last_lines) and any(map(closes, whole_lines(journal))))


def closes(line: str) -> bool:
	"""Whether a line ends the journal for good. An end that left something open does not."""
	return line.startswith(ENDED) and LEFT_OPEN not in line
