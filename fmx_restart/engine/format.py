"""Durations, sizes, counts and ends of sentences, as people write them."""

from __future__ import annotations

import math
import re

#: A unit in seconds, its name, and the next smaller one
UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def span(seconds: float | None) -> str:
	"""A duration in its two largest units; "no limit" for None and for an infinite one."""
	if seconds is None or math.isinf(seconds):
		return "no limit"
	if seconds < 10:
		text = f"{seconds:.1f}" if seconds >= 0.1 or seconds == 0 else f"{seconds:.2f}"
		return f"{text.removesuffix('.0')} s"
	rounded = round(seconds)
	for size, unit, smaller, smaller_unit in UNITS:
		if rounded >= size:
			rest = rounded % size // smaller
			return f"{rounded // size} {unit} {rest} {smaller_unit}" if rest else f"{rounded // size} {unit}"
	return f"{rounded} s"


SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(?:[0-9]{1,9}[smhd])+")


def seconds_in(text: str) -> int | None:
	"""Of 20m, 1h30m or 90s; None for anything else."""
	text = text.strip().lower()
	if not DURATION.fullmatch(text):
		return None
	return sum(int(number) * SECONDS_OF[unit] for number, unit in re.findall(r"([0-9]+)([smhd])", text))


def size(bytes: float) -> str:
	"""As people say it: 45 MB, 1.5 GB."""
	gigabytes = bytes / 2**30
	return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{bytes / 2**20:.0f} MB"


def count(number: int, noun: str) -> str:
	"""1 job, 2,000 jobs."""
	return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
	"""For the regular nouns that this app counts."""
	return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def following(join: str, text: str) -> str:
	"""The end of a sentence; nothing where the text is left out, as on sites that may not see it."""
	return f"{join}{text}" if text else ""
