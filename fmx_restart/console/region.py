"""The last lines of a terminal, drawn anew in place, below lines that stay."""

from __future__ import annotations

from collections import deque

from rich.console import Console, RenderableType

KEPT = 200  # printed lines that can be shown again when the window gets another size
CLEAR = "\x1b[2J\x1b[H"


class Region:
	"""
	A terminal whose window gets another size moves what it shows, and no two do so alike. So nothing is erased then by
	counting lines: the screen is cleared, and as many of our own lines as fit are shown again.
	"""

	def __init__(self, console: Console) -> None:
		self.console = console
		self._printed: deque[RenderableType] = deque(maxlen=KEPT)
		self._shown = ""  # what is drawn, cursor movements apart
		self._size = console.size

	def print(self, text: RenderableType) -> None:
		"""A line that stays, above whatever is drawn next."""
		self.erase()
		self.console.print(text)
		self._printed.append(text)

	def draw(self, part: RenderableType) -> None:
		"""In place of what is drawn. On what is no terminal nothing is drawn."""
		if not self.console.is_terminal:
			return
		before = self._repainted() if self.console.size != self._size else ""
		text = self._text(part)
		if before or text != self._shown:
			self._write((before or self._erasing()) + text)
			self._shown = text

	def erase(self) -> None:
		"""The cursor stands where the drawn lines began."""
		if self._shown:
			self._write(self._erasing())
			self._shown = ""

	def _erasing(self) -> str:
		height = self._shown.count("\n")
		return f"\x1b[{height}A\r\x1b[J" if height else ""

	def _repainted(self) -> str:
		"""The screen without anything of the former width."""
		self._size, self._shown = self.console.size, ""
		rows = [
			row for line in self._printed for row in self._text(line, crop=False).splitlines(keepends=True)
		]
		return CLEAR + "".join(rows[-max(1, self.console.height // 2) :])

	def _text(self, part: RenderableType, *, crop: bool = True) -> str:
		"""One column is left free: a line that fills the window may or may not count as two."""
		with self.console.capture() as captured:
			self.console.print(part, width=max(10, self.console.width - 1) if crop else None)
		rows = captured.get().splitlines(keepends=True)
		return "".join(rows[: self.console.height - 1] if crop else rows)

	def _write(self, text: str) -> None:
		self.console.file.write(text)
		self.console.file.flush()
