"""
The pictures in docs/, taken from the real thing: the command runs in a pseudo-terminal on the development bench,
its screen is read as a terminal would show it.
Run with the bench's interpreter: .development/benches/fmx-bench/env/bin/python development/pictures.py
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from development.description import CHECKOUT, Bench, current_bench
from development.workload import Mix, Workload

COLUMNS, LINES = 110, 34
PICTURES = CHECKOUT / "docs" / "pictures"
#: pyte's names where they differ from rich's
COLOURS = {"brown": "yellow", "default": "default"}


class Terminal:
	"""A command on a screen of its own."""

	def __init__(self, command: list[str], bench: Bench) -> None:
		self.screen = pyte.Screen(COLUMNS, LINES)
		self.stream = pyte.ByteStream(self.screen)
		self.pid, self.file = pty.fork()
		if self.pid == 0:
			os.chdir(bench.path)
			os.execvpe(
				command[0], command, {**bench.environment, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
			)
		fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

	def watch(self, until: Callable[[str], bool], seconds: float = 180) -> bool:
		"""Read until the screen shows what we look for; False when the command ended first."""
		deadline = time.monotonic() + seconds
		while time.monotonic() < deadline:
			if until("\n".join(self.screen.display)):
				return True
			if not self._read():
				return False
		raise TimeoutError("the screen never showed it")

	def finish(self) -> int:
		while self._read():
			pass
		return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

	def _read(self) -> bool:
		if not select.select([self.file], [], [], 1.0)[0]:
			return True
		try:
			data = os.read(self.file, 65536)
		except OSError:  # Linux says EIO when the last process has closed the terminal
			return False
		self.stream.feed(data)
		return bool(data)

	def save(self, path: Path, title: str) -> None:
		console = Console(record=True, width=COLUMNS, file=StringIO(), legacy_windows=False)
		last = max(number for number, line in enumerate(self.screen.display) if line.strip())
		for number in range(last + 1):
			console.print(self._line(number), soft_wrap=True)
		path.parent.mkdir(parents=True, exist_ok=True)
		path.write_text(without_web_fonts(console.export_svg(title=title, unique_id=path.stem)))

	def _line(self, number: int) -> Text:
		text = Text()
		for column in range(COLUMNS):
			cell = self.screen.buffer[number][column]
			colour = COLOURS.get(cell.fg, cell.fg)
			text.append(cell.data, Style(color=None if colour == "default" else colour, bold=cell.bold))
		text.rstrip()
		return text


def without_web_fonts(svg: str) -> str:
	"""A picture in our docs asks nobody for a font; the browser's own monospaced one will do."""
	return re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)


def drain(bench: Bench) -> int:
	"""A drain in progress, and the report at its end."""
	journal = bench.log_path / "pictures.jsonl"
	journal.unlink(missing_ok=True)
	command = ["bench", "--site", bench.site, "safe-restart", "--wait-workers"]
	mix = Mix(rate=6, long_share=0.2, long_seconds=(8.0, 12.0))
	with Workload(bench, journal, mix):
		time.sleep(4)
		terminal = Terminal([str(bench.tools / "bench"), *command[1:], "--yes"], bench)
		if not terminal.watch(lambda screen: "Gives up in" in screen and "busy" in screen):
			raise RuntimeError("no job was running when the restart began; try again")
		time.sleep(2.2)
		terminal.watch(lambda screen: "Gives up in" in screen)
		terminal.save(PICTURES / "drain.svg", " ".join(command))
		code = terminal.finish()
	terminal.save(PICTURES / "report.svg", " ".join(command))
	return code


if __name__ == "__main__":
	sys.exit(drain(current_bench(os.environ.get("FMX_DEVELOPMENT_BENCH"))))
