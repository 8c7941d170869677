"""A web server that exists only in this process."""

from __future__ import annotations

from fmx_restart.adapters.in_memory.processes import InMemoryProcesses
from fmx_restart.engine.ports import ProcessKind, ProcessState


class InMemoryWeb:
	"""Answers while every web program of `processes` runs, unless `broken` says what is wrong."""

	def __init__(self, processes: InMemoryProcesses | None = None) -> None:
		self.broken: str | None = None
		self._processes = processes

	def fault(self) -> str | None:
		return self.broken or ("connection refused" if self._is_down() else None)

	def _is_down(self) -> bool:
		if self._processes is None:
			return False
		return any(
			process.kind is ProcessKind.WEB and process.state is not ProcessState.RUNNING
			for process in self._processes.list()
		)
