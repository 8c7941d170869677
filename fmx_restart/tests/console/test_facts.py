"""What a fact may hold, and how machines read it: one line of JSON each."""

from __future__ import annotations

import json
import time
import unittest
from dataclasses import fields

from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Job
from fmx_restart.tests.console.samples import event_types, kinds_inside, sample


class TestFacts(unittest.TestCase):
	def test_every_fact_is_one_line_of_json_with_all_its_fields(self):
		for kind in event_types():
			with self.subTest(kind=kind.__name__):
				line = json_line(sample(kind))
				self.assertNotIn("\n", line)
				told = json.loads(line)
				self.assertEqual(told["event"], kind.__name__)
				self.assertAlmostEqual(told["time"], time.time(), delta=5)
				self.assertLessEqual({field.name for field in fields(kind)}, told.keys())

	def test_no_field_is_called_as_what_every_line_has(self):
		for kind in event_types():
			self.assertTrue({"event", "time"}.isdisjoint(field.name for field in fields(kind)), kind)

	def test_enums_are_told_by_their_values(self):
		self.assertEqual(json.loads(json_line(events.PhaseEntered(Phase.DRAIN)))["phase"], "Drain")

	def test_a_line_stays_one_line_whatever_a_program_wrote(self):
		line = json_line(events.ProcessFailed("web", "it\nended", "one\ntwo\r\n\u2028three \x1b[31m"))
		self.assertEqual(len(line.splitlines()), 1)
		self.assertTrue(json.loads(line)["log_tail"].startswith("one\ntwo"))

	def test_of_a_job_nothing_is_known_but_who_where_and_when(self):
		known = {"id", "site", "method", "queue", "started", "timeout", "is_own"}
		self.assertEqual({field.name for field in fields(Job)}, known)

	def test_no_fact_has_a_place_for_a_jobs_arguments(self):
		for kind in event_types():
			for inside in kinds_inside(kind):
				names = {field.name for field in fields(inside)}
				self.assertTrue(
					names.isdisjoint({"args", "kwargs", "arguments", "data", "user", "meta"}), inside
				)
