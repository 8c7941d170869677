"""Lines that fit into a terminal: broken between words, with the rest of each below its text. In a pipe nothing is broken."""

from __future__ import annotations

import os
import re
import sys
import textwrap

LEAST = 20  # columns below which nothing is broken: nobody could read it
#: The rest of a line stands behind a clock time or the number of a step; else two columns to the right of its beginning
BEGINNING = re.compile(r" *(?P<mark>\d\d:\d\d:\d\d  |\d+\. )?")
#: A command at the end of a sentence: it is copied, so it is not broken where it fits into a line of its own
COMMAND = re.compile(r"(?<=: )bench [^:]+$")
KEPT_SPACE = "\N{NO-BREAK SPACE}"


def terminal_width(*, err: bool = False) -> int | None:
	"""Columns of the terminal that stdout (or stderr) is; None where it is none."""
	stream = sys.stderr if err else sys.stdout
	try:
		return os.get_terminal_size(stream.fileno()).columns or None if stream.isatty() else None
	except (OSError, ValueError, AttributeError):
		return None


def wrapped(text: str, width: int | None) -> str:
	"""`width`: columns; None leaves the text as it is."""
	if width is None or width < LEAST:
		return text
	return "\n".join(wrapped_line(line, width) for line in text.split("\n"))


def wrapped_line(line: str, width: int) -> str:
	"""One line as one or more. A word that is longer than a line stays whole, as a path or a command is copied."""
	if len(line) <= width:
		return line
	indent = rest_below(line)
	kept = COMMAND.sub(lambda found: unbroken(found.group(), width - indent), line)
	broken = textwrap.fill(
		kept, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
	)
	return broken.replace(KEPT_SPACE, " ")


def rest_below(line: str) -> int:
	"""Columns before the rest of a line that is broken."""
	found = BEGINNING.match(line)
	return found.end() if found["mark"] else found.end() + 2


def unbroken(command: str, room: int) -> str:
	"""In one piece, where there is room for it."""
	return command.replace(" ", KEPT_SPACE) if len(command) <= room else command
