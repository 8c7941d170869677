"""Values as JSON and a database can hold them everywhere."""

from __future__ import annotations

import math
from typing import Any

from fmx_restart.engine.plain_text import printable_lines


def json_safe(value: Any) -> Any:
	"""
	The same value with what JSON and a database can hold: None for an infinite number ("no limit"), lists for tuples, and
	escapes for characters that cannot be printed, such as bytes that are no text in names that other programs chose.
	"""
	if isinstance(value, dict):
		return {json_safe(key): json_safe(item) for key, item in value.items()}
	if isinstance(value, (list, tuple)):
		return [json_safe(item) for item in value]
	if isinstance(value, str):
		return printable_lines(value)
	return None if isinstance(value, float) and not math.isfinite(value) else value
