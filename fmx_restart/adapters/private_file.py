"""Files of the bench user's alone: what stands in them is carried out, so nobody else may have written it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fmx_restart.adapters.site_config import sync_folder, write_all


def read_private(path: Path, largest: int) -> str:
	"""
	Its text. `largest`: bytes. Raises ValueError for a link, another user's file, one that others can read, or a larger one;
	OSError.
	"""
	file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
	with os.fdopen(file, "rb") as opened:
		status = os.fstat(file)
		if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
			raise ValueError("It must be a file of this user's that nobody else can read or write.")
		data = opened.read(largest + 1)
	if len(data) > largest:
		raise ValueError("It is too large.")
	return data.decode()


def write_private(path: Path, text: str) -> None:
	"""
	Whole or not at all, in place of the one that may be there. Files with the same ending have one draft, so what a killed
	process left behind is overwritten by the next one: call it under one lock for all of them. Raises OSError.
	"""
	draft = path.with_name(f"{''.join(path.suffixes)}.new")
	draft.unlink(missing_ok=True)
	write_new(draft, text)
	draft.replace(path)
	sync_folder(path.parent)


def write_new(path: Path, text: str) -> None:
	"""Raises OSError, also where there is such a file already; nothing is left of ours then."""
	file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
	try:
		write_all(file, text.encode())
		os.fsync(file)
	except BaseException:
		path.unlink()
		raise
	finally:
		os.close(file)
