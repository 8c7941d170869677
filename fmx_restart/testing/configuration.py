"""The configuration of the process manager in memory: what its files would say, and what it has read of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Change, GroupChange, NewConfiguration, Process, ProcessState


class Manager(Protocol):
	"""What is needed of InMemoryProcesses."""

	@property
	def host_name(self) -> str: ...

	def list(self) -> list[Process]: ...

	def put_group(self, group: str, programs: Iterable[Any]) -> None: ...


class InMemoryConfiguration:
	"""`fault`: why the manager would refuse its files. `refusal`: why it refuses us. `fails`: how often an update fails after it removed the group."""

	def __init__(self, manager: Manager) -> None:
		self._manager = manager
		self._written: dict[str, tuple[Change, tuple[Any, ...]]] = {}
		self._strangers: set[str] = set()
		self.fault = ""
		self.refusal = ""
		self.fails = 0
		self.reads = 0
		self.updates: list[str] = []  # groups, in their order

	def write(self, group: str, change: Change, *programs: Any, is_ours: bool = True) -> None:
		"""`programs`: that the group has from now on by the files, as testing.processes.Program."""
		self._written[group] = (change, programs)
		if not is_ours:
			self._strangers.add(group)

	def compare(self) -> NewConfiguration:
		if self.fault:
			return NewConfiguration(faults=(self.fault,))
		return NewConfiguration(tuple(self._told(group) for group in self._written))

	def read(self) -> NewConfiguration:
		self.reads += 1
		if self.fault:
			raise ProcessFault(self.fault, hint="Correct it.")
		return self.compare()

	def check(self, groups: Collection[str]) -> None:
		if self.refusal:
			raise ProcessFault(self.refusal, hint="Let it.")

	def update(self, change: GroupChange) -> None:
		kind, programs = self._written[change.group]
		now = [it for it in self._manager.list() if it.group == change.group]
		if any(not process.is_down for process in now):
			raise ProcessFault(f"{change.group} still runs")
		if self.fails:
			self.fails -= 1
			self._manager.put_group(change.group, ())
			raise ProcessFault(f"{change.group} cannot be added")
		self._manager.put_group(change.group, () if kind is Change.REMOVED else programs)
		self.updates.append(change.group)
		del self._written[change.group]

	def update_command(self, groups: Collection[str]) -> str:
		return f"in-memory update {' '.join(groups)}"

	def _told(self, group: str) -> GroupChange:
		kind, programs = self._written[group]
		there = tuple(it for it in self._manager.list() if it.group == group)
		host = self._manager.host_name
		coming = tuple(
			Process(it.name, it.kind, ProcessState.STOPPED, group=group, host=host) for it in programs
		)
		return GroupChange(
			group,
			kind,
			is_ours=group not in self._strangers,
			programs=coming if kind is Change.ADDED else there,
			starts=tuple(it.name for it in programs),
		)
