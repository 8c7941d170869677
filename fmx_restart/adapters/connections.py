"""Who is connected to a TCP server of this machine, as far as the kernel tells."""

from __future__ import annotations

from typing import Any

import psutil

MAPPED = "::ffff:"  # an IPv4 address as an IPv6 socket tells it


def clients_of(port: int) -> set[int] | None:
	"""
	Pids of all that are connected to the server which listens on this port in this network namespace. None where there is no
	such server, and where one of them is on another machine or cannot be seen.
	"""
	table = psutil.net_connections("tcp")
	if not any(it.status == psutil.CONN_LISTEN and it.laddr.port == port for it in table):
		return None
	open_ones = [it for it in table if it.status == psutil.CONN_ESTABLISHED]
	owners = {end(it.laddr): it.pid for it in open_ones if it.raddr.port == port}
	pids = {owners.get(end(it.raddr)) for it in open_ones if it.laddr.port == port}
	return None if None in pids else pids


def end(address: Any) -> tuple[str, int]:
	return address.ip.removeprefix(MAPPED), address.port
