"""The options of bench safe-restart that are about an operation under way. Click only: every bench command imports this."""

from __future__ import annotations

from collections.abc import Callable

import click

OPTIONS = (
	click.option(
		"--detach",
		is_flag=True,
		help="Return once the preflight is over; the operation goes on without a terminal.",
	),
	click.option(
		"--attach",
		is_flag=True,
		help="Show the running operation from its beginning; Ctrl-C ends the view, not the operation.",
	),
	click.option("--cancel", is_flag=True, help="Stop the running operation, where all can still be undone."),
	click.option("--recover", is_flag=True, help="Clean up after an operation whose process died."),
	click.option(
		"--take-over",
		is_flag=True,
		help="With --recover: clean up after an operation of another machine that is gone for good.",
	),
	click.option("--operation", metavar="ID", hidden=True, help="Use this operation id (for launchers)."),
	click.option(
		"--origin",
		type=click.Choice(["terminal", "desk", "api", "schedule"]),
		default="terminal",
		hidden=True,
	),
	click.option("--requested-by", hidden=True, help="Record this person as the requester (for launchers)."),
)


def control_options(command: Callable) -> Callable:
	for option in reversed(OPTIONS):
		command = option(command)
	return command
