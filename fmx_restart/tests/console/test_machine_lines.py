"""What --json prints, as a program reads it: valid JSON whatever a fact holds, and all that is needed to tell a person."""

from __future__ import annotations

import contextlib
import io
import json
import math
import unittest
from dataclasses import fields, replace
from typing import Any

from fmx_restart.console.machine_lines import SCHEMA, JsonLines, answer_line, error_line, fact_line
from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import BenchBusy, exit_code_of
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.report import Failure, Report
from fmx_restart.tests.console.samples import event_types, sample

AT = 1_700_000_000.123456
ADDED = {"event", "time", "schema", "level", "sentence", "exit_code", "outcome"}


def refuse(constant: str) -> None:
	raise ValueError(f"{constant} is no JSON")


def read(line: str) -> dict[str, Any]:
	"""As a reader that knows nothing but the standard."""
	return json.loads(line, parse_constant=refuse)


def ended(outcome: Phase, failure: str = "") -> events.Ended:
	report = Report("20250101-120000-beef", "bench", "wait-workers", AT, outcome=outcome, seconds=26.04)
	report.failure = Failure(failure, "why", "what to type") if failure else None
	return events.Ended(report)


class TestFactLines(unittest.TestCase):
	def test_every_fact_has_a_schema_a_level_and_its_sentence_beside_all_its_fields(self):
		for kind in event_types():
			with self.subTest(kind=kind.__name__):
				fact = sample(kind)
				told = read(fact_line(fact, AT))
				self.assertEqual((told["event"], told["schema"]), (kind.__name__, SCHEMA))
				self.assertLessEqual({field.name for field in fields(kind)}, told.keys())
				if kind is not events.Ended:
					self.assertEqual(told["level"], fact.level.value)
					self.assertEqual(told["sentence"], sentence(fact))

	def test_no_field_of_a_fact_is_called_as_what_is_added(self):
		for kind in event_types():
			own = {field.name for field in fields(kind)} & ADDED
			self.assertEqual(own - ({"exit_code"} if kind is events.HandedOver else set()), set(), kind)

	def test_a_reader_of_former_versions_finds_what_it_knows_where_it_was(self):
		line = fact_line(events.PhaseEntered(Phase.DRAIN), AT)
		self.assertTrue(line.startswith('{"event": "PhaseEntered", "time": 1700000000.123,'), line)
		self.assertEqual(read(line)["phase"], "Drain")

	def test_numbers_have_three_digits_and_no_limit_is_null(self):
		still = replace(sample(events.StillRunning), left=math.inf, likely=1.23456789)
		told = read(fact_line(still, AT))
		self.assertEqual((told["left"], told["likely"], told["time"]), (None, 1.235, 1700000000.123))

	def test_the_last_fact_has_the_outcome_in_a_sentence_and_the_exit_code_of_the_command(self):
		for fact, outcome, level in (
			(ended(Phase.DONE), "Done", "info"),
			(ended(Phase.ABORTED, "Interrupted"), "Cancelled", "note"),
			(ended(Phase.ABORTED, "DrainTimeout"), "Aborted", "warning"),
			(ended(Phase.FAILED, "ProcessFault"), "Failed", "error"),
		):
			with self.subTest(outcome=outcome):
				told = read(fact_line(fact, AT))
				self.assertEqual((told["outcome"], told["level"]), (outcome, level))
				failure = fact.report.failure
				self.assertEqual(told["exit_code"], exit_code_of(failure.type) if failure else 0)
				self.assertTrue(told["sentence"].startswith(outcome), told["sentence"])
				self.assertEqual(told["report"]["outcome"], fact.report.outcome.value)

	def test_each_line_is_printed_at_once_with_the_time_of_its_fact(self):
		out = io.StringIO()
		with contextlib.redirect_stdout(out):
			for kind in event_types():
				JsonLines(lambda: AT)(sample(kind))
		told = [read(line) for line in out.getvalue().splitlines()]
		self.assertEqual([line["event"] for line in told], [kind.__name__ for kind in event_types()])
		self.assertEqual({line["time"] for line in told}, {1700000000.123})


class TestOtherLines(unittest.TestCase):
	def test_an_error_without_a_report_has_what_to_type_and_the_exit_code(self):
		told = read(error_line(BenchBusy("Another operation holds it.", hint="Wait.")))
		self.assertEqual(
			(told["sentence"], told["remedy"], told["failure"], told["exit_code"]),
			("Another operation holds it.", "Wait.", "BenchBusy", 75),
		)

	def test_an_answer_keeps_its_own_names_and_has_a_schema_and_a_sentence(self):
		told = read(
			answer_line("No job is running.", {"likely": math.inf, "sites": {"b", "a"}, "seconds": 0.12345})
		)
		self.assertEqual(
			told,
			{
				"schema": SCHEMA,
				"sentence": "No job is running.",
				"likely": None,
				"sites": ["a", "b"],
				"seconds": 0.123,
			},
		)
