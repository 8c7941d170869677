"""What bench safe-restart setup web does: it shows a change to the bench's configuration, asks, and makes it or takes it back."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fmx_restart.adapters.bench import bench_path
from fmx_restart.adapters.web.gunicorn_configuration import (
	LINES,
	Change,
	PlannedChange,
	carry_out,
	plan_installation,
	plan_removal,
)
from fmx_restart.adapters.web.ways import SETUP as COMMAND
from fmx_restart.commands.restart import exit_on_error, is_terminal
from fmx_restart.engine.errors import WrongEnvironment

WHAT_IT_DOES = {
	Change.CREATE: "Create {file} with these lines:",
	Change.APPEND: "Append these lines to {file}; what stands there now stays:",
	Change.CUT: "Remove these lines from {file}; everything else stays:",
	Change.DELETE: "Delete {file}, which holds only these lines:",
}
DONE = {
	True: "Removed. Web restarts as before from its next restart on.",
	False: "Done. Active from the next start of web on: bench safe-restart --no-workers",
}
AGAIN = "Type the same command again."
ALREADY = {True: "{file} has no lines of fmx_restart.", False: "{file} has the lines already."}


def run(*, removes: bool, yes: bool) -> None:
	"""Exits with 7 where nothing may be changed: no terminal and no --yes, or a file that is not ours to change."""
	with exit_on_error():
		planned = plan(removes=removes)
		if planned.change is Change.NONE:
			click.echo(ALREADY[removes].format(file=planned.file))
			return
		click.echo(f"{WHAT_IT_DOES[planned.change].format(file=planned.file)}\n\n{LINES}")
		agree(yes, COMMAND + (" --remove" if removes else ""))
		if plan(removes=removes) != planned:
			raise WrongEnvironment(f"{planned.file} was changed meanwhile. Nothing was done.", hint=AGAIN)
		change(planned)
	click.echo(DONE[removes])


def plan(*, removes: bool) -> PlannedChange:
	"""Raises WrongEnvironment."""
	sites = Path(bench_path(), "sites")
	try:
		planned = plan_removal(sites) if removes else plan_installation(sites)
	except OSError as error:
		raise WrongEnvironment(
			f"{error.filename} cannot be read: {error.strerror}. Nothing was changed."
		) from error
	if planned.change is Change.BY_HAND:
		what = (
			"Remove the lines of fmx_restart from it by hand."
			if removes
			else f"Add these lines at its end:\n\n{LINES}"
		)
		raise WrongEnvironment(f"{planned.file} was not changed: {planned.reason}.", hint=what)
	return planned


def agree(yes: bool, command: str) -> None:
	"""`command`: as it was typed. Raises WrongEnvironment without a terminal and without --yes, Abort for a no."""
	if yes:
		return
	if not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
		raise WrongEnvironment(
			"There is no terminal to ask on. Nothing was changed.",
			hint=f"To make this change, type: {command} --yes",
		)
	click.confirm("Go on?", default=True, abort=True)


def change(planned: PlannedChange) -> None:
	"""Raises WrongEnvironment."""
	try:
		carry_out(planned)
	except OSError as error:
		raise WrongEnvironment(
			f"{planned.file} cannot be written: {error.strerror}. Nothing was changed."
		) from error
