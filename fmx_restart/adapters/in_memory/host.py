"""A process table that exists only in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import count

from fmx_restart.engine.machine import Machine
from fmx_restart.engine.ports import HostProcess, Likeness, Worker


def nothing(_pid: int) -> None:
	"""What follows from a kill, unless a bench says otherwise."""


@dataclass(frozen=True)
class Entry:
	process: HostProcess
	parent: int | None
	is_horse: bool
	likeness: Likeness
	title: str


class InMemoryHost:
	def __init__(self, name: str = "host-1") -> None:
		self.name, self.machine = name, Machine(name, name, f"boot-of-{name}")
		self.killed: list[int] = []
		self.when_killed: Callable[[int], object] = nothing  # what a test's bench makes of it
		self.when_terminated: Callable[[int], object] = nothing
		self.has_unseen_clients: Callable[[], bool] = lambda: False
		self._entries: dict[int, Entry] = {}
		self._identities = count(1)

	def add(
		self,
		pid: int,
		*,
		parent: int | None = None,
		is_horse: bool = False,
		likeness: Likeness = Likeness.WORKER,
		title: str = "",
	) -> HostProcess:
		"""
		A process is born. A horse is one that runs this bench's jobs: it is an orphan once its worker is gone. `likeness`:
		what its command says. `title`: the worker that its title names.
		"""
		process = HostProcess(pid, f"#{next(self._identities)}")
		self._entries[pid] = Entry(process, parent, is_horse, likeness, title)
		return process

	def remove(self, pid: int) -> None:
		"""A process ends; its children live on as orphans. One that ended already is fine."""
		self._entries.pop(pid, None)

	def me(self) -> HostProcess:
		return HostProcess(1, "#0")

	def process(self, pid: int) -> HostProcess | None:
		return self._entries[pid].process if pid in self._entries else None

	def head(self, pid: int, heads: Collection[int]) -> int | None:
		return next((one for one in self._line(pid) if one in heads), None)

	def likeness(self, process: HostProcess, worker: Worker) -> Likeness:
		entry = self._entries.get(process.pid)
		if entry is None or entry.process != process:
			return Likeness.NONE
		if entry.title:
			return Likeness.NAMED if entry.title == worker.name else Likeness.NONE
		return entry.likeness

	def knows_all_clients(self, address: str) -> bool:
		return not self.has_unseen_clients()

	def family(self, *pids: int) -> list[HostProcess]:
		below = [
			entry.process
			for entry in self._entries.values()
			if self.head(entry.process.pid, pids) is not None
		]
		return sorted(below, key=lambda process: process.pid not in pids)

	def horses(self, pid: int) -> list[HostProcess]:
		below = (process for process in self.family(pid) if process.pid != pid)
		return [process for process in below if self._entries[process.pid].is_horse]

	def alive(self, processes: Iterable[HostProcess]) -> list[HostProcess]:
		now = {pid: entry.process.identity for pid, entry in self._entries.items()}
		return [
			process
			for process in processes
			if process.identity in ("", now.get(process.pid)) and process.pid in now
		]

	def terminate(self, process: HostProcess) -> None:
		if process.identity and self.alive([process]):
			self.when_terminated(process.pid)

	def end(self, processes: Iterable[HostProcess]) -> None:
		for process in self.alive(process for process in processes if process.identity):
			self.remove(process.pid)
			self.killed.append(process.pid)
			self.when_killed(process.pid)

	def orphan_horses(self, managed: Collection[int]) -> list[HostProcess]:
		elders = set().union(*(self._line(pid) for pid in managed))
		return [
			entry.process
			for pid, entry in self._entries.items()
			if entry.is_horse and pid not in elders and set(managed).isdisjoint(self._line(pid))
		]

	def _line(self, pid: int | None) -> list[int]:
		"""The process and its ancestors, as far as they are alive."""
		line = []
		while pid in self._entries:
			line.append(pid)
			pid = self._entries[pid].parent
		return line
