"""Which signals a process takes care of, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path


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
	try:
		return bool(int(mask, 16) >> (number - 1) & 1)
	except ValueError:
		return None
