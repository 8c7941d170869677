"""
Python's fork server, where it starts the workers of a pool. It lives as long as one of them does, also when the pool's process runs
another program: then that one has to clear away what it leaves.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from multiprocessing import current_process
from typing import NamedTuple


class Helpers(NamedTuple):
	"""Of a pool's process, for its workers of former code."""

	pids: tuple[int, ...] = ()  # processes that end by themselves
	folders: tuple[str, ...] = ()  # to be removed with them

	def __add__(self, other: Helpers) -> Helpers:
		return Helpers(
			*(tuple(dict.fromkeys([*mine, *theirs])) for mine, theirs in zip(self, other, strict=True))
		)


def start_first() -> None:
	"""Where it starts the workers: while signals are not held back, as all that it starts inherits that."""
	if multiprocessing.get_start_method() == "forkserver":
		from multiprocessing import forkserver

		forkserver.ensure_running()


def own_helpers() -> Helpers:
	"""What Python's multiprocessing has started in this process; nothing where it forks by itself."""
	server = getattr(sys.modules.get("multiprocessing.forkserver"), "_forkserver", None)
	tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
	if getattr(server, "_forkserver_pid", None) is None:
		return Helpers()
	pids = (server._forkserver_pid, getattr(tracker, "_pid", None))
	folder = getattr(current_process(), "_config", {}).get("tempdir")
	return Helpers(tuple(pid for pid in pids if pid), (folder,) if folder else ())


def dismiss(helpers: Helpers) -> Helpers:
	"""When the last of these workers is gone. Returns what is left: processes that are about to end."""
	for folder in helpers.folders:
		shutil.rmtree(folder, ignore_errors=True)
	return Helpers(helpers.pids)


def bury(pid: int) -> bool:
	"""Whether that child has ended, or is none."""
	try:
		return os.waitpid(pid, os.WNOHANG)[0] == pid
	except ChildProcessError:
		return True
