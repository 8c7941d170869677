"""Facts on their way to their listeners, and as the lines of JSON that the journal and --json write."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict

from fmx_restart.engine import events
from fmx_restart.engine.errors import JournalFault
from fmx_restart.engine.file_faults import NOT_SERVED

BROKEN = "Check whether the disk of the bench's logs/fmx_restart works, or the file server that it is mounted from."
FULL = "Check the free space and the permissions of the bench's logs/fmx_restart."
Listener = Callable[[events.Event], None]


class Emitter:
	"""
	The journal comes first: it is written before the act, and a journal that cannot be written is a reason not to act.
	A listener whose terminal went away (OSError) is dropped. One that cannot show a single fact, as on a terminal that
	has no arrow, misses that one.
	"""

	def __init__(self, journal: Listener | None, listeners: Iterable[Listener] = ()) -> None:
		self.journal, self.listeners = journal, list(listeners)

	def __call__(self, event: events.Event) -> None:
		"""Raises JournalFault, once: after that there is no journal any more. The other listeners were told."""
		fault = self._write(event)
		for listener in list(self.listeners):
			try:
				listener(event)
			except OSError:
				self.listeners.remove(listener)
			except ValueError:  # UnicodeEncodeError is one
				continue
		if fault is not None:
			raise JournalFault(
				f"The journal cannot be written: {fault.strerror or fault}.",
				hint=BROKEN if fault.errno in NOT_SERVED else FULL,
			) from fault

	def _write(self, event: events.Event) -> OSError | None:
		try:
			if self.journal is not None:
				self.journal(event)
		except OSError as error:
			self.journal = None
			return error
		return None


#: Of the journals that this version writes. Another number means: a fact was renamed, or means something else, so that a
#: version that knows only the former number must not act on it. A fact or a field that is only new needs no other number.
FORMAT = 1


def json_line(event: events.Event, at: float | None = None) -> str:
	"""Enums become their values. Instants are seconds since the epoch, durations are seconds. `at`: default is now."""
	moment = round(time.time() if at is None else at, 3)
	return json.dumps({"event": type(event).__name__, "time": moment, **asdict(event)}, default=sorted)
