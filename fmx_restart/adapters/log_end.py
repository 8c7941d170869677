"""The last lines of a file that may be of any length, and that someone may be writing."""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = 1 << 16  # bytes read at once, from the end
MOST = 1 << 23  # bytes that are read at most: a line may be longer than any memory


def last_lines(path: str, count: int) -> list[str]:
	"""Without their line ends; bytes that are no text are replaced. Raises OSError."""
	with Path(path).open("rb") as file:
		begin = file.seek(0, os.SEEK_END)
		data = b""
		while begin and data.count(b"\n") <= count and len(data) < MOST:
			size = min(BLOCK, begin)
			begin -= size
			file.seek(begin)
			data = file.read(size) + data
	return data.decode(errors="replace").splitlines()[-count:]


def size_of(path: str) -> int | None:
	"""Bytes, or None for a log that cannot be looked at."""
	try:
		return Path(path).stat().st_size
	except OSError:
		return None


def new_in(path: str, mark: int, most: int = BLOCK) -> str | None:
	"""
	What stands behind the first `mark` bytes, at most the last `most`; all of it where the file is shorter, as it was rotated
	meanwhile. None where it is not ours to read.
	"""
	size = size_of(path) or 0
	begin = mark if size >= mark else 0
	try:
		with Path(path).open("rb") as log:
			log.seek(max(begin, size - most))
			return log.read(most).decode(errors="replace")
	except OSError:
		return None
