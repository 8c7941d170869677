"""systemd as a kind of process manager: units that run programs of this bench, of the machine's systemd and the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fmx_restart.adapters.managers.entries import Entry
from fmx_restart.adapters.managers.kind import Found, Obstacle, Refusal, Search, sign_of_setting
from fmx_restart.adapters.managers.names import SYSTEMD
from fmx_restart.adapters.managers.systemd.setting import KEYS, SystemdEntry, default_name, read_systemd
from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
from fmx_restart.adapters.managers.systemd.units import is_main_process, unit_of
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.errors import ProcessFault

if TYPE_CHECKING:
	from fmx_restart.adapters.managers.systemd.processes import SystemdProcesses


class SystemdKind:
	name = SYSTEMD
	keys = KEYS
	place_key = "scope"

	def read(self, entry: Entry, environ: Mapping[str, str]) -> SystemdEntry:
		return read_systemd(entry)

	def find(self, bench_path: str, config: Mapping, named: Iterable[SystemdEntry]) -> Search:
		named = list(named)
		found = [named_systemd(entry, bench_path) for entry in named]
		refusals = []
		for systemctl in (Systemctl(), Systemctl(is_users=True)):
			if systemctl.is_there and systemctl.scope not in {entry.scope for entry in named}:
				answer = look_for(systemctl, bench_path)
				(refusals if isinstance(answer, Refusal) else found).extend([answer] if answer else [])
		return Search(tuple(found), tuple(refusals))

	def sign(self, bench_path: str, config: Mapping, table: ProcessTable) -> str:
		return sign_of_setting(config, SYSTEMD)

	def runs(self, table: ProcessTable, row: Row) -> bool:
		return is_main_process(row.pid)


def processes_of(systemctl: Systemctl, bench_path: str, source: str) -> SystemdProcesses:
	"""Imported where a systemd runs, and nowhere else."""
	from fmx_restart.adapters.managers.systemd.processes import SystemdProcesses

	return SystemdProcesses(systemctl, bench_path, source)


def named_systemd(entry: SystemdEntry, bench_path: str) -> Found:
	"""It belongs to the bench even while it does not answer."""
	systemctl = Systemctl(is_users=entry.scope == "user")
	return Found(entry.name, SYSTEMD, processes_of(systemctl, bench_path, entry.source), is_named=True)


def look_for(systemctl: Systemctl, bench_path: str) -> Found | Refusal | None:
	"""None where it runs nothing of this bench, or is that of another machine or container."""
	processes = processes_of(systemctl, bench_path, f"the units of the {systemctl.scope} manager")
	try:
		programs = processes.list()
	except ProcessFault as fault:
		return Refusal(Obstacle.ODD, f"systemd ({systemctl.scope}): {fault}", fault.hint)
	pids = {process.name: process.pid for process in programs if process.pid}
	if not programs or (pids and not any(is_in_unit(pid, name) for name, pid in pids.items())):
		return None
	return Found(default_name(is_users=systemctl.is_users), SYSTEMD, processes)


def is_in_unit(pid: int, unit: str) -> bool:
	"""Pids of another namespace are those of other processes here."""
	return unit_of(Path(f"/proc/{pid}/cgroup"))[0] == unit


KIND = SystemdKind()
