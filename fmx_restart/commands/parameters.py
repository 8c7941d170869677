"""
The edge of bench safe-restart: what click has read becomes the options of a restart, and an Invocation for what concerns
the command alone. Nothing behind it sees click's parameters.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

import click

from fmx_restart.adapters.bench import is_site, named_sites
from fmx_restart.current_bench import frappe_is_imported, requester
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import (
	InvalidOptions,
	OnTimeout,
	Options,
	Strategy,
	host_options,
	migration_options,
	phases_named,
	restart_options,
	share_of,
)

Parameters = Mapping[str, Any]  # as click has read them, by name


class Action(str, Enum):
	"""What a command does. A name is that of the flag which asks for it; where several were typed the first counts."""

	STATUS = "show_status"
	ATTACH = "attach"
	CANCEL = "cancel"
	RECOVER = "recover"
	PLAN = "dry_run"
	RESTART = "restart"


@frozen
class Invocation:
	"""How a command was called: what it does, what it shows, and whether it asks and stays."""

	action: Action = Action.RESTART
	takes_over: bool = False  # with RECOVER: what another machine left, too
	as_json: bool = False
	verbose: bool = False  # more is shown: parked workers while waiting, processes in status
	detach: bool = False  # the command returns once the preflight is over
	yes: bool = False  # nothing is asked
	at: str | None = None  # when it starts, as it was typed; None: at once
	repeat: str = ""  # how often
	order: str | None = None  # the operation that Desk or the API ordered; its options stand in its file
	launched_from_web: bool = False  # the web process launched it, and no worker


def invocation(context: click.Context, parameters: Parameters) -> Invocation:
	"""Raises UsageError."""
	action = next((action for action in Action if parameters.get(action.value)), Action.RESTART)
	if parameters["take_over"] and action is not Action.RECOVER:
		raise click.UsageError(
			"--take-over goes with recover: bench safe-restart recover --take-over", context
		)
	return Invocation(
		action=action,
		at=typed_time(context, parameters, action),
		repeat=parameters.get("repeat") or "",
		takes_over=parameters["take_over"],
		as_json=parameters["as_json"],
		verbose=parameters["wait_workers_verbose"],
		detach=parameters["detach"],
		yes=parameters["yes"],
		order=ordered(context),
		launched_from_web=bool(context.params.get("launched_from_web")),
	)


def typed_time(context: click.Context, parameters: Parameters, action: Action) -> str | None:
	"""Of --at; an empty one stays one, and is refused as a time. Raises UsageError where it would do nothing."""
	at = parameters.get("at")
	if at is not None and action is not Action.RESTART:
		raise click.UsageError("--at goes with a restart only.", context)
	if at is None and parameters.get("repeat"):
		raise click.UsageError("--repeat goes with --at: write when it starts for the first time.", context)
	return at


def ordered(context: click.Context) -> str | None:
	"""The operation of --order. Its file has all the options: one that was typed beside it would do nothing."""
	operation = context.params.get("order")
	typed = [
		name
		for name in context.params
		if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
	]
	if operation is not None and set(typed) - {"order", "launched_from_web", "as_json"}:
		raise click.UsageError("--order goes with no other option: the options stand in its file.", context)
	if operation is None and "launched_from_web" in typed:
		raise click.UsageError("--launched-from-web goes with --order only.", context)
	return operation


def options(context: click.Context, parameters: Parameters) -> Options:
	"""Raises UsageError, and WrongEnvironment for a site that this bench does not have."""
	with wrong_usage(context):
		migration, share = migration_of(parameters), parameters["rolling_share"]
		web_sites, sites = sites_from(context, parameters, migrates=migration is not None)
		return restart_options(
			Strategy(parameters["strategy"]) if parameters["strategy"] else None,
			limit=parameters["wait_workers_timeout"],
			on_timeout=OnTimeout(parameters["on_timeout"]) if parameters["on_timeout"] else None,
			migration=migration,
			hosts=hosts_of(parameters),
			force_kill_timeout=parameters["force_kill_timeout"],
			old_web_timeout=parameters["old_web_timeout"],
			web=parameters["web"],
			nginx=parameters["nginx"],
			update_config=parameters["update_config"],
			workers=parameters["workers"],
			rolling_share=None if share is None else share_of(share),
			rolling_max_failures=parameters["rolling_max_failures"],
			web_sites=web_sites,
			sites=sites,
			maintenance=phases_named(parameters["maintenance_mode"]),
			# without Frappe it is typed for a bench that is broken, and known to be
			ignore_code_faults=parameters["force"] or not frappe_is_imported(),
			report_every=parameters["wait_workers_poll"],
			requested_by=requester(),
		)


def migration_of(parameters: Parameters) -> MigrationOptions | None:
	"""Raises InvalidOptions and BadParameter."""
	return migration_options(
		parameters["migrate"] or parameters["resume"],
		timeout=parameters["migrate_timeout"],
		command=words(parameters["migrate_command"]),
		skip_failing=parameters["skip_failing"],
		backup=parameters["backup"],
		force=parameters["force"],
		hold_web=parameters["hold_web"],
	)


def hosts_of(parameters: Parameters) -> HostOptions | None:
	"""Raises InvalidOptions."""
	typed = parameters["hosts"]
	names = () if typed is None else tuple(name.strip() for name in typed.split(","))
	return host_options(names, parameters["host_batch"], parameters["host_pause"], parameters["canary"])


def sites_from(
	context: click.Context, parameters: Parameters, *, migrates: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
	"""Those whose web must answer, and those that are meant by everything else. Raises UsageError and WrongEnvironment."""
	typed, before = parameters["site"], typed_before(context)
	if parameters["resume"]:
		return must_answer([before]), left_over(typed)
	chosen = chosen_sites(typed, sites_of(context), before, migrates=migrates)
	return must_answer(typed or [before]), chosen


@contextmanager
def wrong_usage(context: click.Context) -> Iterator[None]:
	"""What the engine refuses is an error of whoever typed it: exit code 2."""
	try:
		yield
	except InvalidOptions as error:
		raise click.UsageError(str(error), context) from error


def words(command: str | None) -> tuple[str, ...]:
	"""Of --migrate-command, as a shell splits them; no shell runs them. Raises BadParameter."""
	if command is None:
		return ()
	try:
		parts = tuple(shlex.split(command))
	except ValueError as error:
		raise click.BadParameter(f"{error}: {command}", param_hint="--migrate-command") from error
	if not parts:
		raise click.BadParameter("it is empty", param_hint="--migrate-command")
	return parts


def must_answer(typed: Iterable[str | None]) -> tuple[str, ...]:
	"""All sites of a bench may hold one that is not served at all: then those must answer that answered before."""
	names = tuple(dict.fromkeys(filter(None, typed)))
	return () if "all" in names else names


def chosen_sites(
	typed: Iterable[str], default: Iterable[str], before: str | None = None, *, migrates: bool = False
) -> tuple[str, ...]:
	"""
	Ours (`typed`) before the one of `bench --site` (`before`), before the bench's `default` site; in the order in which they
	were typed, each once. Raises WrongEnvironment for one that does not exist; a default site that does not is passed over,
	as long as no site is migrated.
	"""
	if named := tuple(typed) or (() if before is None else (before,)):
		return named_sites(named)
	return named_sites(default if migrates else filter(is_site, default))


def left_over(typed: Iterable[str]) -> tuple[str, ...]:
	"""For --resume. Raises UsageError where sites were typed as well, WrongEnvironment where no migration was left over."""
	if tuple(typed):
		raise click.UsageError("--resume knows its sites; leave --site out.")
	from fmx_restart.wiring import unfinished_sites

	left = unfinished_sites()
	if not left:
		raise WrongEnvironment(
			"There is no migration to continue: none failed, or its journal is gone. Nothing was changed.",
			hint="For every site, type: bench safe-restart --migrate --site all. For some, name each with --site.",
		)
	return named_sites(left)


def typed_before(context: click.Context) -> str | None:
	"""What stands in `bench --site NAME safe-restart`; None where bench chose the site."""
	return context.parent.params.get("site") if context.parent else None


def sites_of(context: click.Context) -> list[str]:
	"""Those that bench_helper found: a dict on Frappe 15, a dataclass on 16."""
	sites = context.obj.get("sites") if isinstance(context.obj, dict) else getattr(context.obj, "sites", None)
	return list(sites or [])
