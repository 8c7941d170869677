"""This machine or container: its clock, its identity, its memory, and what its kernel killed because memory ran out."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import psutil

from fmx_restart.adapters.process_table import clock, numbering, read_stat
from fmx_restart.adapters.setting_rules import number
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import Machine


class SystemClock:
	"""All answers are in seconds."""

	def now(self) -> float:
		"""Monotonic seconds, for durations: a clock that is set does not move them."""
		return time.monotonic()

	def time(self) -> float:
		"""Seconds since 1970, for people; it may jump."""
		return time.time()

	def sleep(self, seconds: float) -> None:
		"""Sleep for so many seconds."""
		time.sleep(seconds)


MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
MOUNTS = Path("/proc/self/mountinfo")
UPPER = re.compile(r"(?:^|,)upperdir=([^,]+)")


@cache
def this_machine() -> Machine:
	"""Name, machine id, how pids are counted, and the boot. Read once: none of them changes while a process runs."""
	return Machine(socket.gethostname(), machine_id(), numbering(), up_since())


def up_since() -> float:
	"""When the first process of our pid namespace began: that of the machine, or of the container. Seconds since the epoch."""
	init = read_stat(1)
	return time.time() - clock() + (init.began if init else 0.0)


def machine_id() -> str:
	"""
	Hashed: machine-id(5) asks for that where it leaves the machine. Containers of one image have the same file or none, so
	that the folder that holds a container's own changes counts too. Empty where neither is known.
	"""
	file = next(filter(None, map(text_of, MACHINE_IDS)), "")
	known = "\0".join(filter(None, [file, writable_layer(lines_of(MOUNTS))]))
	return hashlib.sha256(f"fmx_restart\0{known}".encode()).hexdigest()[:16] if known else ""


def writable_layer(mounts: Iterable[str]) -> str:
	"""The folder below an overlay that is mounted as /; "" where / is something else. `mounts`: proc(5), mountinfo."""
	for line in mounts:
		words = line.split()
		if len(words) > 4 and words[4] == "/" and (match := UPPER.search(words[-1])):
			return match[1]
	return ""


def text_of(path: Path) -> str:
	"""A file's text without the white space around it; empty where it cannot be read."""
	try:
		return path.read_text(errors="replace").strip()
	except OSError:
		return ""


def lines_of(path: Path) -> list[str]:
	"""A file's lines; none where it cannot be read."""
	return text_of(path).splitlines()


LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")  # cgroup v2, v1
USAGE_FILES = ("memory.current", "memory.usage_in_bytes")


@frozen
class Memory:
	total: int  # bytes
	available: int  # bytes, without swapping
	is_limited: bool = False  # by a cgroup, not by the machine


def read_memory(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Memory:
	"""Bytes of memory in all and left, of the machine or of the narrowest control group around this process."""
	machine = psutil.virtual_memory()
	memory = Memory(machine.total, machine.available)
	for folder in folders(groups, own):
		limit, used = cgroup_number(folder, LIMIT_FILES), cgroup_number(folder, USAGE_FILES)
		# without a limit v1 writes a number larger than any machine
		if limit is not None and limit < memory.total:
			free = max(0, limit - used) if used is not None else memory.available
			memory = Memory(limit, min(free, memory.available), is_limited=True)
	return memory


def folders(groups: Path, own: Path) -> list[Path]:
	"""This process' groups and those above: any of them may limit it. In a container its own is the root."""
	paths = [groups, groups / "memory"]
	try:
		lines = own.read_text(errors="replace").splitlines()
	except OSError:
		return paths
	for line in lines:
		_, _, rest = line.partition(":")
		controllers, _, path = rest.partition(":")
		if controllers in ("", "memory"):
			root = groups / controllers
			below = (root / path.lstrip("/")).relative_to(root).parts
			paths += [root.joinpath(*below[:depth]) for depth in range(1, len(below) + 1)]
	return paths


def cgroup_number(folder: Path, names: tuple[str, ...]) -> int | None:
	"""Bytes from the first of these files that holds a number; None where none does, or all say "max"."""
	for name in names:
		try:
			return int((folder / name).read_text())
		except (OSError, ValueError):  # not there, or "max"
			continue
	return None


KMSG = Path("/dev/kmsg")
MOST_LINES = 20_000
TIMEOUT = 1.0  # seconds
KERNEL = 0  # the facility of what the kernel itself says; others may write into its log, too
KILLED = re.compile(
	r"(?P<group>Memory cgroup )?[Oo]ut of memory[^:]*: Kill(?:ed)? process (?P<pid>\d+) \((?P<name>.*)\),? (?:total-vm|score)"
	r"(?:.*?anon-rss:(?P<memory>\d+)kB)?"
)
RECORD = re.compile(r"(?P<priority>\d+),\d+,(?P<microseconds>\d+),[^;]*;(?P<text>.*)")


@frozen
class OomKill:
	pid: int
	name: str  # of the program, 15 characters at most
	time: float  # seconds since the epoch
	memory: int | None  # bytes
	is_group_limit: bool  # a cgroup's limit was reached, not the machine's


def oom_kills(since: float) -> list[OomKill] | None:
	"""From that instant on (seconds since the epoch). None where nobody lets us read the log."""
	for read in (read_kmsg, read_journal):
		records = read()
		if records is not None:
			return [kill for kill in map(kill_in, records) if kill and kill.time >= since]
	return None


def kill_in(record: tuple[float, str]) -> OomKill | None:
	"""The process that the kernel killed for lack of memory, if this line of its log tells of one."""
	instant, text = record
	match = KILLED.match(text)
	if match is None:
		return None
	memory = int(match["memory"]) * 1024 if match["memory"] else None
	return OomKill(int(match["pid"]), match["name"], instant, memory, match["group"] is not None)


def read_kmsg(file: Path = KMSG) -> list[tuple[float, str]] | None:
	"""The kernel's own buffer, from its beginning; one read is one record."""
	try:
		descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
	except OSError:
		return None
	try:
		return list(records_in(kernel_lines(descriptor), boot_time()))
	finally:
		os.close(descriptor)


def kernel_lines(descriptor: int) -> Iterator[str]:
	"""The kernel's log, oldest line first. It ends where the log does, and where it may not be read."""
	for _ in range(MOST_LINES):
		try:
			record = os.read(descriptor, 8192)
		except BlockingIOError:  # that was the last one
			return
		except BrokenPipeError:  # the oldest were overwritten meanwhile
			continue
		except OSError:
			return
		if not record:
			return
		yield record.decode(errors="replace")


def records_in(lines: Iterable[str], booted: float) -> Iterator[tuple[float, str]]:
	"""Instant (seconds since the epoch) and text of what the kernel itself said."""
	for line in lines:
		match = RECORD.match(line)
		if match and int(match["priority"]) >> 3 == KERNEL:
			yield booted + int(match["microseconds"]) / 1e6, match["text"]


def boot_time() -> float:
	"""Of the kernel's clock, which stands still while the machine sleeps."""
	return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) if psutil.LINUX else psutil.boot_time()


def read_journal() -> list[tuple[float, str]] | None:
	"""Where the buffer is closed to us, the journal may be open: members of systemd-journal and adm read it."""
	program = shutil.which("journalctl")
	if program is None:
		return None
	words = [program, "--dmesg", "--quiet", "--no-pager", "--output=short-unix", f"--lines={MOST_LINES}"]
	try:
		done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, errors="replace")
	except (OSError, subprocess.TimeoutExpired):
		return None
	return list(journal_records(done.stdout.splitlines())) if done.returncode == 0 and done.stdout else None


def journal_records(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
	"""1759000428.368000 host kernel: text."""
	for line in lines:
		instant, _, rest = line.partition(" ")
		if seconds := number(instant):
			yield seconds, rest.partition("kernel: ")[2]
