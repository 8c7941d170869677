"""What was typed about migrations and settings, as the engine's options."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import click

from fmx_restart.adapters.bench_config import is_site, refuse_unknown_sites, sites
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.this_bench import unfinished_sites

PHASES = {"drain": Phase.DRAIN, "migrate": Phase.MIGRATE, "restart": Phase.RESTART}
ONLY_WITH_MIGRATE = ("migrate_command", "skip_failing", "backup")


def is_wanted(given: dict) -> bool:
	return given["migrate"] or given["resume"]


def check(given: dict, strategy: Strategy) -> None:
	"""Raises UsageError for options that contradict each other."""
	check_migrate_command(given)
	if not is_wanted(given):
		for name in ONLY_WITH_MIGRATE:
			if given[name]:
				raise click.UsageError(f"--{name.replace('_', '-')} does nothing without --migrate.")
		if "migrate" in given["maintenance_mode"]:
			raise click.UsageError("--maintenance-mode migrate does nothing without --migrate.")
	if given["resume"] and given["site"]:
		raise click.UsageError("--resume knows its sites; leave --site out.")
	if "drain" in given["maintenance_mode"] and strategy not in (Strategy.FAST, Strategy.WAIT_WORKERS):
		raise click.UsageError(f"--maintenance-mode drain: {strategy.value} does not drain.")


def check_migrate_command(given: dict) -> None:
	"""It runs any program, so it must have been typed by someone who has a shell on the bench."""
	if given["migrate_command"] and given["origin"] != "terminal":
		raise click.UsageError(
			"--migrate-command is for the terminal only. An operation that Desk, the API or a schedule started cannot use it."
		)
	if given["migrate_command"] and given["skip_failing"]:
		raise click.UsageError("--skip-failing is an option of bench migrate; put it into --migrate-command.")


def migration(given: dict) -> MigrationOptions | None:
	if not is_wanted(given):
		return None
	return MigrationOptions(
		timeout=given["migrate_timeout"],
		command=words(given["migrate_command"]),
		skip_failing=given["skip_failing"],
		backup=given["backup"],
		force=given["force"],
	)


def words(command: str | None) -> tuple[str, ...]:
	if command is None:
		return ()
	try:
		found = tuple(shlex.split(command))
	except ValueError as error:
		raise click.BadParameter(f"{error}: {command}", param_hint="--migrate-command") from error
	if not found:
		raise click.BadParameter("it is empty", param_hint="--migrate-command")
	return found


def maintenance(given: dict) -> frozenset[Phase]:
	return frozenset(PHASES[name] for name in given["maintenance_mode"])


def chosen_sites(given: dict, default: Iterable[str], typed: str | None = None) -> tuple[str, ...]:
	"""
	Ours before the one of `bench --site` (`typed`), before the bench's `default` site; in the order in which they were
	typed, each once. Raises WrongEnvironment for one that does not exist; a default site that does not is passed over, as
	long as no site is migrated.
	"""
	if given["resume"]:
		named = left_over()
	elif given["site"] or typed is not None:
		named = given["site"] or (typed,)
	else:
		named = tuple(default if is_wanted(given) else filter(is_site, default))
	found = [site for name in named for site in (sites() if name == "all" else [name])]
	refuse_unknown_sites(found)
	return tuple(dict.fromkeys(found))


def left_over() -> tuple[str, ...]:
	found = unfinished_sites()
	if not found:
		raise WrongEnvironment(
			"There is no migration to go on with: none failed, or its journal is gone. Nothing was changed.",
			hint="Name the sites: bench safe-restart --migrate --site NAME, or --site all.",
		)
	return found
