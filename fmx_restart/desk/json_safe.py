"""Values as JSON and a database can hold them everywhere."""

from __future__ import annotations

import math
from typing import Any

from fmx_restart.engine.plain_text import printable_lines


def finite(value: Any) -> Any:
	"""JSON knows no infinity: "no limit" is null. Bytes that are no text, in names that other programs chose, are escapes."""
	if isinstance(value, dict):
		return {finite(key): finite(item) for key, item in value.items()}
	if isinstance(value, (list, tuple)):
		return [finite(item) for item in value]
	if isinstance(value, str):
		return printable_lines(value)
	return None if isinstance(value, float) and not math.isfinite(value) else value
