"""Lines and tables on a terminal of a few columns, and in a pipe."""

from __future__ import annotations

import os
import sys
import unittest
from pathlib import Path

from fmx_restart.console.program_names import short_list, short_program, short_programs
from fmx_restart.console.wrapping import wrapped
from fmx_restart.tests.bench.terminal import Terminal

NOTE = (
	"Note: requests fail while web restarts, as its old workers are not set up to serve until new ones answer."
	" To change that: bench safe-restart setup web"
)
SHOWN = """
from fmx_restart.console.columns import columns
from fmx_restart.console.say import say
head = ("OPERATION", "BY", "STRATEGY", "TIME")
rows = [("20261127-032441-c634", "somebody@a-company.example.com", "no-wait-workers, migrate", "15 s")]
say("\\n".join(columns(head, rows, right=("TIME",), foldable=("STRATEGY", "BY", "OPERATION"))))
say("a long line " * 12)
"""


class TestWrapped(unittest.TestCase):
	def test_the_rest_of_a_line_stands_below_its_text(self):
		for line, begin in (
			(NOTE, "  "),
			(f"    {NOTE}", "      "),
			(f"  2. {NOTE}", "     "),
			(f"03:31:02  {NOTE}", " " * 10),
		):
			for width in (80, 60, 41):
				first, *rest = wrapped(line, width).split("\n")
				self.assertTrue(rest)
				for text in rest:
					self.assertRegex(text, rf"^{begin}\S")
				self.assertLessEqual(max(map(len, [first, *rest])), width)
				self.assertEqual(" ".join([first, *rest]).split(), line.split())

	def test_a_command_at_the_end_is_in_one_piece_where_there_is_room(self):
		for width in range(34, 90):
			self.assertIn("bench safe-restart setup web", wrapped(NOTE, width))
		self.assertNotIn("bench safe-restart setup web", wrapped(NOTE, 25))

	def test_a_path_is_never_cut_and_short_lines_and_pipes_stay_as_they_are(self):
		path = f"/{'a-long-folder/' * 9}file.log"
		self.assertIn(path, wrapped(f"It is written to {path} meanwhile.", 60).split())
		self.assertEqual(wrapped("  short\n\nlines  ", 60), "  short\n\nlines  ")
		self.assertEqual(wrapped(NOTE, None), NOTE)


class TestOnATerminal(unittest.TestCase):
	def lines(self, columns: int) -> list[str]:
		env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
		root = Path(__file__).parents[3]
		terminal = Terminal([sys.executable, "-c", SHOWN], cwd=root, env=env, size=(columns, 24))
		self.addCleanup(terminal.close)
		self.assertEqual(terminal.finish(), 0, terminal.text)
		return terminal.text.splitlines()

	def test_a_table_that_has_room_is_not_folded(self):
		self.assertIn("no-wait-workers, migrate  15 s", self.lines(100)[1])

	def test_cells_are_folded_between_words_first_and_an_id_last(self):
		head, first, second, *_ = lines = self.lines(60)
		self.assertLessEqual(max(map(len, lines)), 60)
		self.assertTrue(first.startswith("20261127-032441-c634  "), lines)
		self.assertEqual(first.index("15 s") + 4, head.index("TIME") + 4)
		self.assertTrue(second.startswith(" " * 22), lines)

	def test_in_few_columns_nothing_runs_over_and_nothing_is_lost(self):
		lines = self.lines(40)
		self.assertLessEqual(max(map(len, lines)), 40)
		table = "".join("".join(lines).split())
		for part in ("20261127-", "032441-", "c634", "migrate"):
			self.assertIn(part, table)

	def test_where_words_would_have_to_be_cut_each_row_is_a_list(self):
		id, first, second, third, *_ = self.lines(30)
		self.assertEqual(id, "20261127-032441-c634")
		self.assertEqual((first, second), ("  TIME 15 s", "  BY:"))
		self.assertEqual(third.strip(), "somebody@a-company.example.com")


class TestProgramNames(unittest.TestCase):
	def test_what_bench_puts_in_front_is_left_out_but_not_a_managers_name(self):
		for name, short in (
			("frappe-bench-web:frappe-bench-frappe-web", "web"),
			("frappe-bench-web:frappe-bench-node-socketio", "socketio"),
			("app2/b-workers:b-frappe-long-worker-0", "app2/long-worker-0"),
			("frappe-bench-frappe-short-worker@1.service", "short-worker@1"),
			("erp-workers:erp-exporter", "erp-workers:erp-exporter"),
			("web", "web"),
			("", ""),
		):
			self.assertEqual(short_program(name), short)

	def test_two_that_would_be_called_the_same_keep_their_names(self):
		names = ["a:a-frappe-web", "b:b-frappe-web", "a:a-frappe-schedule"]
		self.assertEqual(
			short_programs(names), {**dict(zip(names, names, strict=True)), names[2]: "schedule"}
		)
		self.assertEqual(short_list(names[:2]), "a:a-frappe-web, b:b-frappe-web")
