"""The setting fmx_restart_managers: process managers that cannot be found, or that want a user and a password."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath

from fmx_restart.adapters.managers.entries import Odd, read_entry, shown
from fmx_restart.adapters.managers.kind import Kind, NamedManager
from fmx_restart.adapters.managers.kinds import KINDS, kind_named
from fmx_restart.adapters.managers.names import MANAGERS
from fmx_restart.adapters.setting_rules import COMMON
from fmx_restart.engine.errors import WrongEnvironment

SHAPE = (
	f'Write it as a list, for example "{MANAGERS}": [{{"kind": "supervisor", "url": "http://app2:9001", "user": "bench", '
	'"password_file": "/home/frappe/app2.password"}]. bench doctor --explain managers-setting lists the keys.'
)


def named_managers(config: Mapping, environ: Mapping[str, str] = os.environ) -> tuple[NamedManager, ...]:
	"""`config`: common_site_config.json. Raises WrongEnvironment where any entry cannot be used."""
	value = config.get(MANAGERS)
	if value in (None, "", []):
		return ()
	if not isinstance(value, list):
		raise refused("is not a list")
	managers: list[NamedManager] = []
	for number, entry in enumerate(value, start=1):
		try:
			managers.append(read(entry, number, environ))
			refuse_twice(managers)
		except Odd as odd:
			raise refused(f"cannot be used: entry {number} {odd}") from None
	return tuple(managers)


def refused(why: str) -> WrongEnvironment:
	"""The error for a setting that cannot be used as a whole."""
	return WrongEnvironment(
		f"{MANAGERS} in sites/{PurePath(COMMON).name} {why}. Nothing was changed.", hint=SHAPE
	)


def read(value: object, number: int, environ: Mapping[str, str]) -> NamedManager:
	"""One entry, by its kind's own rules. Raises Odd."""
	if not isinstance(value, Mapping):
		raise Odd("is not an object")
	kind = checked_kind(value.get("kind"))
	return kind.read(read_entry(value, number, kind.keys), environ)


def checked_kind(name: object) -> Kind:
	"""Raises Odd for a kind that is unknown."""
	if name is None:
		raise Odd("has no kind")
	if name in KINDS:
		return kind_named(name)
	raise Odd(f"is of an unknown kind: {shown(name)}")


def refuse_twice(managers: list[NamedManager]) -> None:
	"""Raises Odd where the last one has the name of another, or the place of another of its kind."""
	*others, last = managers
	if any(last.name == other.name for other in others):
		raise Odd(f"has the name of another entry: {last.name}; give each a name of its own")
	if any((last.kind, last.place) == (other.kind, other.place) for other in others):
		raise Odd(f"has the {kind_named(last.kind).place_key} of another entry")


def readable_passwords(sites: Path, managers: tuple[NamedManager, ...]) -> Iterator[tuple[str, str]]:
	"""Names of managers, each with the file of its password where others can read that."""
	for manager in managers:
		files = [manager.password_file] if manager.password_file else []
		files += [str(sites / PurePath(COMMON).name)] if manager.has_password else []
		yield from ((manager.name, file) for file in files if is_read_by_others(Path(file)))


def is_read_by_others(path: Path) -> bool:
	"""By its mode and those of the folders above it, links followed. False where it cannot be looked at."""
	try:
		real = path.resolve()
		return bool(real.stat().st_mode & 0o004) and all(it.stat().st_mode & 0o001 for it in real.parents)
	except OSError:
		return False
