"""A fact as one line of JSON: the journal and --json write the same."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from fmx_restart.engine import events


def json_line(event: events.Event, at: float | None = None) -> str:
	"""Enums become their values. Instants are seconds since the epoch, durations are seconds. `at`: default is now."""
	moment = round(time.time() if at is None else at, 3)
	return json.dumps({"event": type(event).__name__, "time": moment, **asdict(event)}, default=sorted)
