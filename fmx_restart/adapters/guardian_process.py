"""Starts a guardian, and sees it wait."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fmx_restart.engine.errors import WrongEnvironment

#: Seconds after the death of an operation's process in which its guardian begins to recover what it left
GUARDIAN_WITHIN = 15.0
READY_WITHIN = 10.0  # seconds; some milliseconds where the machine has room
LONGEST_ERROR = 300  # characters of what it printed


def start_guardian(operation: str, journal: Path, log: Path) -> subprocess.Popen:
	"""
	In a session of its own. Returns when it has opened the journal and waits for its lock; one that lives and is only slow
	is not waited for any longer. Raises WrongEnvironment when it cannot be started, or has ended.
	"""
	reading, writing = os.pipe()
	with closing_fd(reading):
		with closing_fd(writing), opened(log) as output:
			began = output.seek(0, os.SEEK_END)
			guardian = popen(operation, journal, output, writing)
		if has_ended(reading):
			raise WrongEnvironment(
				f"The guardian ended as soon as it was started: {last_words(log, began)}. Nothing was changed.",
				hint=f"The guardian cleans up if an operation's process dies, so no operation begins without one. Its output is in {log}.",
			)
	return guardian


@contextmanager
def closing_fd(file: int) -> Iterator[None]:
	"""Close a descriptor at the end, whatever happens."""
	try:
		yield
	finally:
		os.close(file)


def popen(operation: str, journal: Path, output: IO[bytes], ready: int) -> subprocess.Popen:
	"""
	Start the guardian in a session of its own. It inherits `ready`. Raises WrongEnvironment where no process can be
	started.
	"""
	command = [sys.executable, "-m", "fmx_restart.guardian", operation, str(journal), str(ready)]
	try:
		return subprocess.Popen(
			command,
			stdin=subprocess.DEVNULL,
			stdout=output,
			stderr=output,
			start_new_session=True,
			pass_fds=[ready],
		)
	except OSError as error:
		raise WrongEnvironment(
			f"The guardian cannot be started: {error}. Nothing was changed.",
			hint="Check the free memory and the process limits: free -m; ulimit -u.",
		) from error


def has_ended(reading: int) -> bool:
	"""Its end of the pipe closes with it, with or without a byte before."""
	is_told = bool(select.select([reading], [], [], READY_WITHIN)[0])
	return is_told and not os.read(reading, 1)


def opened(log: Path) -> IO[bytes]:
	"""A disk that is full must not keep it from being started."""
	try:
		file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
	except OSError:
		file = os.open(os.devnull, os.O_WRONLY)
	return os.fdopen(file, "wb")


def last_words(log: Path, began: int) -> str:
	"""What it printed last, from that byte on."""
	try:
		with log.open("rb") as file:
			file.seek(began)
			lines = file.read().decode(errors="replace").strip().splitlines()
	except OSError:
		lines = []
	return lines[-1][:LONGEST_ERROR] if lines else "it printed nothing"
