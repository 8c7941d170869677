"""
Recycling: a worker whose process has become old or large starts anew once it has no job. What that means stands in
common_site_config.json under one key. When this worker may do it, POP says (scripts.py): one worker of a bench at a time, and
none while the queue is suspended or an operation works on the bench.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

#: In common_site_config.json: {"jobs": 1000, "age": "6h", "memory": "1G", "pressure": 20}, each of them alone or together
SETTING = "fmx_restart_worker_recycle"
#: Fields of a worker's record: how often it was recycled, why last, why it could not be (the type of an error), and what of the
#: setting it cannot use
RECYCLED, REASON, STAYED = "fmx_recycled", "fmx_recycle_reason", "fmx_recycle_refused"
UNUSED = "fmx_recycle_unused"
UNITS: Mapping[str, Mapping[str, float]] = {
	"jobs": {"": 1},
	"age": {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400},  # seconds
	"memory": {"": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30},  # bytes
	"pressure": {"": 1, "%": 1},  # per cent of the last minute in which some process waited for memory
}
LEAST = {"jobs": "1", "age": "1m", "memory": "10M", "pressure": "1"}  # less is not meant
EXAMPLES = {"jobs": 1000, "age": '"6h"', "memory": '"1G"', "pressure": 20}
AMOUNT = r"(\d{1,15}(?:\.\d{1,6})?) ?([a-z%]{0,2})"  # compiled where it is needed: every worker imports this

MEASURE_EVERY = 10.0  # seconds between two looks at memory and pressure while the worker is idle
IDLE_FIRST = 30.0  # seconds that a worker which always has a job leaves the place to idle ones
STAYS_FOR = 600.0  # seconds until the next attempt where the new code could not be imported
#: A start costs memory, too: under pressure a worker starts anew only if it has grown so much, and is so old in seconds
GROWN, SETTLED = 1.25, 600.0
ONCE_IN = 60.0  # seconds between two starts because of the size
IN_PLACE_WITHIN = 120.0  # seconds until others may be recycled, if this one was stopped or killed meanwhile
AS_CHILD_WITHIN = 20.0  # seconds that a pool has to start another worker

#: KEYS: the place. ARGV: who had it
FREE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


def place_key(bench_id: str) -> str:
	"""The name of the worker that is recycled now. It expires."""
	return f"rq:fmx:{bench_id}:recycling"


def limits_of(settings: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
	"""
	What a worker may become before it is recycled, by the names and in the units of UNITS; and what is wrong with each part of
	the setting that cannot be used, and does not count.
	"""
	told = settings.get(SETTING) or {}
	if not isinstance(told, dict):
		return {}, ['it is no object such as {"jobs": 1000, "age": "6h"}']
	limits, faults = {}, []
	for name, value in told.items():
		amount = amount_of(name, value) if name in UNITS else None
		if amount is not None and amount >= amount_of(name, LEAST[name]):
			limits[name] = amount
		elif name in UNITS:
			faults.append(f"{name} is no amount such as {EXAMPLES[name]}, at least {LEAST[name]}")
		else:
			faults.append(f"{str(name)[:40]!r} is none of {', '.join(UNITS)}")
	return limits, faults


def amount_of(name: str, value: object) -> float | None:
	"""In the smallest unit; None for what is none."""
	if isinstance(value, bool) or not isinstance(value, int | float | str):
		return None
	match = re.fullmatch(AMOUNT, str(value).strip().lower())
	if not match or match[2] not in UNITS[name]:
		return None
	return float(match[1]) * UNITS[name][match[2]]


def own_size() -> int:
	"""Bytes of this process in memory; 0 where that cannot be told."""
	try:
		return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
	except (OSError, ValueError, IndexError):
		return 0


def pressure_files() -> list[Path]:
	"""Of the machine, and of the control group that this process is in: a container has a limit of its own."""
	files = [Path("/proc/pressure/memory")]
	with suppress(OSError):
		for line in Path("/proc/self/cgroup").read_text().splitlines():
			hierarchy, _, group = line.partition("::")
			if hierarchy == "0":
				files.append(Path(f"/sys/fs/cgroup{group}/memory.pressure"))
	return files


def pressure_in(files: list[Path]) -> float | None:
	"""The highest of them, in per cent of the last minute; None where the kernel tells none."""
	found = []
	for file in files:
		with suppress(OSError, ValueError):
			found += [
				float(share) for share in re.findall(r"^some .*\bavg60=([\d.]+)", file.read_text(), re.M)
			]
	return max(found, default=None)


class Recycling:
	"""
	Of one worker, from its start on. `size`: bytes that it has now. `pressure`: per cent, None where nobody tells. `is_again`:
	its process was recycled before, so that a size which each start reaches at once costs a start a minute, and not one a job.
	"""

	def __init__(
		self,
		limits: Mapping[str, float],
		size: Callable[[], int] = own_size,
		pressure: Callable[[], float | None] | None = None,
		*,
		is_again: bool = False,
	) -> None:
		files = pressure_files()
		self._limits, self._size = {**dict.fromkeys(UNITS, math.inf), **limits}, size
		self._pressure = pressure or (lambda: pressure_in(files))
		self._began, self._size_at_birth = time.monotonic(), size()
		self._jobs, self._at_peace = 0, ONCE_IN if is_again else 0.0
		self.why = ""  # the limit that was reached, as wish() has found
		self._measured_at, self._measured = -math.inf, ""
		self._due_since: float | None = None
		self._stays_until = -math.inf

	def faults(self) -> list[str]:
		"""What is wrong with each limit that this worker cannot keep."""
		found = []
		if self._size_at_birth >= self._limits["memory"]:
			found.append(
				f"memory is less than the {self._size_at_birth >> 20} MB that a worker has from its start on"
			)
		if self._limits["pressure"] < math.inf and self._pressure() is None:
			found.append("pressure is nothing that this kernel tells (/proc/pressure/memory)")
		return found

	def count_job(self) -> None:
		"""One more; after it, look at the memory."""
		self._jobs += 1
		self._measured_at = -math.inf

	def reason(self) -> str:
		"""Which limit is reached: the name of it; empty for none."""
		if self._jobs >= self._limits["jobs"]:
			return "jobs"
		if self._age() >= self._limits["age"]:
			return "age"
		if time.monotonic() - self._measured_at >= MEASURE_EVERY:
			self._measured_at, self._measured = time.monotonic(), self._measure()
		return self._measured

	def wish(self) -> str:
		"""As POP takes it: "", "idle" or "now". Idle workers come first; one that is never idle comes later."""
		self.why = self.reason()
		if not self.why or time.monotonic() < self._stays_until:
			self._due_since = None
			return ""
		now = time.monotonic()
		self._due_since = now if self._due_since is None else self._due_since
		return "now" if now - self._due_since > IDLE_FIRST else "idle"

	def stay(self) -> None:
		"""It could not be recycled: others first, and this one in a while."""
		self._stays_until = time.monotonic() + STAYS_FOR

	def _age(self) -> float:
		return time.monotonic() - self._began

	def _measure(self) -> str:
		size = self._size() if min(self._limits["memory"], self._limits["pressure"]) < math.inf else 0
		if self._size_at_birth < self._limits["memory"] <= size and self._age() >= self._at_peace:
			return "memory"
		has_grown = size >= GROWN * self._size_at_birth and self._age() >= SETTLED
		is_short = has_grown and (self._pressure() or 0.0) >= self._limits["pressure"]
		return "pressure" if is_short else ""
