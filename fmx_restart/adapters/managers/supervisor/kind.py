"""supervisor as a kind of process manager: what discovery and the setting ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fmx_restart.adapters.managers.entries import Entry
from fmx_restart.adapters.managers.kind import Search
from fmx_restart.adapters.managers.names import SUPERVISOR
from fmx_restart.adapters.managers.supervisor.configuration import is_supervisord, sign_of_supervisor
from fmx_restart.adapters.managers.supervisor.setting import KEYS, SupervisorEntry, read_supervisor
from fmx_restart.adapters.managers.supervisor.several import find_supervisors
from fmx_restart.adapters.process_table import ProcessTable, Row


class SupervisorKind:
	name = SUPERVISOR
	keys = KEYS
	place_key = "url"

	def read(self, entry: Entry, environ: Mapping[str, str]) -> SupervisorEntry:
		return read_supervisor(entry, environ)

	def find(self, bench_path: str, config: Mapping, named: Iterable[SupervisorEntry]) -> Search:
		return find_supervisors(bench_path, config, named)

	def sign(self, bench_path: str, config: Mapping, table: ProcessTable) -> str:
		return sign_of_supervisor(bench_path, config, table)

	def runs(self, table: ProcessTable, row: Row) -> bool:
		parent = table.rows.get(row.parent)
		return parent is not None and is_supervisord(parent)


KIND = SupervisorKind()
