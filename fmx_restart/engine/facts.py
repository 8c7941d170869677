"""A fact as one line of JSON: the journal and --json write the same."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from fmx_restart.engine import events


def json_line(event: events.Event) -> str:
	"""Enums become their values. Instants are seconds since the epoch, durations are seconds."""
	return json.dumps({"event": type(event).__name__, "time": round(time.time(), 3), **asdict(event)})
