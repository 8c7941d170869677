"""Several listeners for one stream of facts. A listener that breaks must not break the restart."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fmx_restart.engine import events

Listener = Callable[[events.Event], None]


class Emitter:
	"""
	A listener whose terminal or disk went away (OSError) is dropped; `dropped` says why. One that cannot show a single
	fact, as on a terminal that has no arrow, misses that one.
	"""

	def __init__(self, listeners: Iterable[Listener]) -> None:
		self.listeners = list(listeners)
		self.dropped: list[tuple[Listener, OSError]] = []

	def __call__(self, event: events.Event) -> None:
		for listener in list(self.listeners):
			try:
				listener(event)
			except OSError as error:
				self.listeners.remove(listener)
				self.dropped.append((listener, error))
			except ValueError:  # UnicodeEncodeError is one
				continue
