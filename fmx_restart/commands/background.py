"""The ways into the background: the command returns, its operation goes on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

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
	leave_terminal()


def begin_in_background() -> Callable[[], None]:
	"""
	Returns in a new process of its own session, which has the terminal until it calls what is returned. The one that was
	typed waits for that and ends with 0; or, where the new one ends before, with its exit code.
	"""
	reading, writing = os.pipe()
	if child := os.fork():
		os.close(writing)
		os._exit(exit_code_of(child, reading))
	os.close(reading)
	os.setsid()

	def let_go() -> None:
		sys.stdout.flush()
		sys.stderr.flush()
		os.write(writing, b"\0")
		os.close(writing)
		leave_terminal()

	return let_go


def exit_code_of(child: int, reading: int) -> int:
	"""Ctrl-C reaches only the process that was typed: it is handed on."""
	signal.signal(signal.SIGINT, lambda *_: os.kill(child, signal.SIGINT))
	if os.read(reading, 1):
		return 0
	return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def leave_terminal() -> None:
	nowhere = os.open(os.devnull, os.O_RDWR)
	for stream in (0, 1, 2):
		os.dup2(nowhere, stream)
	os.close(nowhere)


class Detaching:
	"""
	A listener that lets whoever typed the command go as soon as the operation is past its preflight: what can be refused
	was refused by then, on their terminal and with its exit code.
	"""

	def __init__(self, operation: Operation, let_go: Callable[[], None], *, is_told: bool) -> None:
		self.operation, self.let_go, self.is_told = operation, let_go, is_told
		self.is_done = False

	def __call__(self, event: events.Event) -> None:
		if self.is_done or not isinstance(event, events.PhaseEntered):
			return
		self.is_done = True
		if self.is_told:
			click.echo(
				f"Operation {self.operation.id} goes on in the background."
				" Watch it: bench safe-restart --attach. Stop it: bench safe-restart --cancel."
			)
		self.let_go()
		self.operation.emit(events.WentIntoBackground(self.operation.bench.host.me()))
