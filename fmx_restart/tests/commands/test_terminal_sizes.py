"""What stands on a terminal at each moment: a real pseudo terminal, drawn by an emulator, in small and in large, and a dumb one."""

from __future__ import annotations

import os
import re
import unittest
from importlib.util import find_spec

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.commands.test_viewer import CTRL_C, ROOT, STOPPED, ForkedTerminal, ViewerCase

if find_spec("pyte"):
	import pyte

SMALL, LARGE = (80, 24), (120, 40)  # columns and rows
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|9[0-7])m")


class TerminalCase(ViewerCase):
	def open(self, size: tuple[int, int] = LARGE, term: str = "xterm-256color", **env: str) -> ForkedTerminal:
		kept = {
			name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
		}
		terminal = ForkedTerminal(
			self.words("text", "drains"), cwd=ROOT, env={**kept, **env}, size=size, term=term
		)
		self.addCleanup(terminal.close)
		return terminal


@unittest.skipUnless(find_spec("pyte"), "needs an emulator of a terminal")
class TestDrawn(TerminalCase):
	def shown(self, terminal: ForkedTerminal, *sizes: tuple[int, tuple[int, int]]) -> list[str]:
		"""The rows of the screen now. `sizes`: how many bytes had come when the window got that size."""
		(_, (columns, rows)), *later = sizes
		screen = pyte.Screen(columns, rows)
		stream, text, begin = pyte.ByteStream(screen), terminal.written(), 0
		for at, (columns, rows) in later:
			stream.feed(text[begin:at])
			screen.resize(rows, columns)
			begin = at
		stream.feed(text[begin:])
		return [row.rstrip() for row in screen.display]

	def wait_until_drawn(self, terminal: ForkedTerminal, *sizes: tuple[int, tuple[int, int]]) -> list[str]:
		def look() -> list[str] | None:
			rows = self.shown(terminal, *sizes)
			return (
				rows
				if any("Ctrl-C" in row for row in rows) and any("At most" in row for row in rows)
				else None
			)

		return eventually(look, "the table is drawn", deadline=30)

	def wait_until_shown(
		self, part: str, terminal: ForkedTerminal, *sizes: tuple[int, tuple[int, int]]
	) -> None:
		eventually(lambda: part in "\n".join(self.shown(terminal, *sizes)), f"it shows {part}", deadline=30)

	def test_the_table_the_likely_time_and_what_ctrl_c_does_fit_into_small_and_large(self):
		for size in (SMALL, LARGE):
			with self.subTest(size=size):
				terminal = self.open(size)
				rows = self.wait_until_drawn(terminal, (0, size))
				text = "\n".join(rows)
				for part in ("a-site-with", "pid 4711", "pid 4712", "Queued: long 7"):
					self.assertEqual(text.count(part), 2 if part == "a-site-with" else 1, text)
				self.assertRegex(text, r"Likely (42|41) s more\. Gives up in (5 min|4 min 59 s)\n")
				self.assertEqual(text.count("Ctrl-C: stop; nothing is restarted yet"), 1, text)
				self.assertLessEqual(max(map(len, rows)), size[0])
				self.make("restart")
				terminal.wait_for("Restart: stopping")
				self.wait_until_shown("too late to stop", terminal, (0, size))
				self.assertNotIn("Gives up", "\n".join(self.shown(terminal, (0, size))))
				self.make("end")
				self.assertEqual(terminal.finish(), 0)
				self.assertNotIn("Ctrl-C", "\n".join(self.shown(terminal, (0, size))))
				for name in ("restart", "end"):
					(self.folder / name).unlink()
				self.journal.unlink()

	def test_a_window_of_another_size_leaves_no_torn_table(self):
		terminal = self.open(LARGE)
		self.wait_until_drawn(terminal, (0, LARGE))
		changes = [(0, LARGE)]
		for size in (SMALL, (60, 20), LARGE):
			changes.append((len(terminal.written()), size))
			terminal.resize(*size)
			eventually(lambda: b"\x1b[2J" in terminal.written()[changes[-1][0] :], "it is drawn anew")
			rows = self.wait_until_drawn(terminal, *changes)
			text = "\n".join(rows)
			for part in ("At most", "Queued:", "Gives up in", "Ctrl-C:"):
				self.assertEqual(text.count(part), 1, f"{size}\n{text}")
			self.assertEqual(text.count("Drain: waiting for running jobs to end"), 1, text)

	def test_ctrl_c_stops_it_and_leaves_the_cursor_visible(self):
		terminal = self.open(SMALL)
		self.wait_until_drawn(terminal, (0, SMALL))
		terminal.type(CTRL_C)
		self.assertEqual(terminal.finish(), STOPPED)
		self.assertNotIn(b"\x1b[?25l", terminal.written())
		self.assertIn("Nothing was restarted", " ".join(terminal.text.split()))


class TestPlain(TerminalCase):
	def test_a_dumb_terminal_gets_a_line_for_each_wait_and_no_escape_sequence(self):
		for term in ("dumb", "unknown", ""):
			with self.subTest(term=term):
				terminal = self.open(SMALL, term)
				terminal.wait_for(r"Waiting for 2 jobs, likely 42 s more; gives up in 5 min:\s+a-site")
				self.make("restart")
				self.make("end")
				self.assertEqual(terminal.finish(), 0)
				self.assertNotIn(b"\x1b", terminal.written())
				for name in ("restart", "end"):
					(self.folder / name).unlink()
				self.journal.unlink()

	def test_no_color_takes_colours_away_and_nothing_else(self):
		coloured, plain = self.open(LARGE), None
		coloured.wait_for("Gives up in")
		self.make("restart")
		self.make("end")
		coloured.finish()
		self.assertRegex(coloured.written(), COLOUR)
		for name in ("restart", "end"):
			(self.folder / name).unlink()
		self.journal.unlink()
		plain = self.open(LARGE, NO_COLOR="1")
		plain.wait_for("Gives up in")
		self.make("restart")
		self.make("end")
		plain.finish()
		self.assertNotRegex(plain.written(), COLOUR)
