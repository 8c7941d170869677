"""Text that other programs wrote, made fit for a terminal, a log, JSON and a database."""

from __future__ import annotations

LONGEST = 200  # characters of one name


def printable(text: str, most: int = LONGEST) -> str:
	"""One line: what a terminal would act upon, and bytes that are no text, are shown as escapes. Cut off at `most`."""
	return escaped(text[: most + 1], "") if len(text) <= most else f"{escaped(text[:most], '')}…"


def printable_lines(text: str) -> str:
	"""The same for a longer text, whose line ends and tabs stay."""
	return escaped(text, "\n\t")


def escaped(text: str, kept: str) -> str:
	"""The text with an escape for every character that cannot be printed, but for those in `kept`."""
	if text.isprintable():
		return text
	return "".join(char if char.isprintable() or char in kept else escape(char) for char in text)


def escape(char: str) -> str:
	r"""\x1b for a control character, \xff for a byte that was no text (surrogateescape)."""
	code = ord(char)
	if 0xDC80 <= code <= 0xDCFF:
		return f"\\x{code - 0xDC00:02x}"
	return char.encode("unicode_escape").decode()
