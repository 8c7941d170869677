"""A command in a session of its own, its output in a file that is read as it grows."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

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
		self._signal(signal.SIGTERM)

	def kill(self) -> None:
		self._signal(signal.SIGKILL)

	def is_gone(self) -> bool:
		return self.exit_code() is not None and not any(self._members())

	def _signal(self, number: signal.Signals) -> None:
		for process in list(self._members()):
			with suppress(psutil.NoSuchProcess):  # psutil compares the start time first
				process.send_signal(number)

	def _members(self) -> Iterator[psutil.Process]:
		for process in psutil.process_iter():
			with suppress(psutil.Error, OSError):  # gone meanwhile, or another user's
				if self._is_ours(process):
					yield process

	def _is_ours(self, process: psutil.Process) -> bool:
		if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
			return False
		# the session's number is taken as long as anybody is in it, also when the command itself has ended
		return os.getsid(process.pid) == self._process.pid or process.environ().get(MARK) == self.mark
