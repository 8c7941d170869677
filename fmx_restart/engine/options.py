"""
What a restart does: its options, their defaults, and the rules between them. The command line and HTTP build them with
`restart_options`; nothing changes them afterwards. Sentences name options as they are typed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from enum import Enum
from typing import Any

from fmx_restart.engine.decoder import NotDecodable, decoder_of
from fmx_restart.engine.format import seconds_in
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import TIMEOUT, MigrationOptions
from fmx_restart.engine.phases import Phase


class InvalidOptions(ValueError):
	"""Options that contradict each other, or a value that an option cannot have. Its text is a sentence for who asked."""


class Strategy(str, Enum):
	"""How running jobs are treated: docs/strategies.md."""

	FAST = "fast"
	WAIT_WORKERS = "wait-workers"
	NO_WAIT_WORKERS = "no-wait-workers"
	SUSPEND_RQ = "suspend-rq"
	ROLLING = "rolling"


#: these end with no job running; the others leave running jobs to themselves
DRAINING = {Strategy.WAIT_WORKERS, Strategy.FAST}
#: they keep workers at work in service while others are replaced
ONE_BY_ONE = {Strategy.NO_WAIT_WORKERS, Strategy.ROLLING}
DRAIN_TIMEOUT = 300.0  # seconds that --wait-workers gives to running jobs
OLD_WEB_TIMEOUT = 3600.0  # seconds: time to repair a deploy, and an end to memory that is used twice
FORCE_KILL_TIMEOUT = 30.0  # seconds that running jobs get where nobody waits for them


class OnTimeout(str, Enum):
	"""What happens to jobs that still run when their time is over."""

	ABORT = "abort"  # nothing is restarted, the bench goes on as it was
	REQUEUE = "requeue"  # killed, and put back at the front of their queue, once
	KILL = "kill"  # killed, and left as failed


def usual_on_timeout(strategy: Strategy) -> OnTimeout:
	"""What happens with this strategy unless the person says otherwise."""
	return OnTimeout.ABORT if strategy in (Strategy.WAIT_WORKERS, Strategy.ROLLING) else OnTimeout.KILL


#: The phases in which sites can be closed, by the names that people type
CLOSABLE = {phase.value.lower(): phase for phase in (Phase.DRAIN, Phase.MIGRATE, Phase.RESTART)}
#: Web that is held is down then, so only before that a site can turn requests away
CLOSABLE_WHILE_HELD = frozenset({Phase.DRAIN})
NEVER = "none"  # in place of such a phase: sites stay open
ORIGINS = ("terminal", "desk", "api", "schedule")


@frozen
class Options:
	"""Built once, by restart_options or from_json, and never changed. Durations are seconds."""

	strategy: Strategy = Strategy.WAIT_WORKERS
	drain_timeout: float = DRAIN_TIMEOUT  # seconds that running jobs get to finish
	on_timeout: OnTimeout = OnTimeout.ABORT
	#: seconds that a busy worker gets where nobody waited for it
	force_kill_timeout: float = FORCE_KILL_TIMEOUT
	web: bool = True  # web and socketio
	workers: bool = True  # workers and scheduler
	start_stopped_web: bool = False  # a web program that someone stopped on purpose is started, too
	rolling_share: float = 0.0  # part of a queue's workers that may be away at once, 0 to 1; at least one
	rolling_timeout: float | None = None  # seconds for all workers; None: no limit
	rolling_max_failures: int = 1  # rolling stops when so many processes have not come back; at least 1
	#: seconds that old web workers serve while new ones do not answer
	old_web_timeout: float = OLD_WEB_TIMEOUT
	nginx: bool = False  # it is tested in the preflight, and reloaded once new web answers
	#: groups of programs whose configuration changed run by the new one from the restart on
	update_config: bool = False
	web_sites: tuple[str, ...] = ()  # those that someone typed: web must answer each afterwards
	sites: tuple[str, ...] = ()  # those that are migrated, and put into maintenance mode
	migration: MigrationOptions | None = None
	hosts: HostOptions | None = None  # None: all hosts at once
	maintenance: frozenset[Phase] = frozenset()  # of CLOSABLE: when the sites are closed
	queue_limit: int | None = None  # depth at which frappe.enqueue begins to raise; None: never
	ignore_code_faults: bool = False  # restart although web or workers could not load what is on the disk
	report_every: float = 5.0  # seconds between two StillRunning facts when nothing changes
	requested_by: str = ""  # shown to whoever is told that the bench is held
	origin: str = "terminal"  # of ORIGINS: from where it was asked for

	@property
	def touches_jobs(self) -> bool:
		"""Web alone can be restarted without a job noticing; a schema cannot be changed so."""
		return self.workers or self.migration is not None

	@property
	def may_reload(self) -> bool:
		"""
		Workers that can do so reload in place. Where all are stopped at once that would only take longer, and before a
		migration old code has to end.
		"""
		return self.workers and self.migration is None and self.strategy in ONE_BY_ONE

	@property
	def reloads_unmanaged(self) -> bool:
		"""Workers that no process manager runs can only reload in place, also where all others are stopped at once."""
		return self.workers and self.migration is None and self.strategy in DRAINING

	@property
	def stops_queue(self) -> bool:
		"""The queue is fenced for a while: no worker on this Redis starts a job then."""
		return self.touches_jobs and self.strategy is not Strategy.ROLLING

	def checked(self) -> Options:
		"""
		These options. Raises InvalidOptions. For an operation that is going to run, not for one in a journal: that one ran,
		whatever this version would say of its options.
		"""
		for problem in problems(self):
			raise InvalidOptions(problem)
		return self

	def to_json(self) -> dict[str, Any]:
		"""Plain values, for `from_json`. Only of options that were checked: JSON knows no NaN and no infinity."""
		return json.loads(json.dumps(asdict(self), default=sorted, allow_nan=False))

	@classmethod
	def from_json(cls, value: Any) -> Options:
		"""Raises InvalidOptions also for an unknown field, which may be an option of another version, and a wrong type."""
		try:
			return decoder_of(cls, strict=True)(value).checked()
		except NotDecodable as error:
			raise InvalidOptions(f"The options cannot be read: {error}.") from error


def restart_options(
	strategy: Strategy | None = None,
	*,
	limit: float | None = None,
	on_timeout: OnTimeout | None = None,
	migration: MigrationOptions | None = None,
	**others: Any,
) -> Options:
	"""
	Options with the defaults that go with the strategy. None: the default. `limit`: seconds that running jobs get to finish,
	or with rolling all workers together. `others`: further fields of Options. Raises InvalidOptions.
	"""
	chosen = strategy_for(strategy, migration)
	others = {name: value for name, value in others.items() if value is not None}
	others.setdefault("maintenance", usual_maintenance(migration))
	grace = others.get("force_kill_timeout", FORCE_KILL_TIMEOUT)
	patience = DRAIN_TIMEOUT if limit is None else limit
	return Options(
		strategy=chosen,
		drain_timeout=patience if chosen is Strategy.WAIT_WORKERS else grace,
		rolling_timeout=limit if chosen is Strategy.ROLLING else None,
		on_timeout=on_timeout or usual_on_timeout(chosen),
		migration=migration,
		**others,
	).checked()


def usual_maintenance(migration: MigrationOptions | None) -> frozenset[Phase]:
	"""Old web must not answer from a schema that it does not know: sites are closed while one changes, or web is stopped."""
	return frozenset({Phase.MIGRATE}) if migration and not migration.hold_web else frozenset()


def strategy_for(strategy: Strategy | None, migration: MigrationOptions | None) -> Strategy:
	"""A migration waits for running jobs: it has no fast way."""
	if migration and strategy in (None, Strategy.FAST):
		return Strategy.WAIT_WORKERS
	return strategy or Strategy.FAST


#: Fields of MigrationOptions that do nothing without a migration, and the options that set them
ONLY_WITH_MIGRATION = {
	"command": "--migrate-command",
	"skip_failing": "--skip-failing",
	"backup": "--backup",
	"hold_web": "--hold-web",
}


def migration_options(
	is_wanted: bool, *, timeout: float | None = None, **others: Any
) -> MigrationOptions | None:
	"""
	None where nothing is to be migrated. `others`: further fields of MigrationOptions. Raises InvalidOptions for what does
	nothing then.
	"""
	if is_wanted:
		return MigrationOptions(TIMEOUT if timeout is None else timeout, **others)
	for field, option in ONLY_WITH_MIGRATION.items():
		if others.get(field):
			raise InvalidOptions(f"{option} does nothing without --migrate.")
	return None


def share_of(value: str | float) -> float:
	"""25%, "25" or 25 → 0.25. Raises InvalidOptions for what is not a percentage."""
	percent = number_in(str(value).strip().removesuffix("%"))
	if not 0 <= percent <= 100:
		raise InvalidOptions(f"--rolling-share: {str(value)!r} is not a percentage from 0% to 100%.")
	return percent / 100


def number_in(text: str) -> float:
	"""NaN, which lies outside of all bounds, where it is none."""
	try:
		return float(text)
	except ValueError:
		return math.nan


def host_options(
	names: Iterable[str] = (),
	batch: str | int | None = None,
	pause: str | float | None = None,
	canary: str | float | None = None,
) -> HostOptions | None:
	"""
	None where nothing was asked for. `batch`: a number of hosts or a percentage of them; `pause` and `canary`: 60, 60s, 1m30s.
	Raises InvalidOptions.
	"""
	names = tuple(names)
	if not names and (batch, pause, canary) == (None, None, None):
		return None
	number, share = batch_of(batch)
	seconds = 0.0 if pause is None else duration_of("--host-pause", pause)
	watched = None if canary is None else duration_of("--canary", canary)
	return HostOptions(names, number, share, seconds, watched)


def batch_of(value: str | int | None) -> tuple[int, float]:
	"""Of --host-batch: how many hosts, or which part of them; the other one is 0. Raises InvalidOptions."""
	text = "" if value is None else str(value).strip()
	if not text:
		return 0, 0.0
	number = number_in(text.removesuffix("%"))
	if text.endswith("%") and 0 < number <= 100:
		return 0, number / 100
	if not text.endswith("%") and number >= 1 and number.is_integer():
		return int(number), 0.0
	raise InvalidOptions(
		f"--host-batch: {text!r} is neither a number of hosts from 1 on nor a percentage above 0% and up to 100%."
	)


def duration_of(option: str, value: str | float) -> float:
	"""Seconds. Raises InvalidOptions."""
	text = str(value).strip()
	seconds = seconds_in(text) if text[-1:].isalpha() else number_in(text)
	if seconds is None or not 0 <= seconds <= LONGEST_WAIT:
		raise InvalidOptions(
			f"{option}: {text!r} is not a duration up to 24h; type for example 60s or 1m30s."
		)
	return seconds


def phases_named(names: Iterable[str]) -> frozenset[Phase] | None:
	"""The phases of --maintenance-mode, by their lower-case names; None, for the default, without one. Raises InvalidOptions."""
	names = list(names)
	if not names:
		return None
	if names == [NEVER]:
		return frozenset()
	if unknown := [name for name in names if name not in list(CLOSABLE)]:
		raise InvalidOptions(
			f"--maintenance-mode: {unknown[0]!r} is none of {', '.join(CLOSABLE)}, nor {NEVER} alone."
		)
	return frozenset(CLOSABLE[name] for name in names)


#: field, the option that sets it, the least and the largest value
BOUNDS: tuple[tuple[str, str, float, float], ...] = (
	("force_kill_timeout", "--force-kill-timeout", 0, math.inf),
	("drain_timeout", "--wait-workers-timeout", 0, math.inf),
	("rolling_timeout", "--wait-workers-timeout", 0, math.inf),
	("rolling_max_failures", "--rolling-max-failures", 1, math.inf),
	("rolling_share", "--rolling-share", 0, 1),
	("old_web_timeout", "--old-web-timeout", 10, 86400),
	("report_every", "--wait-workers-poll", 0.1, math.inf),
)
LONGEST_SITE = 255  # characters
LONGEST_WAIT = 86400.0  # seconds for which a host is watched, or between two groups of hosts
WITH_HOSTS = {Strategy.WAIT_WORKERS, Strategy.ROLLING}  # the others cannot stop between two hosts


def problems(options: Options) -> Iterator[str]:
	"""A sentence for each rule that these options break."""
	for field, option, least, most in BOUNDS:
		yield from out_of_bounds(option, getattr(options, field), least, most)
	if not options.web and not options.workers:
		yield "--no-web and --no-workers leave nothing to restart."
	if options.origin not in ORIGINS:
		yield f"{options.origin!r} is none of {', '.join(ORIGINS)}."
	for site in dict.fromkeys((*options.sites, *options.web_sites)):
		if not is_site_name(site):
			yield f"{site!r} is not the name of a site."
	yield from problems_of_maintenance(options)
	yield from problems_of_update(options)
	if options.hosts:
		yield from problems_of_hosts(options, options.hosts)
	if options.migration:
		yield from problems_of_migration(options, options.migration)


def out_of_bounds(option: str, value: float | None, least: float, most: float = math.inf) -> Iterator[str]:
	"""NaN and infinity lie outside of all bounds."""
	if value is not None and not (least <= value <= most and value < math.inf):
		yield f"{option}: {value!r} is not a number from {least:g}{f' to {most:g}' if most < math.inf else ' on'}."


def is_site_name(name: str) -> bool:
	"""A folder's name, or `all`. Whether there is such a site is for the bench to say."""
	return (
		0 < len(name) <= LONGEST_SITE and name.isprintable() and "/" not in name and name not in (".", "..")
	)


def problems_of_maintenance(options: Options) -> Iterator[str]:
	"""Phases of --maintenance-mode that this operation does not have."""
	if not options.maintenance <= set(CLOSABLE.values()):
		yield f"Sites can be closed in these phases only: {', '.join(CLOSABLE)}."
	if Phase.MIGRATE in options.maintenance and not options.migration:
		yield "--maintenance-mode migrate does nothing without --migrate."
	if Phase.DRAIN in options.maintenance and options.strategy not in DRAINING:
		yield f"--maintenance-mode drain: {options.strategy.value} does not drain."


def problems_of_update(options: Options) -> Iterator[str]:
	"""A group is updated as a whole, when all its programs are down: nobody can keep some of its workers in service meanwhile."""
	if not options.update_config:
		return
	if options.touches_jobs and options.strategy in ONE_BY_ONE:
		yield (
			f"--update-config does not go with {options.strategy.value}, which keeps workers in service while others are"
			" replaced: a group is updated when all its programs are down. Use --wait-workers --update-config instead, which"
			" holds the queue while running jobs end."
		)


def problems_of_hosts(options: Options, hosts: HostOptions) -> Iterator[str]:
	"""What cannot be done host by host, and groups that make no sense."""
	if options.migration:
		yield "--migrate restarts every host at once: leave --hosts, --host-batch, --host-pause and --canary out."
	elif options.touches_jobs and options.strategy not in WITH_HOSTS:
		yield (
			"--hosts, --host-batch, --host-pause and --canary go with --wait-workers, --rolling or --no-workers:"
			f" {options.strategy.value} does not stop between two hosts."
		)
	if hosts.pause and not hosts.has_groups:
		yield "--host-pause does nothing without --host-batch or --canary."
	yield from out_of_bounds("--host-batch", hosts.batch, 0)
	yield from out_of_bounds("--host-batch", hosts.share, 0, 1)
	yield from out_of_bounds("--host-pause", hosts.pause, 0, LONGEST_WAIT)
	yield from out_of_bounds("--canary", hosts.canary, 0, LONGEST_WAIT)
	for name in hosts.names:
		if not is_host_name(name) or hosts.names.count(name) > 1:
			yield f"--hosts: {name!r} is not the name of a host, or stands there twice."


def is_host_name(name: str) -> bool:
	"""As the command hostname prints it, or as a manager's address names it. Whether there is one is for the bench to say."""
	return 0 < len(name) <= LONGEST_SITE and name.isprintable() and not set(name) & set(" ,")


def problems_of_migration(options: Options, migration: MigrationOptions) -> Iterator[str]:
	"""Options of a migration that contradict each other, or where the operation comes from."""
	yield from out_of_bounds("--migrate-timeout", migration.timeout, 1)
	if migration.hold_web:
		yield from problems_of_hold(options)
	if options.strategy is Strategy.FAST:
		yield "A migration waits for running jobs: it cannot be fast."
	if (
		migration.command and options.origin != "terminal"
	):  # it runs any program: someone with a shell typed it
		yield (
			"--migrate-command is for the terminal only. An operation that Desk, the API or a schedule started cannot"
			" use it."
		)
	if migration.command and migration.skip_failing:
		yield "--skip-failing is an option of bench migrate; put it into --migrate-command."


def problems_of_hold(options: Options) -> Iterator[str]:
	"""Options with which no request could wait for the migration."""
	if not options.web:
		yield "--hold-web does nothing with --no-web: web is not stopped."
	for phase in sorted(options.maintenance - CLOSABLE_WHILE_HELD):
		name = phase.value.lower()
		yield f"--hold-web lets requests wait, and --maintenance-mode {name} turns them away: leave one of them out."
