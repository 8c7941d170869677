"""Text that someone else wrote, made fit to be shown."""

from __future__ import annotations


def plain_text(text: str, most: int) -> str:
	"""Its printable characters, at most so many: no control sequence and no line break reaches a terminal or a log."""
	shown = "".join(character for character in text[: 4 * most] if character.isprintable()).strip()
	return shown if len(shown) <= most else f"{shown[: most - 1]}…"
