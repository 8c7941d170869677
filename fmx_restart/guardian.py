"""
The process that outlives an operation: python -m fmx_restart.guardian OPERATION JOURNAL READY, in the sites folder.

It sleeps on the lock of the operation's journal. The kernel wakes it the instant the operation's process is gone, however
that ended; if the journal has no end then, it recovers what is left. Nothing is imported before that: while it sleeps it
costs a bare interpreter, and no more after an operation that ended well, when the bench boots. READY is the file descriptor
of a pipe to whoever started it: a byte there says that it waits.
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.journal_end import is_closed


def main(operation: str, journal: str, ready: int) -> None:
	"""
	Sleep until no process holds the journal, then recover what is left. A journal that was closed, or is gone, left
	nothing. `ready`: a descriptor at which it says that it sleeps.
	"""
	sleep_until_nobody_holds(journal, ready)
	if not Path(journal).exists() or is_closed(Path(journal)):
		return
	from fmx_restart.recover import recover_patiently

	recover_patiently(operation)


def sleep_until_nobody_holds(journal: str, ready: int) -> None:
	"""NFS emulates flock by locks of fcntl, which want a file that is open for writing."""
	file = os.open(journal, os.O_RDWR)
	try:
		fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
	except BlockingIOError:
		tell(ready)
		fcntl.flock(file, fcntl.LOCK_EX)
	else:
		tell(ready)
	os.close(file)


def tell(ready: int) -> None:
	"""Whoever started it may be gone already: just then it is needed."""
	with suppress(BrokenPipeError):
		os.write(ready, b"\0")
	os.close(ready)


if __name__ == "__main__":
	main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
