"""Durations, counts and ends of sentences, as people write them."""

from __future__ import annotations


def span(seconds: float | None) -> str:
	"""A duration; "no limit" for None."""
	if seconds is None:
		return "no limit"
	if seconds < 10:
		return f"{seconds:.1f} s" if seconds >= 0.1 or seconds == 0 else f"{seconds:.2f} s"
	minutes, rest = divmod(round(seconds), 60)
	return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def count(number: int, noun: str) -> str:
	return f"{number} {noun}" if number == 1 else f"{number} {plural(noun)}"


def plural(noun: str) -> str:
	return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def following(join: str, text: str) -> str:
	"""The end of a sentence; nothing where the text is left out, as on sites that may not see it."""
	return f"{join}{text}" if text else ""
