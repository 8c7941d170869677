"""honcho as a kind of process manager: what discovery and the setting ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.entries import Entry, Odd
from fmx_restart.adapters.managers.honcho.processes import START, HonchoProcesses
from fmx_restart.adapters.managers.honcho.tree import HONCHO, PROCFILE, find_honchos, is_any_running, is_below
from fmx_restart.adapters.managers.kind import Found, NamedManager, Obstacle, Refusal, Search
from fmx_restart.adapters.process_table import ProcessTable, Row

NOT_STARTED = Refusal(
	Obstacle.ABSENT, f"{START} (honcho), which does not run", f"On a developer's machine, type {START}."
)


class HonchoKind:
	name = HONCHO
	keys = ()
	place_key = ""

	def read(self, entry: Entry, environ: Mapping[str, str]) -> NoReturn:
		raise Odd("names honcho, which is found by its processes: remove the entry")

	def find(self, bench_path: str, config: Mapping, named: Iterable[NamedManager]) -> Search:
		"""All that run a program of this bench count as one."""
		if is_any_running() and (honchos := find_honchos(BenchFolder(bench_path), ProcessTable.take())):
			return Search((Found(HONCHO, HONCHO, HonchoProcesses(bench_path, honchos)),))
		return Search(refusals=(NOT_STARTED,) if Path(bench_path, PROCFILE).exists() else ())

	def sign(self, bench_path: str, config: Mapping, table: ProcessTable) -> str:
		return ""  # where it is meant to run a bench, it does

	def runs(self, table: ProcessTable, row: Row) -> bool:
		return is_below(row, table)


KIND = HonchoKind()
