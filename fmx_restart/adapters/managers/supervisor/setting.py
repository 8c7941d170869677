"""An entry of fmx_restart_managers that names a supervisord: its address, its user and its password."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from urllib.parse import urlsplit

from fmx_restart.adapters.managers.entries import SOURCES, Entry, Odd, fit_name, is_host, password_from
from fmx_restart.adapters.managers.names import SUPERVISOR
from fmx_restart.adapters.managers.supervisor.connection import UNIX, Address, Unusable, parse_url
from fmx_restart.engine.frozen import frozen

KEYS = ("url", "user", *SOURCES, "host")


@frozen
class SupervisorEntry:
	"""`host`: the name of the machine that it runs on, where that is not this one; may be empty."""

	name: str
	address: Address
	host: str
	password_file: str = ""
	has_password: bool = False  # in common_site_config.json itself
	kind: str = SUPERVISOR

	@property
	def place(self) -> str:
		"""Without user and password: two of them for one supervisord are two entries for it."""
		return self.address.url


def read_supervisor(entry: Entry, environ: Mapping[str, str]) -> SupervisorEntry:
	"""Raises Odd."""
	if not is_host(entry.values.get("host", "x")):
		raise Odd("has a host that is no name of a machine")
	address = address_of(entry)
	user, password = login_of(entry.values, address, environ)
	return SupervisorEntry(
		entry.name(default_name(address)),
		Address(address.url, user, password, address.source),
		entry.get("host"),
		password_file=entry.get("password_file"),
		has_password="password" in entry.values or address.password is not None,
	)


def address_of(entry: Entry) -> Address:
	"""Raises Odd, with nothing of the URL, as it may hold a password."""
	url = entry.get("url")
	if not url:
		raise Odd("has no url")
	address = parse_url(url, entry.source)
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


def default_name(address: Address) -> str:
	"""The host's name, or that of the socket's file without its ending."""
	plain = PurePath(address.socket_path).stem if address.socket_path else urlsplit(address.url).hostname
	return fit_name(plain or "") or SUPERVISOR
