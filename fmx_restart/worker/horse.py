"""The process that runs one job, as its worker sees it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PR_SET_PDEATHSIG = 1


def dies_with(parent: int, prctl: object) -> None:
	"""
	Of this process: whoever finds the claim of a dead worker may run its job again, so no process may go on with it.
	`prctl`: of the C library.
	"""
	prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
	if os.getppid() != parent:
		os._exit(1)


@contextmanager
def opened(pid: int) -> Iterator[list[int]]:
	"""Files that can be read when that child ends; none where the kernel is older than 5.3."""
	files: list[int] = []
	with suppress(OSError):
		files.append(os.pidfd_open(pid))
	try:
		yield files
	finally:
		for file in files:
			os.close(file)


def has_ended(pid: int) -> bool:
	"""Of a child. Its exit code stays there to be read."""
	try:
		return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
	except ChildProcessError:
		return True
