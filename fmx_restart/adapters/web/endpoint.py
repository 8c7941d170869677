"""Where a web server takes connections, and the ways in which people write that."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fmx_restart.engine.errors import WrongEnvironment

SETTING = "fmx_restart_web_url"
GUNICORNS_PORT = 8000  # where an address names none
UNIX = "unix:"
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Endpoint:
	"""A host and a port, or the path of a unix socket ("@name" for an abstract one)."""

	host: str = ""
	port: int = 0
	path: str = ""

	def __str__(self) -> str:
		if self.path:
			return f"{UNIX}{printable(self.path)}"
		return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

	@property
	def reachable(self) -> Endpoint:
		"""Where to connect to what listens at this endpoint: a loopback address for one that takes any."""
		return self if self.path else Endpoint(ANY.get(self.host, self.host), self.port)

	def overlaps(self, other: Endpoint) -> bool:
		"""Two programs cannot listen at both. Names are not resolved: two that differ may be the same host."""
		if self.path or other.path:
			return self.path == other.path
		hosts = {self.host, other.host}
		is_same = len(hosts) == 1 or bool(hosts & ANY.keys()) or not all(map(is_address, hosts))
		return self.port == other.port and is_same


def printable(text: str) -> str:
	"""What another user's process named: no control characters on anybody's terminal."""
	return "".join(letter if letter.isprintable() else "?" for letter in text)


def is_address(host: str) -> bool:
	with suppress(ValueError):
		ipaddress.ip_address(host)
		return True
	return False


def parse_bind(text: str) -> Endpoint | None:
	"""As gunicorn reads the value of --bind (gunicorn.util.parse_address). None for fd://N, and for what it refuses."""
	text = text.strip().removeprefix("tcp://")
	if text.startswith(UNIX):
		path = text[len(UNIX) :]
		return Endpoint(path=path.removeprefix("//")) if path else None
	if text.startswith("fd://"):
		return None
	host, port = split_port(text)
	number = parse_port(port) if port else GUNICORNS_PORT
	return Endpoint(host or "0.0.0.0", number) if number else None


def split_port(text: str) -> tuple[str, str]:
	"""[::1]:8000, 127.0.0.1:8000, a host alone, :8000."""
	if text.startswith("["):
		host, _, rest = text[1:].partition("]")
		return host, rest.lstrip(":")
	host, _, port = text.partition(":")
	return host, port


def parse_port(text: str) -> int | None:
	is_number = text.isascii() and text.isdigit()
	return int(text) if is_number and 0 < int(text) <= HIGHEST_PORT else None


def override_of(config: Mapping) -> Endpoint | None:
	"""What the setting in common_site_config.json says. Raises WrongEnvironment."""
	value = config.get(SETTING)
	return parse_url(value) if value not in (None, "") else None


def parse_url(value: object) -> Endpoint:
	"""The setting's value: http://host:port, or unix:///path/to/socket. Raises WrongEnvironment; never shows the value."""
	if isinstance(value, str) and value.startswith("unix:///"):
		return Endpoint(path=value[len("unix://") :])
	try:
		parts = urlsplit(value if isinstance(value, str) else "")
		host, port = parts.hostname, parts.port or 80
	except ValueError:  # its text may show a password
		host = None
	if not host or parts.scheme != "http" or parts.username or parts.path.strip("/") or parts.query:
		raise WrongEnvironment(
			f"{SETTING} in sites/common_site_config.json is not the address of a web server. Nothing was changed.",
			hint=f"Write it as http://host:port or unix:///path/to/socket: bench set-config -g {SETTING}"
			" http://127.0.0.1:8000, or remove the line.",
		)
	return Endpoint(host, port)
