"""
Which sites command the bench, and what all other sites may: the one owner of that rule. It is read from
common_site_config.json alone, never from a site's own site_config.json, and never from a database or Redis: their
owners are the ones that the rule is about.

Which sites have the app installed is told by a mark in each site's folder. The app's own hooks write it, as the bench
user; a site's administrator has no way to.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from fmx_restart.adapters.bench import COMMON, is_site, read_config
from fmx_restart.engine.frozen import frozen

CONTROL_KEY = "fmx_restart_control_sites"
OTHERS_KEY = "fmx_restart_other_sites"
MARK = "fmx_restart_installed"  # a file in the folder of each site that has the app


class Mode(str, Enum):
	"""What a site sees and may, besides what roles its users have."""

	OFF = "off"  # nothing
	OWN = "own"  # sees where an operation stands, and its own jobs
	RESTART = "restart"  # and starts what waits for every job and kills none
	CONTROL = "control"  # commands the bench


OTHER_MODES = (Mode.OFF, Mode.OWN, Mode.RESTART)


@frozen
class AccessFault:
	"""A setting that does not mean what someone wanted, or is missing. `subject`: the site or the key."""

	subject: str
	text: str
	remedy: str
	is_error: bool = False  # someone may have less than was meant, or nobody commands the bench


@frozen
class AccessRule:
	control: frozenset[str]
	others: Mode
	faults: tuple[AccessFault, ...] = ()
	advice: str = ""  # the line to type where several sites have the app and no control site is named

	def mode(self, site: str) -> Mode:
		"""What this site sees and commands: the whole bench, or as much as all other sites do."""
		return Mode.CONTROL if site in self.control else self.others


def read_rule(folder: Path = Path()) -> AccessRule:
	"""Of the bench with this sites folder, as it stands now. Raises WrongEnvironment where the file cannot be read."""
	return rule_of(read_config(folder), folder)


def rule_of(config: Mapping, folder: Path) -> AccessRule:
	"""`config`: common_site_config.json of this sites folder."""
	others, faults = others_in(config)
	named, more_faults = named_in(config)
	faults += more_faults
	if named is None:
		return by_default(folder, config, others, faults)
	faults += [missing(site) for site in named if not is_site(site, folder)]
	control = frozenset(site for site in named if is_site(site, folder))
	return AccessRule(control, others, tuple(faults))


def by_default(folder: Path, config: Mapping, others: Mode, faults: list[AccessFault]) -> AccessRule:
	"""Nobody named a control site: where one site has the app, it is that one; where several have it, none."""
	marked = marked_sites(folder)
	if len(marked) <= 1:
		return AccessRule(frozenset(marked), others, tuple(faults))
	default = config.get("default_site")
	advice = line_to_type(default if default in marked else marked[0])
	text = f"The app is on several sites ({', '.join(marked)}), and no control site is named: the bench cannot be restarted from Desk or the API."
	return AccessRule(frozenset(), others, (*faults, AccessFault("", text, advice)), advice)


def others_in(config: Mapping) -> tuple[Mode, list[AccessFault]]:
	"""
	The mode of sites that do not command the bench, and what is wrong with the setting. A value that is not known counts as
	off.
	"""
	value = config.get(OTHERS_KEY, Mode.OWN.value)
	known = {mode.value: mode for mode in OTHER_MODES}
	if isinstance(value, str) and value in known:
		return known[value], []
	text = f"{OTHERS_KEY} in sites/{COMMON} is {shown(value)}, which is none of {', '.join(known)}. It counts as off."
	return Mode.OFF, [AccessFault(OTHERS_KEY, text, f"bench set-config -g {OTHERS_KEY} own", is_error=True)]


def named_in(config: Mapping) -> tuple[list[str] | None, list[AccessFault]]:
	"""One name, names with commas, or a list. None where the key is not there. What is none of these names no site."""
	if CONTROL_KEY not in config:
		return None, []
	value = config[CONTROL_KEY]
	names = value.split(",") if isinstance(value, str) else value
	if isinstance(names, list) and all(isinstance(name, str) for name in names):
		return [name.strip() for name in names if name.strip()], []
	text = f"{CONTROL_KEY} in sites/{COMMON} is {shown(value)}, which is neither a site nor a list of sites. It names none."
	return [], [AccessFault(CONTROL_KEY, text, line_to_type("SITE"), is_error=True)]


def missing(site: str) -> AccessFault:
	"""A fault for a control site that does not exist."""
	text = f"{CONTROL_KEY} in sites/{COMMON} names {shown(site)}, and there is no such site. It commands nothing."
	return AccessFault(site, text, line_to_type("SITE"), is_error=True)


def shown(value: Any) -> str:
	"""A setting as JSON, cut at 80 characters, as it may hold anything."""
	return json.dumps(value)[:80]


def line_to_type(site: str) -> str:
	"""The same on Frappe 15 and 16: -g is for the whole bench, -p makes a list of the text."""
	return f"bench set-config -g -p {CONTROL_KEY} {shlex.quote(json.dumps([site]))}"


def marked_sites(folder: Path = Path()) -> list[str]:
	"""Those that have the app installed. A link is only another name of one."""
	folders = {mark.parent for mark in folder.glob(f"*/{MARK}")}
	return sorted(site.name for site in folders if not site.is_symlink() and is_site(site.name, folder))


def mark_site(site: str, folder: Path = Path()) -> None:
	"""Note in its folder that the site has this app. Raises OSError."""
	(folder / site / MARK).touch(mode=0o600)


def unmark_site(site: str, folder: Path = Path()) -> None:
	"""Take the note away; nothing is wrong if there is none."""
	(folder / site / MARK).unlink(missing_ok=True)
