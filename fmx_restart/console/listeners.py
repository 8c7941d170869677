"""The listener for what is no terminal: plain lines. That of a terminal: live.py; that of programs: machine_lines.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from fmx_restart.console.report import report_lines
from fmx_restart.console.say import say
from fmx_restart.console.sentences import Reasons, details, sentence
from fmx_restart.engine import events


class PlainLines:
	def __init__(self, verbose: bool = False, clock: Callable[[], float] = time.time) -> None:
		"""`verbose`: also each worker's state while the drain waits. `clock`: when a fact was told, since the epoch."""
		self.verbose, self.clock = verbose, clock
		self.reasons = Reasons()

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.Ended):
			say("\n".join(report_lines(event.report)))
		elif text := self.reasons.without_repetition(event, sentence(event)):
			say(f"{datetime.fromtimestamp(self.clock()):%H:%M:%S}  {text}")
		for text in details(event) if self.verbose else ():
			say(f"          {text}")
