"""The command line that asks for the same restart: for people to read and to copy. This app never executes it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import TIMEOUT, MigrationOptions
from fmx_restart.engine.options import NEVER, Options, Strategy, usual_maintenance, usual_on_timeout
from fmx_restart.engine.start_time import StartTime

USUAL = Options()
#: Options that set a number, and nothing else; with the field that each of them sets
NUMBERS = {
	"--force-kill-timeout": "force_kill_timeout",
	"--old-web-timeout": "old_web_timeout",
	"--rolling-max-failures": "rolling_max_failures",
	"--wait-workers-poll": "report_every",
}


def restart_command(options: Options, when: StartTime | None = None) -> str:
	"""Without what has no option: who asked, from where, and what only the bench knows. `when`: None for at once."""
	return shlex.join(["bench", "safe-restart", *words_of(options), *(words_of_time(when) if when else [])])


def words_of_time(when: StartTime) -> list[str]:
	"""The words that name the same time on any day, in any zone of the machine."""
	window = f"-{when.end}" if when.end else ""
	at = f"--at={when.day} {when.clock}{window} {when.zone}"
	return [at, *([f"--repeat={when.repeat}"] if when.repeat else [])]


def words_of(options: Options) -> list[str]:
	"""A value is joined to its option: one that begins with a dash is no option of its own."""
	words = [f"--{options.strategy.value}"] if options.strategy is not Strategy.FAST else []
	words += [f"{option}={value}" for option, value in values_of(options)]
	words += [f"--no-{name}" for name in ("web", "workers") if not getattr(options, name)]
	words += ["--nginx"] if options.nginx else []
	words += ["--update-config"] if options.update_config else []
	words += [f"{option}={value}" for option, value in host_values(options.hosts)] if options.hosts else []
	if options.migration:
		words += migration_words(options.migration)
	if options.ignore_code_faults or (options.migration and options.migration.force):
		words.append("--force")
	if options.maintenance != usual_maintenance(options.migration):
		closed = [phase.value.lower() for phase in sorted(options.maintenance)]
		words += [f"--maintenance-mode={name}" for name in closed or [NEVER]]
	return [*words, *(f"--site={site}" for site in options.sites)]


def values_of(options: Options) -> Iterator[tuple[str, str]]:
	"""What differs from the default."""
	if options.strategy is Strategy.WAIT_WORKERS and options.drain_timeout != USUAL.drain_timeout:
		yield "--wait-workers-timeout", number(options.drain_timeout)
	if options.rolling_timeout is not None:
		yield "--wait-workers-timeout", number(options.rolling_timeout)
	if options.on_timeout is not usual_on_timeout(options.strategy):
		yield "--on-timeout", options.on_timeout.value
	if options.rolling_share:
		yield "--rolling-share", f"{options.rolling_share * 100:.10g}%"
	for option, field in NUMBERS.items():
		value = getattr(options, field)
		if value != getattr(USUAL, field):
			yield option, number(value)


def host_values(hosts: HostOptions) -> Iterator[tuple[str, str]]:
	"""What was asked for."""
	if hosts.names:
		yield "--hosts", ",".join(hosts.names)
	if hosts.batch:
		yield "--host-batch", str(hosts.batch)
	if hosts.share:
		yield "--host-batch", f"{hosts.share * 100:.10g}%"
	if hosts.pause:
		yield "--host-pause", f"{number(hosts.pause)}"
	if hosts.canary is not None:
		yield "--canary", f"{number(hosts.canary)}"


def migration_words(migration: MigrationOptions) -> list[str]:
	"""The words after which a person gets the same migration; defaults are left out."""
	words = ["--migrate"]
	if migration.timeout != TIMEOUT:
		words.append(f"--migrate-timeout={number(migration.timeout)}")
	if migration.command:
		words.append(f"--migrate-command={shlex.join(migration.command)}")
	words += ["--skip-failing"] if migration.skip_failing else []
	words += ["--hold-web"] if migration.hold_web else []
	return [*words, *(["--backup"] if migration.backup else [])]


def number(value: float) -> str:
	"""300.0 as 300: so a person types it."""
	return str(int(value)) if float(value).is_integer() else repr(value)
