"""Whether a site's database server takes connections at all: nobody logs in."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from fmx_restart.adapters.numbers import port_number
from fmx_restart.adapters.settings_rules import odd_settings

PORTS = {"mariadb": 3306, "postgres": 5432}
TIMEOUT = 2.0  # seconds


def odd_database_setting(config: Mapping) -> str:
	"""The first setting of the database that cannot be read, without its value; empty where all can."""
	return next((str(setting) for setting in odd_settings(config, "db_")), "")


def database_fault(config: Mapping) -> str:
	"""
	In a few words, with the address. Empty when it takes connections, and where there is no server (sqlite). Raises
	nothing.
	"""
	if odd := odd_database_setting(config):
		return f"its database cannot be asked: {odd}"
	kind = config.get("db_type") or "mariadb"
	if kind not in PORTS:
		return ""
	if path := config.get("db_socket"):
		return attempt(path, path)
	host, port = config.get("db_host") or "127.0.0.1", port_number(config.get("db_port")) or PORTS[kind]
	return attempt((host, port), f"{host}:{port}")


def attempt(address: tuple[str, int] | str, name: str) -> str:
	try:
		if not isinstance(address, str):
			socket.create_connection(address, TIMEOUT).close()
			return ""
		with socket.socket(socket.AF_UNIX) as connection:
			connection.settimeout(TIMEOUT)
			connection.connect(address)
	except OSError as error:
		return f"its database at {name} does not answer ({error.strerror or error})"
	except (ValueError, OverflowError) as error:  # an address that no resolver and no kernel takes
		return f"its database at {name} cannot be asked ({type(error).__name__})"
	return ""
