"""The options of bench safe-restart that are about migrations. Click only: every bench command imports this."""

from __future__ import annotations

from collections.abc import Callable

import click

OPTIONS = (
	click.option("--migrate", is_flag=True, help="Migrate the sites between drain and restart."),
	click.option(
		"--migrate-timeout",
		type=click.FloatRange(min=1),
		default=600.0,
		show_default=True,
		metavar="SECONDS",
		help="How long one site may take, its backup too. Then it is stopped, and the bench restarted all the same.",
	),
	click.option(
		"--migrate-command",
		metavar="COMMAND",
		help="Instead of bench migrate, run in the sites folder without a shell; {site} is replaced.",
	),
	click.option(
		"--skip-failing", is_flag=True, help="Go on after a patch that fails, as bench migrate does."
	),
	click.option("--backup", is_flag=True, help="Back up each site's database before the first is migrated."),
	click.option("--resume", is_flag=True, help="Go on with the sites that the last migration left over."),
	click.option(
		"--force",
		is_flag=True,
		help="Restart, and migrate, in spite of what speaks against it, where that is possible: an app that cannot be"
		" imported, running jobs, old workers that stay.",
	),
	click.option(
		"--maintenance-mode",
		type=click.Choice(["drain", "migrate", "restart"]),
		multiple=True,
		help="Close the sites during this phase. May be given more than once.",
	),
)


def migrate_options(command: Callable) -> Callable:
	for option in reversed(OPTIONS):
		command = option(command)
	return command
