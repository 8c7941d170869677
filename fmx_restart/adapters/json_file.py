"""A configuration file that holds one JSON object."""

from __future__ import annotations

import json
from pathlib import Path


def read_object(path: Path) -> tuple[dict, str]:
	"""What it holds, and its text. Raises OSError, and ValueError with none of its contents."""
	try:
		text = path.read_text()
		found = json.loads(text)
	except json.JSONDecodeError as error:
		raise ValueError(f"{error.msg} in line {error.lineno}, column {error.colno}") from None
	except UnicodeDecodeError as error:
		raise ValueError(f"byte {error.start} is not text") from None
	except RecursionError:
		raise ValueError("it is nested too deeply") from None
	if not isinstance(found, dict):
		raise ValueError("it is not a JSON object")
	return found, text
