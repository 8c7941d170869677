"""Whether web in a container takes connections, as far as that can be tried from here."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import closing

from fmx_restart.adapters.managers.docker.containers import Container
from fmx_restart.adapters.web.addresses import ANY, Endpoint, binds, parse_bind, served_at

TAKES = 0.2  # seconds for a connection within a machine
LOOPBACK = ("127.", "::1", "localhost")


def takes_connections(container: Container, words: Iterable[str], *, is_here: bool) -> bool | None:
	"""`words`: of its process. None where nobody can tell. `is_here`: as Dockerd.is_here."""
	answers = [answer_at(*place) for place in places_of(container, list(words), is_here=is_here)]
	return all(answers) if answers and None not in answers else None


def places_of(container: Container, words: list[str], *, is_here: bool) -> Iterator[tuple[str, int]]:
	"""Addresses and ports where it should be reached."""
	endpoints = [*filter(None, map(parse_bind, binds(words))), *served_at(words)]
	for endpoint in endpoints:
		if not endpoint.path and (address := address_of(container, endpoint, is_here=is_here)):
			yield address, endpoint.port


def address_of(container: Container, endpoint: Endpoint, *, is_here: bool) -> str:
	"""Empty where it cannot be reached from outside its network."""
	if container.has_machines_network:
		return endpoint.reachable.host if is_here else ""
	if endpoint.host.startswith(LOOPBACK):
		return ""
	return container.address if endpoint.host in ANY else endpoint.host


def answer_at(address: str, port: int) -> bool | None:
	"""False where nobody listens there yet; None where there is no way."""
	try:
		with closing(socket.create_connection((address, port), timeout=TAKES)):
			return True
	except ConnectionRefusedError:
		return False
	except OSError:
		return None
