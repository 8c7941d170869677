"""Which signals a process takes care of, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path


def catches(pid: int, number: int, *, proc: Path = Path("/proc")) -> bool | None:
	"""None where the kernel does not tell: the process is gone, or this is no Linux."""
	try:
		lines = (proc / str(pid) / "status").read_text().splitlines()
	except OSError:
		return None
	for line in lines:
		name, _, value = line.partition(":")
		if name == "SigCgt":
			return bool(int(value, 16) >> (number - 1) & 1)
	return None
