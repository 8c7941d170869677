"""Who else listens where a web program of the bench should: is it proved to be this bench's, and what to type."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import Role, adopted, processes_of
from fmx_restart.adapters.managers.discovery import SETUP, is_managed
from fmx_restart.adapters.process_table import ProcessTable, Row, user_name
from fmx_restart.adapters.web.addresses import PROC, Endpoint, Listener, printable, sockets_of
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import HostProcess

RESTART_WEB = "bench safe-restart --no-workers"


@frozen
class Holder:
	"""`process`: None where only its socket can be seen. `text`: what it is, in a few words."""

	endpoint: Endpoint
	process: HostProcess | None
	text: str
	remedy: str
	is_stray: bool = False  # proved to be this bench's web server, and no manager runs it


def find_holders(
	bench: BenchFolder,
	listeners: Iterable[Listener],
	endpoints: Collection[Endpoint],
	family: Iterable[HostProcess] = (),
) -> list[Holder]:
	"""
	Whoever of all `listeners` is where one of these endpoints is, on another socket than the processes in `family`; this bench's own
	first. Looks into every process of the machine: not for every look.
	"""
	wanted = {it.inode: it for it in listeners if any(it.endpoint.overlaps(at) for at in endpoints)}
	for inode in open_sockets(process.pid for process in family):
		wanted.pop(inode, None)
	if not wanted:
		return []
	holding = open_sockets(all_pids())
	table = ProcessTable.take()
	roles = processes_of(bench, table)
	holders = []
	for inode, listener in wanted.items():
		pids = holding.get(inode, set()) & table.rows.keys()
		heads = [table.rows[pid] for pid in sorted(pids) if table.rows[pid].parent not in pids]
		holders += [describe(table, row, listener, roles.get(row.pid)) for row in heads] or [hidden(listener)]
	return sorted(holders, key=lambda holder: not holder.is_stray)


def open_sockets(pids: Iterable[int]) -> dict[int, set[int]]:
	"""Inode → those of these processes that have it open, as far as this user may see."""
	by_inode: dict[int, set[int]] = {}
	for pid in pids:
		with suppress(OSError):  # gone, or another user's
			for inode in sockets_of(pid):
				by_inode.setdefault(inode, set()).add(pid)
	return by_inode


def all_pids() -> list[int]:
	"""Every process that /proc shows."""
	return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 - no Path object for each


def describe(table: ProcessTable, row: Row, listener: Listener, role: Role | None) -> Holder:
	"""
	Who holds the address, and what to type. Only a web server that no process manager runs is a stray, which may be ended.
	"""
	name = printable(row.name)
	process = HostProcess(row.pid, row.identity)
	if role is not Role.WEB:
		text = f"pid {row.pid} ({name}), which is not a web server of this bench,"
		remedy = (
			f"It is left alone. Stop it, or let web listen elsewhere (webserver_port, then {SETUP}), then"
			f" type {RESTART_WEB}."
		)
		return Holder(listener.endpoint, process, text, remedy)
	if is_managed(table, row):
		text = f"pid {row.pid}, a web server of this bench that a process manager runs,"
		remedy = f"Two programs must not listen at one address: let one of them listen elsewhere, then type {RESTART_WEB}."
		return Holder(listener.endpoint, process, text, remedy)
	text = f"pid {row.pid}, a web server of this bench that no process manager runs,"
	is_orphan = row.pid in {orphan.pid for orphan in adopted(table)}
	fix = " (or bench doctor --fix)" if is_orphan else ""
	remedy = f"End it: kill {row.pid}{fix}. Then type {RESTART_WEB}."
	return Holder(listener.endpoint, process, text, remedy, is_stray=True)


def hidden(listener: Listener) -> Holder:
	"""Another user's process: /proc tells that it listens, and not which it is."""
	whose = (
		f"a process of user {user_name(listener.uid)}"
		if listener.uid is not None
		else "another user's process"
	)
	look = "sudo ss -xlp" if listener.endpoint.path else f"sudo ss -ltnp sport = :{listener.endpoint.port}"
	return Holder(
		listener.endpoint, None, whose, f"See which one it is: {look}. End it, then type {RESTART_WEB}."
	)
