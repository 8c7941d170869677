"""How much memory there is to have: the machine's, or what the cgroup of this process allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")  # cgroup v2, v1
USAGE_FILES = ("memory.current", "memory.usage_in_bytes")


@dataclass(frozen=True)
class Memory:
	total: int  # bytes
	available: int  # bytes, without swapping
	is_limited: bool = False  # by a cgroup, not by the machine


def read_memory(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Memory:
	machine = psutil.virtual_memory()
	memory = Memory(machine.total, machine.available)
	for folder in folders(groups, own):
		limit, used = number(folder, LIMIT_FILES), number(folder, USAGE_FILES)
		# without a limit v1 writes a number larger than any machine
		if limit is not None and limit < memory.total:
			free = max(0, limit - used) if used is not None else memory.available
			memory = Memory(limit, min(free, memory.available), is_limited=True)
	return memory


def folders(groups: Path, own: Path) -> list[Path]:
	"""This process' groups and those above: any of them may limit it. In a container its own is the root."""
	found = [groups, groups / "memory"]
	try:
		lines = own.read_text(errors="replace").splitlines()
	except OSError:
		return found
	for line in lines:
		_, _, rest = line.partition(":")
		controllers, _, path = rest.partition(":")
		if controllers in ("", "memory"):
			root = groups / controllers
			below = (root / path.lstrip("/")).relative_to(root).parts
			found += [root.joinpath(*below[:depth]) for depth in range(1, len(below) + 1)]
	return found


def number(folder: Path, names: tuple[str, ...]) -> int | None:
	for name in names:
		try:
			return int((folder / name).read_text())
		except (OSError, ValueError):  # not there, or "max"
			continue
	return None
