"""Files that the doctor writes for an administrator, always below the bench."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fmx_restart.engine.errors import WrongEnvironment


def write_for_administrator(file: Path, text: str) -> None:
	"""Raises WrongEnvironment; half a file that could be copied into /etc does not stay."""
	try:
		file.parent.mkdir(parents=True, exist_ok=True)
		file.write_text(text)
	except OSError as error:
		with suppress(OSError):
			file.unlink(missing_ok=True)
		raise WrongEnvironment(
			f"{file} cannot be written: {error.strerror}. Nothing else was changed.",
			hint="Look at the free space, and at who owns the folder.",
		) from error
