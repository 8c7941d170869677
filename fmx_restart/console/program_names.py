"""What people call programs: the one place. Commands to type, and JSON, have the names that the manager knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

#: What bench puts in front of the programs that it writes for a process manager; its group comes before that
OF_BENCH = re.compile(r"(?P<manager>(?:.*/)?).*-(?:frappe|node)-(?P<own>.+)")
UNIT = ".service"


def short_program(name: str) -> str:
	"""
	"fmx-bench-workers:fmx-bench-frappe-long-worker-0" → "long-worker-0". The name of its manager stays, where there are
	several; a name that bench did not make stays as it is, but for the ending of a unit.
	"""
	name = name.removesuffix(UNIT)
	found = OF_BENCH.fullmatch(name)
	return f"{found['manager']}{found['own']}" if found else name


def short_programs(names: Iterable[str]) -> dict[str, str]:
	"""Name → its short form, for names that are shown together: the whole name where two would be called the same."""
	short = {name: short_program(name) for name in names}
	number = Counter(short.values())
	return {name: its if number[its] == 1 else name for name, its in short.items()}


def short_list(names: Iterable[str]) -> str:
	"""Their short names in one line."""
	return ", ".join(short_programs(names).values())
