"""
What the kernel itself tells about a process, and what tells that one from every other that ever has its pid: its start in
ticks of the kernel's own clock, within one boot and one pid namespace. No wall clock takes part, so none can deceive.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

PROC = Path("/proc")
BOOT = PROC / "sys/kernel/random/boot_id"
NAMESPACE = PROC / "self/ns/pid"
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
OVER = {"Z", "X", "x"}


@dataclass(frozen=True)
class Stat:
	pid: int
	parent: int
	ticks: int  # of the kernel's clock, at its start
	state: str  # the kernel's letter: R running, S sleeping, T stopped, Z ended, …

	@property
	def is_over(self) -> bool:
		"""It has ended: only its parent has not noticed yet."""
		return self.state in OVER

	@property
	def identity(self) -> str:
		"""Opaque. Equal for one process at any two times, and for no two processes with the same pid."""
		return f"{numbering()}/{self.ticks}"

	@property
	def began(self) -> float:
		"""Seconds on the clock that clock() shows."""
		return self.ticks * TICK


def clock() -> float:
	"""Seconds on the clock by which the kernel notes the start of a process; on Linux nobody can set it."""
	return time.clock_gettime(time.CLOCK_BOOTTIME) if psutil.LINUX else time.time()


@cache
def numbering() -> str:
	"""Within what a pid and a start mean one process: this boot, and the pid namespace that we are in."""
	try:
		return f"{BOOT.read_text().strip()}/{NAMESPACE.readlink()}"
	except OSError:
		return ""


def read_stat(pid: int) -> Stat | None:
	"""None where there is no such process."""
	if not psutil.LINUX:
		return told_by_psutil(pid)
	try:
		with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (it is read for every process)
			text = file.read(4096)
	except OSError:
		return None
	state, parent, *fields = text[text.rindex(b")") + 1 :].split()  # the name before it may hold anything
	return Stat(pid, int(parent), int(fields[17]), state.decode())


def told_by_psutil(pid: int) -> Stat | None:
	"""On other systems the kernel keeps each start as it was written down then."""
	with suppress(psutil.Error):
		process = psutil.Process(pid)
		state = "Z" if process.status() == psutil.STATUS_ZOMBIE else process.status()[:1].upper()
		return Stat(pid, process.ppid(), round(process.create_time() / TICK), state)
	return None


def read_stats() -> dict[int, Stat]:
	"""Of all processes, in one pass."""
	return {stat.pid: stat for stat in map(read_stat, psutil.pids()) if stat}


def identity_of(pid: int) -> str:
	"""Empty where there is no such process."""
	stat = read_stat(pid)
	return "" if stat is None or stat.is_over else stat.identity


def is_numbered_here(pid: int) -> bool:
	"""Whether it is in the pid namespace that we look from, and not in one below it: a container's, as the machine sees it."""
	if not psutil.LINUX:
		return True
	try:
		lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
	except OSError:
		return False
	numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), ["one"])
	return len(numbers) == 1


def nearest(pid: int, heads: Collection[int]) -> int | None:
	"""The one of `heads` that the process is or descends from; None where there is none."""
	seen: set[int] = set()
	while pid not in seen:
		if pid in heads:
			return pid
		seen.add(pid)
		stat = read_stat(pid)
		pid = stat.parent if stat else pid
	return None


def descendants(heads: Iterable[int], stats: Mapping[int, Stat]) -> list[int]:
	"""The heads themselves first."""
	children: dict[int, list[int]] = {}
	for stat in stats.values():
		children.setdefault(stat.parent, []).append(stat.pid)
	members = [pid for pid in heads if pid in stats]
	seen = set(members)
	for member in members:
		for child in children.get(member, ()):
			if child not in seen:
				seen.add(child)
				members.append(child)
	return members
