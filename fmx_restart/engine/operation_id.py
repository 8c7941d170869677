"""The id of an operation. It becomes a file name, a Redis key and an RQ job id, so nothing else may pass for one."""

from __future__ import annotations

import re
import secrets
import time

ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


def new_operation_id() -> str:
	"""Ids sort by the time at which they were made."""
	return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def is_operation_id(text: object) -> bool:
	return isinstance(text, str) and ID.fullmatch(text) is not None
