"""Processes that the kernel killed for want of memory, as its log tells it. Bounded, and only what may be read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fmx_restart.adapters.numbers import number

KMSG = Path("/dev/kmsg")
MOST_LINES = 20_000
TIMEOUT = 1.0  # seconds
KERNEL = 0  # the facility of what the kernel itself says; others may write into its log, too
KILLED = re.compile(
	r"(?P<group>Memory cgroup )?[Oo]ut of memory[^:]*: Kill(?:ed)? process (?P<pid>\d+) \((?P<name>.*)\),? (?:total-vm|score)"
	r"(?:.*?anon-rss:(?P<memory>\d+)kB)?"
)
RECORD = re.compile(r"(?P<priority>\d+),\d+,(?P<microseconds>\d+),[^;]*;(?P<text>.*)")


@dataclass(frozen=True)
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
		return list(records_in(lines_of(descriptor), boot_time()))
	finally:
		os.close(descriptor)


def lines_of(descriptor: int) -> Iterator[str]:
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
