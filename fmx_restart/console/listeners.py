"""Listeners for what is no terminal: plain lines and JSON Lines. That of a terminal: live.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import click

from fmx_restart.console.report import report_lines
from fmx_restart.console.say import say
from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line


class JsonLines:
	def __init__(self, clock: Callable[[], float] = time.time) -> None:
		self.clock = clock

	def __call__(self, event: events.Event) -> None:
		click.echo(json_line(event, self.clock()))


class PlainLines:
	def __init__(self, verbose: bool = False, clock: Callable[[], float] = time.time) -> None:
		"""`verbose`: also each worker's state while the drain waits. `clock`: when a fact was told, since the epoch."""
		self.verbose, self.clock = verbose, clock

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.Ended):
			say("\n".join(report_lines(event.report)))
		elif text := sentence(event):
			say(f"{datetime.fromtimestamp(self.clock()):%H:%M:%S}  {text}")
		if self.verbose and isinstance(event, events.StillRunning):
			for worker in event.workers:
				say(
					f"          {worker.name[:12]} pid {worker.pid} {worker.state.value}: {', '.join(worker.queues)}"
				)
