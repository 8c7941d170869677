"""What bench safe-restart hold does."""

from __future__ import annotations

import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

import click

from fmx_restart.adapters.user import who_types
from fmx_restart.commands.parameters import Parameters
from fmx_restart.commands.restart import exit_on_error
from fmx_restart.console.holds import held_lines, status_lines
from fmx_restart.console.listeners import PlainLines
from fmx_restart.console.machine_lines import answer_line
from fmx_restart.console.say import STDOUT, put, say
from fmx_restart.current_bench import requester
from fmx_restart.engine.emitter import Listener
from fmx_restart.engine.events import Event
from fmx_restart.engine.format import span
from fmx_restart.engine.holding import HoldOptions
from fmx_restart.engine.options import DRAIN_TIMEOUT
from fmx_restart.engine.ports import HeldQueue
from fmx_restart.engine.queue_hold import InvalidHold, checked_text, seconds_of
from fmx_restart.wiring import new_holding, read_held_queue

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOT_HELD = 4  # exit code
WAITS = "Waiting for running jobs to end, for {} at most; no worker starts another one. Ctrl-C takes the hold back."


def run(context: click.Context, parameters: Parameters) -> None:
	"""`parameters`: as click has read them."""
	owner = owner_of(context, parameters)
	with exit_on_error(as_json=parameters["as_json"]):
		if parameters["shows_status"]:
			refuse_beside_status(context)
			show_status(parameters["owner"], as_json=parameters["as_json"])
		else:
			hold(context, parameters, owner)


def owner_of(context: click.Context, parameters: Parameters) -> str:
	"""As it was typed; else who types. Raises UsageError."""
	typed = parameters["owner"]
	if typed is not None and not typed.strip():
		raise click.UsageError("--owner needs a name.", context)
	with wrong_usage(context):
		return checked_text("--owner", typed.strip() if typed else who_types())


@contextmanager
def wrong_usage(context: click.Context) -> Iterator[None]:
	"""What cannot be given to anybody is an error of whoever typed it: exit code 2."""
	try:
		yield
	except InvalidHold as error:
		raise click.UsageError(str(error), context) from error


def refuse_beside_status(context: click.Context) -> None:
	"""Raises UsageError: nobody may believe that the queue is held now."""
	for name in ("duration", "drain", "drain_timeout", "reason"):
		if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
			option = {"duration": "for"}.get(name, name).replace("_", "-")
			raise click.UsageError(f"--{option} does nothing with --status. Nothing was changed.", context)


def hold(context: click.Context, parameters: Parameters, owner: str) -> None:
	"""Until it stands. Raises UsageError, and the OperationError that kept the queue from being held."""
	limit = drain_limit(context, parameters)
	with wrong_usage(context):
		seconds = seconds_of(parameters["duration"])
		reason = checked_text("--reason", parameters["reason"].strip())
	wanted = HoldOptions(owner, seconds, reason, by=requester(), drain_timeout=limit)
	as_json = parameters["as_json"]
	if limit is not None and not as_json:
		say(WAITS.format(span(limit)))
	holding = new_holding(wanted, listener(as_json=as_json))
	with stopped_by_signals(holding.stop_requested):
		made = holding.run()
	queue = read_held_queue()
	lines = held_lines(made, queue, owner=parameters["owner"])
	tell(lines, {"hold": asdict(made), **shown(queue)}, as_json=as_json)


def drain_limit(context: click.Context, parameters: Parameters) -> float | None:
	"""Seconds that running jobs get; None where nobody waits for them. Raises UsageError."""
	limit = parameters["drain_timeout"]
	if limit is None:
		return DRAIN_TIMEOUT if parameters["drain"] else None
	if not parameters["drain"]:
		raise click.UsageError("--drain-timeout does nothing without --drain. Nothing was changed.", context)
	if not 0 <= limit < float("inf"):
		raise click.UsageError(f"--drain-timeout: {limit!r} is not a number from 0 on.", context)
	return limit


@contextmanager
def stopped_by_signals(stop_requested: threading.Event) -> Iterator[None]:
	"""Ctrl-C, TERM and a terminal that hangs up; one that is ignored, as under nohup, stays so."""
	before = {number: signal.getsignal(number) for number in SIGNALS}
	heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
	for number in heard:
		signal.signal(number, lambda *_: stop_requested.set())
	try:
		yield
	finally:
		for number in heard:
			signal.signal(number, before[number])


def listener(*, as_json: bool) -> Listener:
	"""
	For a person, while it waits. A terminal or a pipe that takes nothing just now must not keep the fence from being renewed: then
	a line is left out.
	"""
	if as_json:
		return lambda event: None
	lines = PlainLines()

	def show(event: Event) -> None:
		with suppress(OSError, ValueError):  # standard output was closed
			if select.select([], [STDOUT], [], 0)[1]:
				lines(event)

	return show


def show_status(owner: str | None, *, as_json: bool) -> None:
	"""`owner`: only the hold by this name; None: any. Raises Exit where none stands."""
	queue = read_held_queue()
	asked = [hold for hold in queue.holds if owner in (None, hold.owner)]
	is_held = any(hold.has_stood and not hold.is_beginning for hold in asked)
	tell(status_lines(queue, asked), {"is_held": is_held, **shown(queue)}, as_json=as_json)
	if not is_held:
		raise click.exceptions.Exit(NOT_HELD)


def shown(queue: HeldQueue) -> dict[str, Any]:
	"""Of the queue, for programs."""
	return {
		"bench": queue.bench,
		"suspension": queue.look.suspension,
		"holds": [asdict(hold) for hold in queue.holds],
		"running": queue.running,
		"depths": dict(queue.look.depths),
		"other_benches": dict(queue.look.other_benches),
	}


def tell(lines: list[str], answer: dict[str, Any], *, as_json: bool) -> None:
	"""To a person, or as one object whose sentence is the first line."""
	if as_json:
		put(answer_line(lines[0], answer))
	else:
		say("\n".join(lines))
