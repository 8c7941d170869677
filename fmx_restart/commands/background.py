"""The way into the background: the command returns, its operation goes on."""

from __future__ import annotations

import os
import sys

import click

from fmx_restart.engine import events
from fmx_restart.engine.operation import Operation


def go_on_in_background(exit_code: int) -> None:
	"""
	A process of its own session goes on from here, with everything it has imported and opened; the one that was typed
	ends with `exit_code` and touches none of it any more: lock, Redis and supervisor connections have one user as before.
	"""
	sys.stdout.flush()
	sys.stderr.flush()
	if os.fork():
		os._exit(exit_code)
	os.setsid()
	nowhere = os.open(os.devnull, os.O_RDWR)
	for stream in (0, 1, 2):
		os.dup2(nowhere, stream)


class Detaching:
	"""
	A listener that lets whoever typed the command go as soon as the operation is past its preflight: what can be refused
	was refused by then, on their terminal and with its exit code.
	"""

	def __init__(self, operation: Operation, *, is_told: bool) -> None:
		self.operation, self.is_told, self.is_done = operation, is_told, False

	def __call__(self, event: events.Event) -> None:
		if self.is_done or not isinstance(event, events.PhaseEntered):
			return
		self.is_done = True
		if self.is_told:
			click.echo(
				f"Operation {self.operation.id} goes on in the background."
				" Watch it: bench safe-restart --attach. Stop it: bench safe-restart --cancel."
			)
		self.operation.go_on_in_background(0)
