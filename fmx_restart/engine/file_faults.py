"""Files that cannot be read or written, as on a share whose file server fails: which errors these are, and what to look at."""

from __future__ import annotations

import errno
import os

#: What a disk or a file server answers that fails, not one that is full or refuses. It need not say for which file
NOT_SERVED = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOLCK)
SERVER = "Check whether the disk of the bench works, or the file server that it is mounted from. Then type the command again."
FILE = "Check this file and its permissions. Then type the command again."


def is_file_fault(error: BaseException) -> bool:
	"""Not one of a connection, or of a pipe whose reader is gone."""
	if not isinstance(error, OSError) or isinstance(error, ConnectionError):
		return False
	return error.filename is not None or error.errno in NOT_SERVED


def what_failed(error: OSError) -> str:
	"""A sentence that names the file, where that is known."""
	name = "A file" if error.filename is None else os.fsdecode(error.filename)
	return f"{name} cannot be used: {error.strerror or error}."


def hint_of(error: OSError) -> str:
	"""What to look at, and what to type next."""
	return SERVER if error.errno in NOT_SERVED else FILE
