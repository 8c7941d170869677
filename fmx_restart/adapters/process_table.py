"""The processes of this machine as the kernel shows them, and what tells one from any other with its pid."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import psutil

from fmx_restart.engine.frozen import frozen

PROC = Path("/proc")
BOOT = PROC / "sys/kernel/random/boot_id"
NAMESPACE = PROC / "self/ns/pid"
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
OVER = {"Z", "X", "x"}
RUNNABLE = {"R", "D"}


@frozen
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
		return stat_from_psutil(pid)
	try:
		with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (it is read for every process)
			text = file.read(4096)
	except OSError:
		return None
	state, parent, *fields = text[text.rindex(b")") + 1 :].split()  # the name before it may hold anything
	return Stat(pid, int(parent), int(fields[17]), state.decode())


def stat_from_psutil(pid: int) -> Stat | None:
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


FIELDS = ["name", "cmdline", "memory_info"]
STOPPED = {"T", "t"}
SHORT_NAME = 15  # characters: what the kernel keeps of a name
#: The kernel's letter → the state of a process for a person; every other letter: it waits for something to happen.
STATES = {
	"R": "running",
	"D": "uninterruptible",
	**dict.fromkeys(STOPPED, "stopped by a signal"),
	**dict.fromkeys(OVER, "zombie"),
}
KERNEL_THREADS = 2  # the pid of kthreadd, where the whole machine can be seen


@frozen
class Row:
	pid: int
	parent: int
	name: str
	words: tuple[str, ...]  # empty where another user's process hides them
	began: float  # seconds on the kernel's clock (process_stat.py)
	memory: int  # bytes, resident
	identity: str = ""  # as in HostProcess
	letter: str = ""  # the kernel's, for its state

	@property
	def is_stopped(self) -> bool:
		"""By SIGSTOP, SIGTSTP or a debugger."""
		return self.letter in STOPPED

	@property
	def state(self) -> str:
		"""For a person."""
		return STATES.get(self.letter, "sleeping")


class ProcessTable:
	def __init__(self, rows: Iterable[Row], *, taken: float | None = None) -> None:
		self.taken = clock() if taken is None else taken
		self.rows = {row.pid: row for row in rows}

	@classmethod
	def take(cls) -> ProcessTable:
		"""One pass: a process forked between two would appear to have no parent."""
		processes = ((process, read_stat(process.pid)) for process in psutil.process_iter(FIELDS))
		return cls(row_of(process, stat) for process, stat in processes if stat)

	@cached_property
	def children(self) -> dict[int, list[Row]]:
		"""Parent's pid to the processes that it started."""
		rows_below: dict[int, list[Row]] = {}
		for row in self.rows.values():
			rows_below.setdefault(row.parent, []).append(row)
		return rows_below

	@property
	def init(self) -> Row | None:
		"""Pid 1; None in a table that does not show it."""
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
		"""Bytes of a process and of all below it. Pages that they share count for each of them."""
		return sum(row.memory for row in self.family(head))

	def age(self, row: Row) -> float:
		"""Seconds since its start, when the table was taken."""
		return max(0.0, self.taken - row.began)


def row_of(process: psutil.Process, stat: Stat) -> Row:
	"""One process; its name and words are empty where they may not be read."""
	info = process.info
	return Row(
		pid=process.pid,
		parent=stat.parent,
		name=info["name"] or "",
		words=tuple(info["cmdline"] or ()),
		began=stat.began,
		memory=info["memory_info"].rss if info["memory_info"] else 0,
		identity=stat.identity,
		letter=stat.state,
	)


def processor_time(pid: int) -> float | None:
	"""Seconds that a process has kept a processor busy since its start; None where it is gone or hidden."""
	with suppress(psutil.Error):
		times = psutil.Process(pid).cpu_times()
		return times.user + times.system
	return None


def catches(pid: int, number: int, *, proc: Path = Path("/proc")) -> bool | None:
	"""None where the kernel does not tell: the process is gone, or this is no Linux."""
	try:
		lines = (proc / str(pid) / "status").read_text(errors="replace").splitlines()
	except OSError:
		return None
	for line in lines:
		name, _, value = line.partition(":")
		if name == "SigCgt":
			return bits(value, number)
	return None


def bits(mask: str, number: int) -> bool | None:
	"""Whether signal `number` is in a mask of /proc/PID/status; None for what is no mask."""
	try:
		return bool(int(mask, 16) >> (number - 1) & 1)
	except ValueError:
		return None


def user_name(uid: int) -> str:
	"""The user's name; the number where the system knows no name for it."""
	try:
		return pwd.getpwuid(uid).pw_name
	except KeyError:
		return str(uid)


MAPPED = "::ffff:"  # an IPv4 address as an IPv6 socket tells it


def clients_of(port: int) -> set[int] | None:
	"""
	Pids of all that are connected to the server which listens on this port in this network namespace. None where there is no
	such server, and where one of them is on another machine or cannot be seen.
	"""
	table = psutil.net_connections("tcp")
	if not any(it.status == psutil.CONN_LISTEN and it.laddr.port == port for it in table):
		return None
	open_ones = [it for it in table if it.status == psutil.CONN_ESTABLISHED]
	owners = {end(it.laddr): it.pid for it in open_ones if it.raddr.port == port}
	pids = {owners.get(end(it.raddr)) for it in open_ones if it.laddr.port == port}
	return None if None in pids else pids


def end(address: Any) -> tuple[str, int]:
	"""Address and port of one end of a connection, an IPv4 address never in its IPv6 form."""
	return address.ip.removeprefix(MAPPED), address.port
