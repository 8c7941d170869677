"""
Python's fork server, where it starts the workers of a pool: a process that ends as soon as its client runs another program.
What keeps it, and with it these workers, among the processes of the pool until they have left.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing import current_process
from typing import NamedTuple


class Helpers(NamedTuple):
	"""Of a pool's process, for its workers of former code."""

	pids: tuple[int, ...] = ()  # processes that end by themselves
	files: tuple[int, ...] = ()  # open in this process as long as these workers run
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
	file = getattr(server, "_forkserver_alive_fd", None)
	if file is None:
		return Helpers()
	pids = (getattr(server, "_forkserver_pid", None), getattr(tracker, "_pid", None))
	folder = getattr(current_process(), "_config", {}).get("tempdir")
	return Helpers(tuple(pid for pid in pids if pid), (file,), (folder,) if folder else ())


def hand_over(files: Iterable[int], *, is_open: bool) -> None:
	"""Whether another program that this process runs has these files, too."""
	for file in files:
		with suppress(OSError):
			os.set_inheritable(file, is_open)


def dismiss(helpers: Helpers) -> Helpers:
	"""When the last of these workers is gone. Returns what is left: processes that are about to end."""
	for file in helpers.files:
		with suppress(OSError):
			os.close(file)
	for folder in helpers.folders:
		shutil.rmtree(folder, ignore_errors=True)
	return Helpers(helpers.pids)


def bury(pid: int) -> bool:
	"""Whether that child has ended, or is none."""
	try:
		return os.waitpid(pid, os.WNOHANG)[0] == pid
	except ChildProcessError:
		return True
