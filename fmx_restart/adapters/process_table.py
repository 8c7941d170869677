"""All processes of this machine at one instant, as far as we may see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import psutil

from fmx_restart.adapters.process_stat import Stat, clock, read_stat

FIELDS = ["name", "cmdline", "memory_info"]
STOPPED = {"T", "t"}
KERNEL_THREADS = 2  # the pid of kthreadd, where the whole machine can be seen


@dataclass(frozen=True)
class Row:
	pid: int
	parent: int
	name: str
	words: tuple[str, ...]  # empty where another user's process hides them
	began: float  # seconds on the kernel's clock (process_stat.py)
	memory: int  # bytes, resident
	identity: str = ""  # as in HostProcess
	is_stopped: bool = False  # by SIGSTOP, SIGTSTP or a debugger


class ProcessTable:
	def __init__(self, rows: Iterable[Row], *, taken: float | None = None) -> None:
		self.taken = clock() if taken is None else taken
		self.rows = {row.pid: row for row in rows}

	@classmethod
	def take(cls) -> ProcessTable:
		"""One pass: a process forked between two would appear to have no parent."""
		found = ((process, read_stat(process.pid)) for process in psutil.process_iter(FIELDS))
		return cls(row_of(process, stat) for process, stat in found if stat)

	@cached_property
	def children(self) -> dict[int, list[Row]]:
		found: dict[int, list[Row]] = {}
		for row in self.rows.values():
			found.setdefault(row.parent, []).append(row)
		return found

	@property
	def init(self) -> Row | None:
		return self.rows.get(1)

	@property
	def is_whole_machine(self) -> bool:
		"""Inside a container the kernel's own threads cannot be seen."""
		kernel = self.rows.get(KERNEL_THREADS)
		return kernel is not None and kernel.name == "kthreadd"

	def family(self, head: Row) -> list[Row]:
		"""A process and its descendants."""
		members, seen = [head], {head.pid}
		for member in members:
			for child in self.children.get(member.pid, ()):
				if child.pid not in seen:
					seen.add(child.pid)
					members.append(child)
		return members

	def memory(self, head: Row) -> int:
		return sum(row.memory for row in self.family(head))

	def age(self, row: Row) -> float:
		"""Seconds since its start, when the table was taken."""
		return max(0.0, self.taken - row.began)


def row_of(process: psutil.Process, stat: Stat) -> Row:
	info = process.info
	return Row(
		pid=process.pid,
		parent=stat.parent,
		name=info["name"] or "",
		words=tuple(info["cmdline"] or ()),
		began=stat.began,
		memory=info["memory_info"].rss if info["memory_info"] else 0,
		identity=stat.identity,
		is_stopped=stat.state in STOPPED,
	)
