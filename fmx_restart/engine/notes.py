"""Notes that stand in Redis beside an owner: JSON that anybody on the same Redis may have written, read with care."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TypeVar

from fmx_restart.engine.plain_text import printable

T = TypeVar("T")
MOST_SHOWN = 140  # characters of a name that someone else wrote
LATEST = 1e11  # seconds since the epoch: the year 5138; what lies beyond is no instant
KINDS = {"str": str, "int": int, "float": (int, float), "bool": bool}


def read_note(kind: type[T], value: str | None) -> T | None:
	"""
	The value of a lease: an owner, a space, a note. None where it is no note of that kind: whatever does not have the right
	types is none. Text is cut to what can be shown, and what another version notes in addition is left out.
	"""
	names = {field.name for field in fields(kind)}
	_, brace, rest = (value or "").partition("{")
	try:
		note = json.loads(brace + rest)
		read = kind(**{name: cleaned(item) for name, item in note.items() if name in names})
	except (ValueError, TypeError, AttributeError, RecursionError):
		return None
	return read if is_sound(read) else None


def is_sound(note: object) -> bool:
	"""Whether each field has the type that its class gives it, and each number of seconds is one that a clock can show."""
	for field in fields(note):
		value, kind = getattr(note, field.name), KINDS[str(field.type)]
		if not isinstance(value, kind) or (str(field.type) == "float" and not 0 <= value <= LATEST):
			return False
	return True


def cleaned(value: object) -> object:
	"""A text cut to what can be shown; anything else as it is."""
	return printable(value, MOST_SHOWN) if isinstance(value, str) else value
