"""What people read of an examination."""

from __future__ import annotations

import io
import re
import unittest
from dataclasses import dataclass, field, replace

from rich.console import Console

from fmx_restart.console.doctor import Details, report
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.registry import BYTES, HIDDEN, INSTANT, SECONDS, Finding, Severity

ERROR = Finding(
	"ghost-jobs", Severity.ERROR, "short", "2 jobs [are] lost.", "bench doctor --fix", fix="put-back"
)
WARNING = Finding("old-code", Severity.WARNING, "", "Code is old.", "bench safe-restart")
CONTROL = re.compile(r"\x1b\[[0-9;]*m")
NOTE = Finding("no-manager", Severity.NOTE, "", "No process manager answers.", "Nothing.")


@dataclass(frozen=True)
class Row:
	name: str = field(metadata=HIDDEN)
	queue: str
	age: float | None = field(metadata=SECONDS)
	memory: int = field(metadata=BYTES)


def examination(*findings: Finding) -> Examination:
	return Examination("bench", 0.0, 0.42, ("ghost-jobs", "old-code"), findings)


def shown(thing, *, terminal: bool = False, width: int = 100) -> str:
	out = io.StringIO()
	Console(file=out, force_terminal=terminal, width=width, highlight=False).print(thing, soft_wrap=True)
	return out.getvalue()


@dataclass(frozen=True)
class Site:
	site: str
	scheduler: str
	last_run: float = field(metadata=INSTANT)
	database: str
	remark: str


class TestDoctorReport(unittest.TestCase):
	def test_the_summary_is_the_first_line_and_the_problems_come_next_with_what_to_do(self):
		lines = shown(report(examination(ERROR, WARNING))).splitlines()
		self.assertEqual(lines[0], "Not healthy: 1 error, 1 warning. 2 checks in 0.4 s.")
		self.assertEqual(
			lines[2:5], ["ERROR   ghost-jobs (short)", "  2 jobs [are] lost.", "  Fix: bench doctor --fix"]
		)
		self.assertIn("WARNING old-code", lines)

	def test_warnings_alone_leave_it_healthy(self):
		self.assertTrue(shown(report(examination(WARNING))).startswith("Healthy: 0 errors, 1 warning."))

	def test_a_note_comes_last_and_is_no_problem(self):
		lines = shown(report(examination(WARNING, NOTE))).splitlines()
		self.assertEqual(lines[0], "Healthy: 0 errors, 1 warning, 1 note. 2 checks in 0.4 s.")
		self.assertIn("NOTE    no-manager", lines)
		self.assertNotIn("no-manager", shown(report(examination(WARNING, NOTE), quiet=True)))
		self.assertEqual(shown(report(examination(NOTE), quiet=True)).strip(), "")

	def test_quiet_tells_problems_only_and_nothing_where_there_are_none(self):
		self.assertNotIn("ealthy", shown(report(examination(ERROR), quiet=True)))
		self.assertEqual(shown(report(examination(), quiet=True)).strip(), "")

	def test_colours_on_a_terminal_only(self):
		self.assertIn("\x1b[", shown(report(examination(ERROR)), terminal=True))
		self.assertNotIn("\x1b[", shown(report(examination(ERROR))))

	def test_a_table_has_a_column_for_each_field_in_its_unit_but_for_hidden_ones(self):
		head, first, second = shown(
			Details((Row("a", "short", 125.0, 50 * 2**20), Row("b", "long", None, 0)))
		).splitlines()
		self.assertEqual(head.split(), ["queue", "age", "memory"])
		self.assertEqual(first.split(), ["short", "2", "min", "5", "s", "50", "MB"])
		self.assertEqual(second.split(), ["long", "-", "0", "MB"])

	def test_no_word_of_a_table_is_cut_and_where_that_needs_too_many_columns_each_row_is_a_list(self):
		row = Site(
			"erp.example.com", "enabled", 1_795_342_530.0, "connected", "It has not run since the migration."
		)
		for width, is_list in ((120, False), (80, False), (60, True), (30, True)):
			with self.subTest(width=width):
				lines = CONTROL.sub("", shown(Details((row, row)), terminal=True, width=width)).splitlines()
				self.assertLessEqual(max(map(len, lines)), width)
				self.assertEqual("erp.example.com" in lines, is_list, lines)
				words = " ".join(lines).split()
				for word in ("erp.example.com", "connected", "migration.", "enabled"):
					self.assertTrue({word, f"{word},"} & set(words), lines)

	def test_in_a_narrow_terminal_no_line_is_cut_or_runs_over_and_empty_columns_are_named_instead(self):
		text = "The workers are Frappe's own: when they are stopped in another way they can lose a job. " * 2
		found = Finding(
			"web-linger", Severity.NOTE, "b-web:b-frappe-web", text, "bench safe-restart setup web"
		)
		rows = (Row("a", "a-long-queue-name", None, 0), Row("b", "long", None, 0))
		result = replace(examination(found), details={"redis": rows})
		for width in (80, 60, 28):
			lines = CONTROL.sub("", shown(report(result), terminal=True, width=width)).splitlines()
			self.assertLessEqual(max(map(len, lines)), width, lines)
			self.assertIn("NOTE    web-linger (web)", lines)
			self.assertNotIn("…", "".join(lines))
			self.assertIn("a-long-queue-name", " ".join(lines).split())
		self.assertIn("Not shown, as empty or 0:", " ".join(lines))
		# And what is to be typed is in one piece where there is room for it
		lines = CONTROL.sub("", shown(report(result), terminal=True, width=40)).splitlines()
		self.assertIn("  Fix: bench safe-restart setup web", lines)
