"""The command on a terminal: a pseudo one, with a person of a few keystrokes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import PATIENCE

ROWS, COLUMNS = 50, 180
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
	"""`text` is all that was ever shown, without colours and movements of the cursor."""

	popen = subprocess.Popen

	def __init__(
		self,
		words: Sequence[str],
		*,
		cwd: Path,
		env: Mapping[str, str],
		size: tuple[int, int] = (COLUMNS, ROWS),
		term: str = "xterm-256color",
	) -> None:
		"""`size`: columns and rows."""
		self._ours, theirs = pty.openpty()
		self.resize(*size)
		self.process = self.popen(
			words,
			cwd=cwd,
			env={**env, "TERM": term},
			stdin=theirs,
			stdout=theirs,
			stderr=theirs,
			start_new_session=True,
			preexec_fn=take_terminal,
		)
		os.close(theirs)
		self._shown = bytearray()
		self._hung_up = threading.Event()
		self._reader = threading.Thread(target=self._read, daemon=True)
		self._reader.start()

	@property
	def text(self) -> str:
		return CONTROL.sub("", self._shown.decode(errors="replace"))

	def wait_for(self, pattern: str) -> re.Match:
		"""The first match in what was shown so far."""
		return eventually(lambda: self._match(pattern), f"{pattern} on the terminal", deadline=PATIENCE)

	def type(self, keys: str) -> None:
		os.write(self._ours, keys.encode())

	def resize(self, columns: int, rows: int) -> None:
		"""The kernel tells the programs on it, as when a window gets another size."""
		fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

	def written(self) -> bytes:
		"""All that came, as it came."""
		return bytes(self._shown)

	def finish(self) -> int:
		code = self.process.wait(timeout=PATIENCE)
		self._reader.join(timeout=10)
		return code

	def hang_up(self) -> None:
		"""The window is closed, the connection is lost. The text stays as it was."""
		self._hung_up.set()
		self._reader.join(timeout=10)
		os.close(self._ours)

	def close(self) -> None:
		if self.process.poll() is None:
			self.process.terminate()
		self.process.wait(timeout=PATIENCE)
		if not self._hung_up.is_set():
			self.hang_up()

	def _match(self, pattern: str) -> re.Match | None:
		found = re.search(pattern, self.text)
		if not found and self.process.poll() is not None:
			self.finish()
			if not (found := re.search(pattern, self.text)):
				raise AssertionError(f"it ended without {pattern}:\n{self.text}")
		return found

	def _read(self) -> None:
		with suppress(OSError):  # EIO: the other side has closed
			while not self._hung_up.is_set():
				if select.select([self._ours], [], [], 0.05)[0]:
					self._shown += os.read(self._ours, 4096)


def take_terminal() -> None:
	"""In the child: standard input becomes its controlling terminal, so that Ctrl-C and a hang-up reach it."""
	fcntl.ioctl(0, termios.TIOCSCTTY, 0)
