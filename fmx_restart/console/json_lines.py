"""One fact a line, as JSON; the last one is the report. Names and fields are those of engine/events.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from fmx_restart.engine import events
from fmx_restart.engine.facts import json_line


class JsonLines:
	def __init__(self, clock: Callable[[], float] = time.time) -> None:
		self.clock = clock

	def __call__(self, event: events.Event) -> None:
		click.echo(json_line(event, self.clock()))
