"""A fact as one line of JSON: the journal and --json write the same."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from fmx_restart.engine import events

#: Of the journals that this version writes. Another number means: a fact was renamed, or means something else, so that a
#: version that knows only the former number must not act on it. A fact or a field that is only new needs no other number.
FORMAT = 1


def json_line(event: events.Event, at: float | None = None) -> str:
	"""Enums become their values. Instants are seconds since the epoch, durations are seconds. `at`: default is now."""
	moment = round(time.time() if at is None else at, 3)
	return json.dumps({"event": type(event).__name__, "time": moment, **asdict(event)}, default=sorted)
