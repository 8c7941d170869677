"""How long a worker that was told to leave has, before whoever told it kills it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

#: In common_site_config.json: seconds, or seconds for each list of queues, as it stands after bench worker --queue
SETTING = "fmx_restart_worker_grace"
VARIABLE = "FMX_RESTART_WORKER_GRACE"  # of one worker; it overrules the setting
ALL_QUEUES = "*"
SHARE, LEAST = 0.1, 1.0  # of it, and seconds, for what is left to do when the job was ended


def grace_of(
	settings: Mapping[str, Any], queues: Sequence[str], environ: Mapping[str, str] = os.environ
) -> float:
	"""
	Seconds that a job may go on. Infinity where nobody says when the worker is killed. `queues`: their names in full.
	"""
	seconds = told_seconds(settings, [queue.rpartition(":")[2] for queue in queues], environ)
	return max(seconds / 2, seconds - max(LEAST, SHARE * seconds)) if seconds else math.inf


def told_seconds(settings: Mapping[str, Any], queues: Sequence[str], environ: Mapping[str, str]) -> float:
	"""From the order to leave until the worker is killed; 0 where nobody says. `queues`: without the bench's name."""
	told = settings.get(SETTING)
	if isinstance(told, dict):
		told = told.get(",".join(queues), told.get(ALL_QUEUES))
	return seconds_in(environ.get(VARIABLE)) or seconds_in(told)


def seconds_in(value: object) -> float:
	"""0 for what is no number above 0, and for infinity."""
	try:
		seconds = (
			float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
		)
	except (ValueError, OverflowError):
		return 0.0
	return seconds if 0 < seconds < math.inf else 0.0
