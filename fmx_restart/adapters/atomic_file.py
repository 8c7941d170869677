"""A file that is either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
	"""
	Mode and owner stay. A symlink stays one: the file it leads to is replaced. What a killed process left behind is
	overwritten by the next one, so call it under a lock. Raises OSError, e.g. on a full disk; the old file is whole then.
	"""
	target = Path(os.path.realpath(path))
	draft = target.with_name(f".{target.name}.fmx_restart")
	old = target.stat()
	file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
	try:
		write_all(file, text.encode())
		if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
			os.fchown(file, old.st_uid, old.st_gid)
		os.fchmod(file, old.st_mode & 0o7777)
		os.fsync(file)
	except BaseException:
		draft.unlink()
		raise
	finally:
		os.close(file)
	draft.replace(target)
	sync_folder(target.parent)


def write_all(file: int, data: bytes) -> None:
	"""A disk that is nearly full takes a part of the data first, and raises OSError only for the rest."""
	while data:
		data = data[os.write(file, data) :]


def sync_folder(folder: Path) -> None:
	"""So that the new name survives a power cut too."""
	file = os.open(folder, os.O_RDONLY)
	try:
		os.fsync(file)
	finally:
		os.close(file)
