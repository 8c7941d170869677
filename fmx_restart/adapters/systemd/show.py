"""What `systemctl show` tells about units. Asking needs no privilege."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence

TIMEOUT = 1.5  # seconds
UNITS = {
	"usec": 1e-6,
	"us": 1e-6,
	"msec": 1e-3,
	"ms": 1e-3,
	"s": 1,
	"min": 60,
	"h": 3600,
	"d": 86400,
	"w": 604800,
	"month": 2629800,
	"y": 31557600,
}
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def show(units: Sequence[str], properties: Iterable[str], *, user: bool = False) -> list[dict[str, str]]:
	"""
	One mapping for each unit that is loaded, by systemd's own property names. Empty where systemd does not answer.
	`units` may hold patterns such as bench-*.
	"""
	program = shutil.which("systemctl")
	if program is None:
		return []
	words = [program, *(["--user"] if user else []), "--no-pager", "show"]
	words += [f"--property={','.join(properties)}", "--", *units]
	try:
		done = subprocess.run(
			words,
			capture_output=True,
			text=True,
			errors="replace",
			timeout=TIMEOUT,
			stdin=subprocess.DEVNULL,
		)
	except (OSError, subprocess.TimeoutExpired):
		return []
	return parse(done.stdout) if done.returncode == 0 else []


def parse(text: str) -> list[dict[str, str]]:
	"""Blocks of Name=value lines, an empty line between two units. A name that comes twice keeps both, by lines."""
	found = []
	for block in re.split(r"\n\s*\n", text.strip()):
		unit: dict[str, str] = {}
		for line in block.splitlines():
			name, is_property, value = line.partition("=")
			if is_property:
				unit[name] = f"{unit[name]}\n{value}" if name in unit else value
		if unit:
			found.append(unit)
	return found


def seconds(span: str) -> float | None:
	"""Of a time as systemctl prints it: 1min 30s. None for infinity, and for what cannot be read."""
	amounts = AMOUNT.findall(span)
	if not amounts or any(unit not in UNITS for _, unit in amounts):
		return 0.0 if span == "0" else None
	return sum(float(number) * UNITS[unit] for number, unit in amounts)
