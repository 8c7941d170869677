"""The id of an operation. It becomes a file name, a Redis key and an RQ job id, so nothing else may pass for one."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from datetime import datetime, timedelta

ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
STAMP = "%Y%m%d-%H%M%S"


def new_operation_id(newest: str = "") -> str:
	"""
	Ids sort in the order in which they were made. `newest`: the last one that is known; where the clock was set back, or one
	second has two of them, the new one still sorts after it.
	"""
	now = datetime.now()
	with suppress(ValueError, OverflowError):
		now = max(now, datetime.strptime(newest[:15], STAMP) + timedelta(seconds=1))
	return f"{now.strftime(STAMP)}-{secrets.token_hex(2)}"


def is_operation_id(text: object) -> bool:
	return isinstance(text, str) and ID.fullmatch(text) is not None
