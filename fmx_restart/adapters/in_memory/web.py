"""A web server that exists only in this process."""

from __future__ import annotations

from fmx_restart.adapters.in_memory.processes import InMemoryProcesses
from fmx_restart.engine.ports import ProcessKind, ProcessState, WebFault


class InMemoryWeb:
	"""Answers while every web program of `processes` runs, unless `broken` says what is wrong."""

	def __init__(self, processes: InMemoryProcesses | None = None) -> None:
		self.broken: str | None = None
		self._processes = processes

	def fault(self) -> WebFault | None:
		if self._is_down():
			return WebFault("connection refused")
		return WebFault(self.broken, is_answer=True) if self.broken else None

	def _is_down(self) -> bool:
		if self._processes is None:
			return False
		return any(
			process.kind is ProcessKind.WEB and process.state is not ProcessState.RUNNING
			for process in self._processes.list()
		)
