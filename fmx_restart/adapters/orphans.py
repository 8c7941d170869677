"""Processes of this bench that lost their parent: nobody restarts them, and nobody stops them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.bench_processes import Role, processes_of
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.adapters.systemd.cgroup import is_main_process

SYSTEM_INITS = {"systemd", "init"}
#: They start one program and adopt whatever loses its parent.
CONTAINER_INITS = {"tini", "tini-static", "docker-init", "dumb-init", "catatonit"}
SUPERVISOR = "supervisord"


@dataclass(frozen=True)
class Orphan:
	pid: int
	identity: str  # as in HostProcess
	role: Role
	age: float  # seconds
	memory: int  # bytes, with all its descendants
	members: int  # it and its descendants


def find_orphans(bench: BenchFolder, table: ProcessTable, managed: Collection[int] | None) -> list[Orphan]:
	"""
	`managed`: the pids that supervisord says are its own; None where it does not answer. Where PID 1 itself starts
	processes and nobody can tell those from adopted ones, none is found: better none than a wrong one.
	"""
	if managed is None and table.init and table.init.name == SUPERVISOR:
		return []
	candidates = [row for row in adopted(table) if row.pid not in (managed or ())]
	if not candidates:
		return []
	roles = processes_of(bench, ProcessTable(candidates))
	return [
		Orphan(
			row.pid, row.identity, roles[row.pid], table.age(row), table.memory(row), len(table.family(row))
		)
		for row in candidates
		if row.pid in roles and not is_main_process(row.pid)
	]


def adopted(table: ProcessTable) -> list[Row]:
	"""Children of those who take in what has lost its parent."""
	init = table.init
	if init is None:
		return []
	children = sorted(table.children.get(init.pid, ()), key=lambda row: (row.began, row.pid))
	if not table.is_whole_machine and init.name not in {*SYSTEM_INITS, SUPERVISOR}:
		# the oldest is what the container was started for
		children = children[1:] if init.name in CONTAINER_INITS else []
	sessions = [row for row in table.rows.values() if row.name == "systemd" and row.pid != init.pid]
	return [*children, *(child for user in sessions for child in table.children.get(user.pid, ()))]
