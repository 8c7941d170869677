"""Several listeners for one stream of facts. A listener that breaks must not break the restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fmx_restart.engine import events
from fmx_restart.engine.errors import JournalFault

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
				hint="Look at the free space and the permissions of the bench's logs/fmx_restart.",
			) from fault

	def _write(self, event: events.Event) -> OSError | None:
		try:
			if self.journal is not None:
				self.journal(event)
		except OSError as error:
			self.journal = None
			return error
		return None
