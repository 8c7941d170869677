"""Whether a site's database server takes connections at all: nobody logs in."""

from __future__ import annotations

import socket
from collections.abc import Mapping

PORTS = {"mariadb": 3306, "postgres": 5432}
TIMEOUT = 2.0  # seconds


def database_fault(config: Mapping) -> str:
	"""In a few words, with the address. Empty when it takes connections, and where there is no server (sqlite)."""
	kind = config.get("db_type") or "mariadb"
	if kind not in PORTS:
		return ""
	if path := config.get("db_socket"):
		return attempt(socket.AF_UNIX, path, path)
	host, port = config.get("db_host") or "127.0.0.1", int(config.get("db_port") or PORTS[kind])
	return attempt(None, (host, port), f"{host}:{port}")


def attempt(family: int | None, address: tuple[str, int] | str, name: str) -> str:
	try:
		if family is None:
			socket.create_connection(address, TIMEOUT).close()
			return ""
		with socket.socket(family) as connection:
			connection.settimeout(TIMEOUT)
			connection.connect(address)
	except OSError as error:
		return f"its database at {name} does not answer ({error.strerror or error})"
	return ""
