"""The options of bench safe-restart that are about migrations. Click only: every bench command imports this."""

from __future__ import annotations

from collections.abc import Callable

import click

OPTIONS = (
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
	for option in reversed(OPTIONS):
		command = option(command)
	return command
