"""The options of bench safe-restart. Click only: every bench command imports this."""

from __future__ import annotations

from collections.abc import Callable

import click

CONTROL_OPTIONS = (
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
	for option in reversed(CONTROL_OPTIONS):
		command = option(command)
	return command


MIGRATE_OPTIONS = (
	click.option(
		"--migrate",
		is_flag=True,
		help="Migrate the sites between drain and restart (implies --wait-workers).",
	),
	click.option(
		"--migrate-timeout",
		type=click.FloatRange(min=1),
		default=600.0,
		show_default=True,
		metavar="SECONDS",
		help="Give each site this long, and its backup too. Then its migration is stopped, and the bench is restarted.",
	),
	click.option(
		"--migrate-command",
		metavar="COMMAND",
		help="Run this command instead of bench migrate, in the sites folder and without a shell; {site} is replaced.",
	),
	click.option(
		"--skip-failing", is_flag=True, help="Go on after a patch that fails, as bench migrate does."
	),
	click.option("--backup", is_flag=True, help="Back up each site's database before the first is migrated."),
	click.option("--resume", is_flag=True, help="Migrate the sites that the last migration left over."),
	click.option(
		"--force",
		is_flag=True,
		help="Override failed safety checks where that is possible: an app that cannot be imported, running jobs or old"
		" workers during a migration.",
	),
	click.option(
		"--maintenance-mode",
		type=click.Choice(["drain", "migrate", "restart"]),
		multiple=True,
		help="Put the sites into maintenance mode during this phase; may be given more than once.",
	),
)


def migrate_options(command: Callable) -> Callable:
	for option in reversed(MIGRATE_OPTIONS):
		command = option(command)
	return command
