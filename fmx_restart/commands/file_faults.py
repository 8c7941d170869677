"""
What a command says where a file cannot be read, as on a share whose file server fails: no traceback. Click only: every bench
command imports this, so that nothing has to be read from that share once it fails.
"""

from __future__ import annotations

from contextlib import suppress

import click

from fmx_restart.engine.file_faults import hint_of, what_failed

EXIT_CODE = 7
READS_ONLY = ("plan", "status", "attach", "logs", "managers", "history", "doctor", "restart-doctor")
CHANGING = ("fix", "cancel")  # options with which others, too, change something


def exit_with(context: click.Context, error: OSError) -> None:
	"""Raises Exit. `context`: of the command that met it."""
	text, hint = f"{what_failed(error)} {what_it_changed(context)}", hint_of(error)
	if context.params.get("as_json"):
		tell_programs(text, hint)
	with suppress(OSError):  # whoever closed standard error gets the exit code all the same
		click.secho(f"Error: {text}", fg="red", err=True)
		click.echo(hint, err=True)
	raise click.exceptions.Exit(EXIT_CODE) from error


def tell_programs(text: str, hint: str) -> None:
	"""As any command that could not do what was typed. Nothing where our own code cannot be read either."""
	with suppress(OSError):
		from fmx_restart.console.machine_lines import error_line
		from fmx_restart.engine.errors import WrongEnvironment

		click.echo(error_line(WrongEnvironment(text, hint=hint)))


def what_it_changed(context: click.Context) -> str:
	"""A command that was under way may have begun something."""
	reads = context.info_name in READS_ONLY or context.params.get("dry_run")
	if reads and not any(map(context.params.get, CHANGING)):
		return "Nothing was changed."
	return "An operation that had begun goes on by itself: bench safe-restart status shows it."
