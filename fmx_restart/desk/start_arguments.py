"""
The edge of the API: arguments as a client sent them, by the names of the command's options, become the options of a restart.
KINDS is the one closed list of what a client may ask for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from fmx_restart.adapters.bench import read_config
from fmx_restart.adapters.schedule import lateness
from fmx_restart.adapters.scheduled_events import zone_named
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
from fmx_restart.engine.start_time import InvalidStartTime, StartTime, parse

YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def options_from(arguments: Mapping[str, Any], site: str) -> Options:
	"""
	`site`: the one that was asked over. `all` among the sites stands as it was sent, and nobody has looked yet whether there
	are such sites. Raises InvalidOptions.
	"""
	sent = {name: read(name, arguments[name]) for name, read in KINDS.items()}
	migration = migration_options(
		sent["migrate"],
		timeout=sent["migrate_timeout"],
		skip_failing=sent["skip_failing"],
		backup=sent["backup"],
		hold_web=sent["hold_web"],
		force=sent["force"],
	)
	# without a migration the site only says whose web answer is checked: this one's
	sites = (sent["sites"] if migration else ()) or (site,)
	return restart_options(
		sent["strategy"] or Strategy.WAIT_WORKERS,
		limit=sent["wait_workers_timeout"],
		on_timeout=sent["on_timeout"],
		migration=migration,
		hosts=host_options(sent["hosts"], sent["host_batch"], sent["host_pause"], sent["canary"]),
		force_kill_timeout=sent["force_kill_timeout"],
		web=sent["web"],
		update_config=sent["update_config"],
		workers=sent["workers"],
		rolling_share=sent["rolling_share"],
		rolling_max_failures=sent["rolling_max_failures"],
		sites=sites,
		maintenance=phases_named(sent["maintenance_mode"]),
		ignore_code_faults=sent["force"],
	)


TIME = ("at", "repeat")  # when it starts: no options of the restart


def start_time_from(arguments: Mapping[str, Any], zone: str) -> StartTime | None:
	"""None: at once. An empty time is none: a client may have meant one. `zone`: the site's. Raises InvalidOptions."""
	at, repeat = arguments.get("at"), str(arguments.get("repeat") or "").strip()
	if at is None and repeat:
		raise InvalidOptions("repeat goes with at: write when it is to start for the first time.")
	try:
		if at is None:
			return None
		return parse(str(at), repeat, time.time(), zone, zone_named, lateness(read_config()))
	except InvalidStartTime as error:
		raise InvalidOptions(f"at: {error} Nothing was changed.") from error


def flag(name: str, value: Any) -> bool:
	"""1, true, yes, on and their opposites, as HTTP has them. Raises InvalidOptions."""
	text = str(value).strip().lower()
	if text not in YES | NO:
		raise InvalidOptions(f"{name}: {value!r} is neither yes nor no.")
	return text in YES


def optional(kind: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
	"""None where nothing was sent: the default. Clients send text where the command has numbers."""

	def read(name: str, value: Any) -> Any:
		if value in (None, ""):
			return None
		try:
			return kind(value)
		except InvalidOptions:
			raise
		except (TypeError, ValueError, OverflowError) as error:
			raise InvalidOptions(f"{value!r} is not a value of {name}.") from error

	return read


def number(value: Any) -> float:
	"""Raises ValueError also for true and false, which float() takes."""
	return float(str(value))


def whole(value: Any) -> int:
	"""Raises ValueError also for 1.5, which int() would round, and for true and false."""
	return int(str(value))


def names(name: str, value: list | str | None) -> tuple[str, ...]:
	"""Of a list, JSON of one, or names with commas."""
	if isinstance(value, str):
		value = json_list(name, value) if value.strip().startswith("[") else value.split(",")
	return tuple(dict.fromkeys(str(item).strip() for item in value or () if str(item).strip()))


def json_list(name: str, text: str) -> list:
	"""A list that came as JSON text. Raises InvalidOptions."""
	try:
		return json.loads(text)
	except (ValueError, RecursionError) as error:
		raise InvalidOptions(f"{name}: {text!r} is not a JSON list.") from error


KINDS: dict[str, Callable[[str, Any], Any]] = {
	**dict.fromkeys(
		("web", "workers", "migrate", "backup", "skip_failing", "hold_web", "force", "update_config"), flag
	),
	**dict.fromkeys(("wait_workers_timeout", "force_kill_timeout", "migrate_timeout"), optional(number)),
	**dict.fromkeys(("sites", "maintenance_mode", "hosts"), names),
	**dict.fromkeys(("host_batch", "host_pause", "canary"), optional(str)),
	"strategy": optional(Strategy),
	"on_timeout": optional(OnTimeout),
	"rolling_share": optional(share_of),
	"rolling_max_failures": optional(whole),
}
