"""
bench safe-restart. This module is imported on every bench command and by every worker: click only, the rest
inside the functions (measured by tests/test_layers.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from fmx_restart.commands import doctor_command, worker_command
from fmx_restart.commands import options as option
from fmx_restart.commands.sections import SectionedCommand, SectionedGroup

HELP = """
Restart this bench without losing a background job.

Without a strategy, jobs get --force-kill-timeout (30 s), then are killed and listed in the report: for development
and emergencies. No queued job is lost.

The operation runs in a session of its own, and closing the terminal does not stop it. Ctrl-C asks it to stop; a second
Ctrl-C leaves it running.
"""

EXAMPLES = (
	"plan --wait-workers",
	"--wait-workers --wait-workers-timeout 600 --on-timeout requeue",
	"--migrate --backup --maintenance-mode migrate --site all",
	"--migrate --resume",
	"--rolling --rolling-share 25%",
	"--wait-workers --detach",
)
EXIT_CODES = {
	"0": "done",
	"3": "jobs still running at the timeout: the restart gave up",
	"4": "a process did not come back, or web is stopped",
	"6": "a migration failed; the bench was restarted. Or a backup failed",
	"7": "wrong environment; nothing was restarted. Or a setting was not restored",
	"75": "another operation holds the bench",
	"130": "stopped by Ctrl-C or TERM",
}


def without_subcommand(context: click.Context, **parameters) -> None:
	"""`bench safe-restart` alone restarts."""
	if context.invoked_subcommand is not None:
		return
	from fmx_restart.commands.restart import run

	run(context, parameters)


safe_restart = SectionedGroup(
	"safe-restart",
	callback=click.pass_context(without_subcommand),
	sections=option.SECTIONS,
	params=[*option.FORMER, *option.LAUNCHERS],
	examples=EXAMPLES,
	invoke_without_command=True,
	subcommand_metavar="[COMMAND]",
	help=HELP,
	exit_codes=EXIT_CODES,
)


def by_flag(
	name: str,
	flag: str,
	help: str,
	sections: Mapping[str, Sequence[click.Option]],
	hidden: Sequence[click.Option] = (),
) -> None:
	"""A subcommand that does what the restart's own flag of that name does."""

	def run_with_flag(context: click.Context, **parameters) -> None:
		from fmx_restart.commands.restart import run

		run(context.parent, {**context.parent.params, **parameters, flag: True})

	callback = click.pass_context(run_with_flag)
	safe_restart.add_command(
		SectionedCommand(name, callback=callback, sections=sections, params=list(hidden), help=help)
	)


by_flag(
	"plan",
	"dry_run",
	"Show what a restart would do; change nothing.",
	option.PLAN_SECTIONS,
	option.WITHOUT_EFFECT_ON_PLAN,
)
by_flag(
	"status",
	"show_status",
	"Show who holds this bench, its programs and its workers.",
	{"Options": (option.PROCESSES, option.JSON)},
)
by_flag(
	"attach",
	"attach",
	"Show the running operation, or the last one. Ctrl-C ends the view.",
	{"Options": (option.JSON_LINES, option.VERBOSE)},
)
by_flag("cancel", "cancel", "Stop the running operation while it can still be undone.", {"Options": ()})
by_flag(
	"recover",
	"recover",
	"Clean up after an operation whose process died.",
	{"Options": (option.TAKE_OVER, option.JSON_LINES)},
)


def hold_queue(context: click.Context, **parameters) -> None:
	"""`bench safe-restart hold`."""
	from fmx_restart.commands.hold import run

	run(context, parameters)


safe_restart.add_command(
	SectionedCommand(
		"hold",
		callback=click.pass_context(hold_queue),
		sections={"Options": (*option.HOLD, option.OWNER, option.HOLD_STATUS, option.JSON)},
		help="Hold the queue for a while: no worker starts a job.",
		examples=("--for 20m --drain --reason 'new image'", "--for 2h", "--status"),
		exit_codes={
			"0": "held",
			"3": "jobs still running; the hold was taken back",
			"4": "with --status: no hold stands",
			"7": "wrong environment; nothing was changed",
			"130": "stopped by Ctrl-C or TERM; the hold was taken back",
		},
	)
)


def release_queue(context: click.Context, **parameters) -> None:
	"""`bench safe-restart release`."""
	from fmx_restart.commands.release import run

	run(context, parameters)


safe_restart.add_command(
	SectionedCommand(
		"release",
		callback=click.pass_context(release_queue),
		sections={"Options": (option.WHOSE, option.ALL_HOLDS, option.JSON)},
		help="Lift a hold, so that the queue runs again.",
		exit_codes={
			"0": "lifted, or released before",
			"4": "the hold had ended before, or someone had lifted it: jobs may have run",
			"7": "wrong environment; nothing was changed",
			"75": "the queue is held by others only; nothing was changed",
		},
	)
)


def show_logs(context: click.Context, program: str | None, count: int, as_json: bool) -> None:
	"""`bench safe-restart logs [PROGRAM]`."""
	from fmx_restart.commands.logs import run

	run(program, count, as_json)


safe_restart.add_command(
	SectionedCommand(
		"logs",
		callback=click.pass_context(show_logs),
		sections={"Options": (option.TAIL, option.JSON)},
		params=[option.PROGRAM],
		help="Show the end of every program's log, or of one program's.",
	)
)


def show_managers(context: click.Context, as_json: bool) -> None:
	"""`bench safe-restart managers`."""
	from fmx_restart.commands.managers import run

	run(as_json)


safe_restart.add_command(
	SectionedCommand(
		"managers",
		callback=click.pass_context(show_managers),
		sections={"Options": (option.JSON,)},
		help="Show the process managers of this bench, and what each runs.",
		exit_codes={
			"0": "shown, also where one does not answer",
			"7": "none was found, or the setting cannot be used",
		},
	)
)


def list_history(context: click.Context, limit: int, as_json: bool) -> None:
	"""`bench safe-restart history`."""
	from fmx_restart.commands.history import run

	run(limit, as_json)


safe_restart.add_command(
	SectionedCommand(
		"history",
		callback=click.pass_context(list_history),
		sections={"Options": (option.LIMIT, option.JSON)},
		help="List past operations, the newest first.",
	)
)


def show_scheduled(context: click.Context, cancel: str | None, as_json: bool) -> None:
	"""`bench safe-restart scheduled`."""
	from fmx_restart.commands.restart import exit_on_error
	from fmx_restart.commands.schedule import show

	with exit_on_error(as_json=as_json):
		show(cancel, as_json)


safe_restart.add_command(
	SectionedCommand(
		"scheduled",
		callback=click.pass_context(show_scheduled),
		sections={"Options": (option.CANCEL_SCHEDULED, option.JSON)},
		help="List the restarts that are scheduled, or cancel one.",
	)
)


def set_up(context: click.Context, what: str | None, remove: bool, yes: bool) -> None:
	"""`bench safe-restart setup`: one thing or, where none is named, both. One that cannot be changed does not keep the other back."""
	from fmx_restart.commands import setup, setup_worker

	parts, code = {"web": setup, "worker": setup_worker}, 0
	for part in [what] if what else parts:
		try:
			parts[part].run(removes=remove, yes=yes)
		except click.exceptions.Exit as end:
			code = code or end.exit_code
	context.exit(code)


safe_restart.add_command(
	SectionedCommand(
		"setup",
		callback=click.pass_context(set_up),
		sections={"Options": (option.REMOVE, option.YES)},
		params=[option.WHAT],
		help="Set up web or workers for restarts that lose nothing.",
	)
)

commands = [safe_restart, *doctor_command.commands, *worker_command.own_commands()]
