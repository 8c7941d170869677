"""The setting fmx_restart_managers: process managers that cannot be found, or that want a user and a password."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from fmx_restart.adapters.managers.names import MANAGERS
from fmx_restart.adapters.managers.supervisor.connection import UNIX, Address, Unusable, parse_url
from fmx_restart.adapters.setting_rules import COMMON, text_of_file
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen

SUPERVISOR = "supervisor"
LATER = ("systemd", "docker", "kubernetes")  # kinds that are not supported yet
SOURCES = ("password", "password_file", "password_env")
KEYS = ("kind", "url", "user", *SOURCES, "name", "host")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
LONGEST = 4096  # characters of a password, or of any other text
SHAPE = (
	f'Write it as a list, for example "{MANAGERS}": [{{"kind": "supervisor", "url": "http://app2:9001", "user": "bench", '
	'"password_file": "/home/frappe/app2.password"}]. bench doctor --explain managers-setting lists the keys.'
)


@frozen
class NamedManager:
	"""One entry of the setting. `host`: the name of the machine that it runs on, where that is not this one; may be empty."""

	name: str
	address: Address
	host: str
	password_file: str = ""
	has_password: bool = False  # in common_site_config.json itself


class Odd(ValueError):
	"""What is wrong with an entry, in words that follow "entry 2"; no part of a value that may be secret."""


def named_managers(config: Mapping, environ: Mapping[str, str] = os.environ) -> tuple[NamedManager, ...]:
	"""`config`: common_site_config.json. Raises WrongEnvironment where any entry cannot be used."""
	value = config.get(MANAGERS)
	if value in (None, "", []):
		return ()
	if not isinstance(value, list):
		raise refused("is not a list")
	managers = []
	for number, entry in enumerate(value, start=1):
		try:
			managers.append(read_entry(entry, number, environ))
			refuse_twice(managers)
		except Odd as odd:
			raise refused(f"cannot be used: entry {number} {odd}") from None
	return tuple(managers)


def refused(why: str) -> WrongEnvironment:
	"""The error for a setting that cannot be used as a whole."""
	return WrongEnvironment(
		f"{MANAGERS} in sites/{PurePath(COMMON).name} {why}. Nothing was changed.", hint=SHAPE
	)


def read_entry(entry: object, number: int, environ: Mapping[str, str]) -> NamedManager:
	"""Raises Odd."""
	if not isinstance(entry, Mapping):
		raise Odd("is not an object")
	check_kind(entry.get("kind"))
	check_keys(entry)
	address = address_of(entry, f"{MANAGERS}, entry {number}")
	user, password = login_of(entry, address, environ)
	return NamedManager(
		name_of(entry, address),
		Address(address.url, user, password, address.source),
		entry.get("host", ""),
		password_file=entry.get("password_file", ""),
		has_password="password" in entry or address.password is not None,
	)


def check_kind(kind: object) -> None:
	"""Raises Odd for every kind but that which is supported."""
	if kind in LATER:
		raise Odd(f"is of the kind {kind}, which is not supported yet")
	if kind is None:
		raise Odd("has no kind")
	if kind != SUPERVISOR:
		raise Odd(f"is of an unknown kind: {shown(kind)}")


def check_keys(entry: Mapping[str, Any]) -> None:
	"""Raises Odd for a key that is not known, and for a value that is no text."""
	if unknown := [key for key in entry if key not in KEYS]:
		raise Odd(f"has an unknown key: {shown(unknown[0])}; known are {', '.join(KEYS)}")
	for key, value in entry.items():
		if not isinstance(value, str) or not value or len(value) > LONGEST:
			raise Odd(f"has a value of {key} that is not text, is empty or is too long")
	if not is_host(entry.get("host", "x")):
		raise Odd("has a host that is no name of a machine")


def is_host(name: str) -> bool:
	"""As the command hostname prints it."""
	return name.isprintable() and not re.search(r"[\s/]", name)


def address_of(entry: Mapping[str, str], source: str) -> Address:
	"""Raises Odd, with nothing of the URL, as it may hold a password."""
	url = entry.get("url")
	if url is None:
		raise Odd("has no url")
	address = parse_url(url, source)
	is_relative = url.startswith(UNIX) and not url[len(UNIX) :].startswith(("/", "~"))
	if isinstance(address, Unusable) or is_relative:
		raise Odd("has a url that is neither unix:///path/to/supervisor.sock nor http://host:port")
	return address


def login_of(
	entry: Mapping[str, str], address: Address, environ: Mapping[str, str]
) -> tuple[str | None, str | None]:
	"""User and password; None and None where it wants none. Raises Odd."""
	given = [key for key in SOURCES if key in entry]
	if address.username is not None or address.password is not None:
		if given or "user" in entry:
			raise Odd("has user or password both in its url and beside it")
		given, user = ["url"], address.username
	else:
		user = entry.get("user")
	if len(given) > 1:
		raise Odd(f"has more than one of {', '.join(SOURCES)}")
	if not given and not user:
		return None, None
	if not given:
		raise Odd(f"has a user and no password: give one of {', '.join(SOURCES)}")
	if not user or ":" in user:
		raise Odd("has a password and no user, or a user with a colon")
	password = address.password if given == ["url"] else password_from(given[0], entry[given[0]], environ)
	if not password:
		raise Odd("has a user and no password in its url")
	return user, password


def password_from(source: str, value: str, environ: Mapping[str, str]) -> str:
	"""`source`: one of SOURCES. Raises Odd where there is no password; the names of files and variables are no secrets."""
	if source == "password":
		return value
	if source == "password_env":
		if not environ.get(value):
			raise Odd(f"takes its password from the environment variable {shown(value)}, which is not set")
		return environ[value]
	return password_in(value)


def password_in(path: str) -> str:
	"""The file's text without the line's end. Raises Odd."""
	if not path.startswith("/"):
		raise Odd("has a password_file that does not begin with /")
	try:
		text = text_of_file(Path(path)).rstrip("\n")
	except OSError as error:
		raise Odd(f"has a password_file that cannot be read: {shown(path)}: {error.strerror}") from None
	except ValueError:  # its text may show what stands there
		raise Odd(f"has a password_file that is no text file: {shown(path)}") from None
	if not text or len(text) > LONGEST or "\n" in text:
		raise Odd(f"has a password_file that does not hold one line: {shown(path)}")
	return text


def name_of(entry: Mapping[str, str], address: Address) -> str:
	"""As it was given, or that of the host or the socket. Raises Odd: it stands before the names of programs."""
	name = entry.get("name")
	if name is not None and not NAME.fullmatch(name):
		raise Odd(
			"has a name with other characters than letters, digits, dots, - and _, or with more than 63"
		)
	return name or default_name(address)


def default_name(address: Address) -> str:
	"""The host's name, or that of the socket's file without its ending."""
	plain = PurePath(address.socket_path).stem if address.socket_path else urlsplit(address.url).hostname
	return re.sub(r"[^A-Za-z0-9_.-]", "-", plain or "").lstrip(".-")[:63] or SUPERVISOR


def refuse_twice(managers: list[NamedManager]) -> None:
	"""Raises Odd where the last one has the name or the address of another."""
	*others, last = managers
	if any(last.name == other.name for other in others):
		raise Odd(f"has the name of another entry: {last.name}; give each a name of its own")
	if any(last.address.url == other.address.url for other in others):
		raise Odd("has the url of another entry")


def shown(value: object) -> str:
	"""A word of the setting that is no secret, as one line."""
	return repr(value)[:80]


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
