"""The process table of this machine."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import Role, belongs_to, role_of
from fmx_restart.adapters.command_line import is_worker_command, split_words, titled_worker
from fmx_restart.adapters.machine import this_machine
from fmx_restart.adapters.process_kinds import working_directory
from fmx_restart.adapters.process_table import (
	PROC,
	RUNNABLE,
	Stat,
	clients_of,
	descendants,
	is_numbered_here,
	nearest,
	read_stat,
	read_stats,
)
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.ports import HostProcess, Likeness, Worker

#: What a worker may look like that was forked from something else: gunicorn's companions, children of a pool.
FORKED = {None, Role.WEB}


class ThisHost:
	"""Processes that end while we look, or that we may not look at, are left out."""

	def __init__(self, bench_path: str) -> None:
		"""Raises WrongEnvironment where pids that can be looked up are not those that can be signalled."""
		self.name = socket.gethostname()
		self.machine = this_machine()
		self.processors = len(os.sched_getaffinity(0)) if psutil.LINUX else os.cpu_count() or 1
		self._bench = BenchFolder(bench_path)
		#: to a worker's name, where one is certain
		self._likenesses: dict[tuple[HostProcess, str], Likeness] = {}
		refuse_foreign_proc()

	def me(self) -> HostProcess:
		return described_one(os.getpid())  # asked anew: an operation may go on in a forked process

	def process(self, pid: int) -> HostProcess | None:
		return described_one(pid)

	def family(self, *pids: int) -> list[HostProcess]:
		stats = read_stats()
		return described(stats[member] for member in descendants(pids, stats))

	def horses(self, pid: int) -> list[HostProcess]:
		return [process for process in self.family(pid) if process.pid != pid and leads_group(process.pid)]

	def alive(self, processes: Iterable[HostProcess]) -> list[HostProcess]:
		return [process for process in processes if is_there(process)]

	def is_runnable(self, pid: int) -> bool:
		stat = read_stat(pid)
		return stat is not None and stat.state in RUNNABLE

	def terminate(self, process: HostProcess) -> None:
		send(process, signal.SIGTERM)

	def end(self, processes: Iterable[HostProcess]) -> None:
		for process in processes:
			send(process, signal.SIGKILL)

	def head(self, pid: int, heads: Collection[int]) -> int | None:
		return nearest(pid, heads)

	def likeness(self, process: HostProcess, worker: Worker) -> Likeness:
		known = self._likenesses.get((process, worker.name))
		result = known or self._likeness(process.pid, worker)
		if result >= Likeness.WORKER:
			self._likenesses[process, worker.name] = result
		return result

	def knows_all_clients(self, address: str) -> bool:
		_, _, port = address.rpartition(":")
		try:
			pids = clients_of(int(port)) if port else None
		except (psutil.Error, OSError, ValueError):
			return False
		# a forwarder may speak for someone whom we do not see, so each must be known to be a bench's
		return (
			pids is not None and os.getpid() in pids and all(map(self._is_of_a_bench, pids - {os.getpid()}))
		)

	def orphan_horses(self, managed: Collection[int]) -> list[HostProcess]:
		stats = read_stats()  # one pass: a horse forked between two would appear to have no parent
		parents = {pid: stat.parent for pid, stat in stats.items()}
		# A worker pool's parent is in nobody's list, but its children are
		elders = set().union(*(line_of(pid, parents) for pid in managed))
		return described(
			stat
			for pid, stat in stats.items()
			if pid not in elders
			and line_of(pid, parents).isdisjoint(managed)
			and is_worker_command(words_of(pid))
			and working_directory(pid) == self._bench.sites
			and is_numbered_here(pid)
		)

	def _is_of_a_bench(self, pid: int) -> bool:
		folder = working_directory(pid)
		is_another = bool(folder) and self._bench.is_other_bench(folder) and is_numbered_here(pid)
		return is_another or belongs_to(self._bench, pid, words_of(pid))

	def _likeness(self, pid: int, worker: Worker) -> Likeness:
		words = words_of(pid)
		if name := titled_worker(words):
			return Likeness.NAMED if name == worker.name else Likeness.NONE
		role = role_of(words)
		if (role is not Role.WORKER and role not in FORKED) or not belongs_to(self._bench, pid, words):
			return Likeness.NONE
		return Likeness.WORKER if role is Role.WORKER else Likeness.BENCH


def refuse_foreign_proc() -> None:
	"""
	Raise WrongEnvironment where /proc belongs to another pid namespace: our pid is another process there. A system without
	/proc passes.
	"""
	try:
		shown = (PROC / "self").readlink().name
	except OSError:  # no Linux
		return
	if shown != str(os.getpid()):
		raise WrongEnvironment(
			"/proc shows the processes of another pid namespace, so no process can be identified."
			" Nothing was changed.",
			hint="Mount the namespace's own /proc (unshare --mount-proc), or type the command outside.",
		)


def described(stats: Iterable[Stat]) -> list[HostProcess]:
	"""Processes that have not ended, each with its identity; a zombie has ended."""
	return [HostProcess(stat.pid, stat.identity) for stat in stats if not stat.is_over]


def described_one(pid: int) -> HostProcess | None:
	"""None for a process that has ended, a zombie included."""
	stat = read_stat(pid)
	return HostProcess(pid, stat.identity) if stat and not stat.is_over else None


def leads_group(pid: int) -> bool:
	"""A signal to its group reaches its children as well. False for one that is gone."""
	try:
		return os.getpgid(pid) == pid
	except ProcessLookupError:
		return False


def is_there(process: HostProcess) -> bool:
	"""Where an older version noted it nothing tells it from a later one with its pid: then it may be there still."""
	current = described_one(process.pid)
	return current is not None and process.identity in ("", current.identity)


def send(process: HostProcess, number: signal.Signals) -> None:
	"""
	Only to the very same process: the handle is taken first, so that nobody else can get its pid between the look and
	the signal. One that is gone is fine.
	"""
	with handle_of(process.pid) as handle, suppress(ProcessLookupError):
		if described_one(process.pid) != process:
			return
		try:
			if handle is None:
				os.kill(process.pid, number)
			else:
				signal.pidfd_send_signal(handle, number)
		except PermissionError as error:
			raise ProcessFault(
				f"pid {process.pid} belongs to another user and cannot be ended.",
				hint="Type the command as the user who started that process.",
			) from error


@contextmanager
def handle_of(pid: int) -> Iterator[int | None]:
	"""The kernel's handle of the process that has this pid now; None where the kernel gives none."""
	try:
		handle = os.pidfd_open(pid)
	except (OSError, AttributeError):
		yield None
		return
	try:
		yield handle
	finally:
		os.close(handle)


def line_of(pid: int, parents: Mapping[int, int]) -> set[int]:
	"""A process and its ancestors."""
	line: set[int] = set()
	while pid in parents and pid not in line:
		line.add(pid)
		pid = parents[pid]
	return line


def words_of(pid: int) -> list[str]:
	"""Of its command line. Empty where it is gone, or hidden."""
	try:
		return split_words(psutil.Process(pid).cmdline())
	except (psutil.Error, OSError):
		return []
