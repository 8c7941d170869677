"""Processes as /proc shows them. A process is known by its pid and the moment it began, so a pid used again is no match."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
	pid: int
	#: Clock ticks between boot and its start.
	started: int

	@property
	def is_alive(self) -> bool:
		return find_process(self.pid) == self

	def send(self, number: signal.Signals) -> None:
		if self.is_alive:
			# it may end in between, which is what we want of it
			with suppress(ProcessLookupError):
				os.kill(self.pid, number)


def find_process(pid: int) -> Process | None:
	"""The process of that pid; a zombie counts as gone."""
	stat = read_stat(pid)
	if stat is None or stat[0] in "ZX":
		return None
	return Process(pid, started=int(stat[19]))


def command_line(pid: int) -> list[str]:
	try:
		return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
	except OSError:
		return []


def with_descendants(root: Process) -> list[Process]:
	"""The process, its children, theirs, and so on."""
	children: dict[int, list[int]] = {}
	for entry in Path("/proc").iterdir():
		if entry.name.isdigit() and (stat := read_stat(int(entry.name))):
			children.setdefault(int(stat[1]), []).append(int(entry.name))
	family, waiting = [], [root.pid]
	while waiting:
		pid = waiting.pop()
		waiting += children.get(pid, [])
		if process := find_process(pid):
			family.append(process)
	return family


def find_all(is_wanted: Callable[[int], bool]) -> list[Process]:
	"""Every living process whose pid the condition accepts."""
	pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
	return [process for pid in pids if is_wanted(pid) and (process := find_process(pid))]


def environment(pid: int) -> list[str]:
	"""What it was started with, as NAME=value. Empty when it is gone or not ours to read."""
	try:
		return Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
	except OSError:
		return []


def end_all(processes: Iterable[Process], *, timeout: float = 5.0) -> None:
	"""Kill those that still live, and wait until they are gone."""
	living = [process for process in processes if process.is_alive]
	for process in living:
		process.send(signal.SIGKILL)
	deadline = time.monotonic() + timeout
	while any(process.is_alive for process in living) and time.monotonic() < deadline:
		time.sleep(0.02)


def read_stat(pid: int) -> list[str] | None:
	"""The fields of /proc/PID/stat from the state on. The name before them may hold blanks and brackets."""
	try:
		text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
	except OSError:
		return None
	return text.rpartition(")")[2].split()
