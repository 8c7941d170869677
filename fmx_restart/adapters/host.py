"""The process table of this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

import psutil

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.engine.ports import HostProcess

CLOCK_TICK = 0.01  # seconds; the kernel counts start times in these
WORKER_COMMANDS = {"worker", "worker-pool"}
RQ_TITLE = "rq:worker:"  # how RQ renames its processes where setproctitle is installed


class ThisHost:
	"""Processes that end while we look, or that we may not look at, are left out."""

	def __init__(self, bench_path: str) -> None:
		self.name = socket.gethostname()
		self._bench = BenchFolder(bench_path)

	def me(self) -> HostProcess:
		process = psutil.Process()  # asked anew: an operation may go on in a forked process
		return HostProcess(process.pid, process.create_time())

	def started(self, pid: int) -> float | None:
		"""A zombie is dead: only its parent has not noticed yet."""
		try:
			process = psutil.Process(pid)
			return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
		except psutil.NoSuchProcess:
			return None

	def family(self, pid: int) -> list[HostProcess]:
		try:
			head = psutil.Process(pid)
			members = [head.pid, *(child.pid for child in head.children(recursive=True))]
		except psutil.NoSuchProcess:
			return []
		return described(members)

	def horses(self, pid: int) -> list[HostProcess]:
		return [process for process in self.family(pid) if process.pid != pid and leads_group(process.pid)]

	def alive(self, processes: Iterable[HostProcess]) -> list[HostProcess]:
		return [process for process in processes if is_the_same(process)]

	def terminate(self, process: HostProcess) -> None:
		if is_the_same(process):
			with suppress(psutil.NoSuchProcess):
				psutil.Process(process.pid).terminate()

	def end(self, processes: Iterable[HostProcess]) -> None:
		for process in processes:
			if is_the_same(process):
				with suppress(psutil.NoSuchProcess):
					psutil.Process(process.pid).kill()

	def orphan_horses(self, managed: Collection[int]) -> list[HostProcess]:
		# One pass: a horse forked between two would appear to have no parent
		table = {process.pid: process.info for process in psutil.process_iter(["ppid", "cmdline"])}
		parents = {pid: info["ppid"] for pid, info in table.items()}
		# A worker pool's parent is in nobody's list, but its children are
		elders = set().union(*(line_of(pid, parents) for pid in managed))
		return described(
			pid
			for pid, info in table.items()
			if pid not in elders
			and line_of(pid, parents).isdisjoint(managed)
			and is_job_process(info["cmdline"] or [])
			and self._runs_here(pid)
		)

	def _runs_here(self, pid: int) -> bool:
		try:
			return psutil.Process(pid).cwd() == self._bench.sites
		except (psutil.Error, OSError):  # gone, going just now, or another user's: not ours to judge
			return False


def described(pids: Iterable[int]) -> list[HostProcess]:
	found = []
	for pid in pids:
		try:
			process = psutil.Process(pid)
			if process.status() != psutil.STATUS_ZOMBIE:
				found.append(HostProcess(process.pid, process.create_time(), label_of(process)))
		except psutil.NoSuchProcess:
			continue
	return found


def leads_group(pid: int) -> bool:
	try:
		return os.getpgid(pid) == pid
	except ProcessLookupError:
		return False


def is_the_same(process: HostProcess) -> bool:
	try:
		current = psutil.Process(process.pid)
		same = abs(current.create_time() - process.created) < 2 * CLOCK_TICK
		return same and current.status() != psutil.STATUS_ZOMBIE
	except psutil.NoSuchProcess:
		return False


def line_of(pid: int, parents: Mapping[int, int]) -> set[int]:
	"""A process and its ancestors."""
	line: set[int] = set()
	while pid in parents and pid not in line:
		line.add(pid)
		pid = parents[pid]
	return line


def is_job_process(words: list[str]) -> bool:
	return bench_command(split_words(words)) in WORKER_COMMANDS or any(
		word.startswith(RQ_TITLE) for word in words
	)


def label_of(process: psutil.Process) -> str:
	"""Short, and never the whole command line: a worker's may hold Redis' password."""
	try:
		command = bench_command(split_words(process.cmdline()))
	except psutil.AccessDenied:
		command = None
	return f"bench {command}" if command else process.name()
