"""A command in a session of its own, its output in a file that is read as it grows."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from fmx_restart.adapters.process_stat import clock, read_stat
from fmx_restart.engine.errors import WrongEnvironment

MARK = "FMX_RESTART_RUN"  # in the environment of everything that belongs to the run
PIECE = 1 << 20  # bytes read at once


class CommandRun:
	"""
	The output goes straight into the file: no pipe can fill up, and a reader that dies takes nothing with it. A
	process belongs to the run when it is in its session or carries its mark; both outlive the command itself.
	"""

	def __init__(self, command: Sequence[str], folder: Path, log: Path) -> None:
		"""Raises WrongEnvironment when it cannot be started."""
		self.log, self.mark = str(log), f"{os.getpid()}:{log}"
		environment = {**os.environ, "PYTHONUNBUFFERED": "1", MARK: self.mark}
		try:
			log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
			file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
			self._output = log.open("rb")
			self._output.seek(0, os.SEEK_END)
			try:
				self._process = subprocess.Popen(
					command,
					cwd=folder,
					env=environment,
					stdin=subprocess.DEVNULL,
					stdout=file,
					stderr=file,
					start_new_session=True,
				)
			finally:
				os.close(file)
		except OSError as error:
			raise WrongEnvironment(f"{command[0]} cannot be started: {error}") from error
		self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

	def output(self) -> str:
		return self._decoder.decode(self._output.read(PIECE))

	def exit_code(self) -> int | None:
		return self._process.poll()

	def terminate(self) -> None:
		signal_all(self._members(), signal.SIGTERM)

	def kill(self) -> None:
		signal_all(self._members(), signal.SIGKILL)

	def is_gone(self) -> bool:
		return self.exit_code() is not None and not any(self._members())

	def age(self) -> float:
		return age_of(self._members())

	def _members(self) -> Iterator[psutil.Process]:
		# the session's number is taken as long as anybody is in it, also when the command itself has ended
		session, mark = self._process.pid, self.mark
		return members(lambda p: os.getsid(p.pid) == session or p.environ().get(MARK) == mark)


class AdoptedRun:
	"""A run whose parent died: known by the log in its mark. Nobody can tell its exit code any more."""

	def __init__(self, log: str) -> None:
		self.log = log

	def output(self) -> str:
		return ""

	def exit_code(self) -> int | None:
		return None

	def terminate(self) -> None:
		signal_all(self._members(), signal.SIGTERM)

	def kill(self) -> None:
		signal_all(self._members(), signal.SIGKILL)

	def is_gone(self) -> bool:
		return not any(self._members())

	def age(self) -> float:
		return age_of(self._members())

	def _members(self) -> Iterator[psutil.Process]:
		return members(lambda p: p.environ().get(MARK, "").partition(":")[2] == self.log)


def members(is_ours: Callable[[psutil.Process], bool]) -> Iterator[psutil.Process]:
	for process in psutil.process_iter():
		with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
			is_alive = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
			if is_alive and is_ours(process):
				yield process


def age_of(processes: Iterable[psutil.Process]) -> float:
	stats = filter(None, (read_stat(process.pid) for process in processes))
	return max((clock() - stat.began for stat in stats), default=0.0)


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
	for process in list(processes):
		with suppress(psutil.NoSuchProcess):  # psutil compares the start time first
			process.send_signal(number)
