"""Numbers as other programs and people write them: what is none is None, whatever it is."""

from __future__ import annotations

import math

HIGHEST_PORT = 65535
LARGEST = 1 << 53  # what JSON, and Redis' scores, can count


def number(text: str) -> float | None:
	"""Any finite number."""
	try:
		found = float(text)
	except (ValueError, OverflowError):
		return None
	return found if math.isfinite(found) else None


def whole_number(value: object) -> int | None:
	"""Of a number, or of a text of digits: people quote both. None for anything else."""
	if isinstance(value, bool):
		return None
	if isinstance(value, float):
		return int(value) if math.isfinite(value) and value == int(value) else None
	if isinstance(value, str):
		digits = value.strip().removeprefix("-")
		return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 17 else None
	return value if isinstance(value, int) and abs(value) <= LARGEST else None


def port_number(value: object) -> int | None:
	found = whole_number(value)
	return found if found and 0 < found <= HIGHEST_PORT else None
