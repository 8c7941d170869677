"""The options of bench safe-restart that are about an operation under way. Click only: every bench command imports this."""

from __future__ import annotations

from collections.abc import Callable

import click

OPTIONS = (
	click.option(
		"--detach", is_flag=True, help="Begin, and go on in the background: a lost terminal ends nothing."
	),
	click.option(
		"--attach",
		is_flag=True,
		help="Show the operation under way from its beginning; Ctrl-C leaves it alone.",
	),
	click.option(
		"--cancel", is_flag=True, help="Stop the operation under way, where all can still be undone."
	),
	click.option("--recover", is_flag=True, help="Clean up after an operation whose process died."),
	click.option(
		"--take-over",
		is_flag=True,
		help="With --recover: clean up after an operation of another machine that is gone for good.",
	),
	click.option("--operation", metavar="ID", hidden=True, help="Its name, for whoever launches it."),
	click.option(
		"--origin",
		type=click.Choice(["terminal", "desk", "api", "schedule"]),
		default="terminal",
		hidden=True,
	),
	click.option(
		"--requested-by", hidden=True, help="Who asked for it, for whoever launches it for somebody else."
	),
)


def control_options(command: Callable) -> Callable:
	for option in reversed(OPTIONS):
		command = option(command)
	return command
