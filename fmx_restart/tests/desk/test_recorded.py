"""Journals of every format that was ever written: each is understood in full, and says what it said then."""

from __future__ import annotations

import json
import unittest
from datetime import timezone
from pathlib import Path

import fmx_restart.tests.recorded
from fmx_restart.adapters.journal import crashed_operation_to_recover, facts_of, understood_facts_of
from fmx_restart.adapters.journal_end import is_closed, whole_lines
from fmx_restart.desk.projection import project
from fmx_restart.engine.emitter import FORMAT
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.console.samples import event_types
from fmx_restart.tests.recorded.recording import journals

FOLDER = Path(fmx_restart.tests.recorded.__file__).parent
FORMATS = {number: FOLDER / f"format_{number}" for number in range(FORMAT + 1)}
SITES = ("one.localhost", "two.localhost")


class TestRecorded(unittest.TestCase):
	def each(self, name: str):
		for number, folder in FORMATS.items():
			with self.subTest(name, format=number):
				yield folder / f"{name}.jsonl"

	def row(self, journal: Path) -> dict:
		return project(facts_of(journal), timezone.utc)

	def test_every_line_of_every_format_is_understood(self):
		for number, folder in FORMATS.items():
			for journal in folder.glob("*.jsonl"):
				with self.subTest(journal.stem, format=number):
					facts = list(understood_facts_of(journal))
					self.assertEqual(len(facts), len(list(whole_lines(journal))))
					self.assertNotIn("an event cannot be read", self.row(journal)["log"])

	def test_an_operation_that_waited_is_done(self):
		for journal in self.each("wait-workers"):
			row, crashed = self.row(journal), crashed_operation_to_recover(journal)
			self.assertTrue(crashed.is_closed and is_closed(journal))
			self.assertEqual((row["status"], row["strategy"], row["exit_code"]), ("Done", "wait-workers", 0))
			self.assertEqual((row["requested_by"], row["origin"]), ("ada@example.com", "Desk"))
			self.assertEqual([(job["part"], job["job_id"]) for job in row["jobs"]], [("Waited For", "job-1")])
			self.assertEqual((row["jobs_waited_for"], row["jobs_lost"]), (1, 0))
			self.assertEqual({program["outcome"] for program in row["processes"]}, {"Replaced"})

	def test_a_job_that_was_killed_is_back_in_its_queue(self):
		for journal in self.each("fast"):
			row, crashed = self.row(journal), crashed_operation_to_recover(journal)
			self.assertEqual((row["status"], row["jobs_interrupted"], row["jobs_requeued"]), ("Done", 1, 1))
			self.assertIsNone(crashed.jobs_to_kill)

	def test_workers_that_were_replaced_one_by_one(self):
		for journal in self.each("rolling"):
			row, crashed = self.row(journal), crashed_operation_to_recover(journal)
			self.assertEqual([phase["phase"] for phase in row["phases"]][-2:], ["Handover", "Audit"])
			self.assertEqual((crashed.stopping, set(crashed.replaced)), ({}, {"web", "short", "long"}))

	def test_a_migration_of_two_sites(self):
		for journal in self.each("migrate"):
			row = self.row(journal)
			self.assertEqual(
				[(m["site"], m["result"]) for m in row["migrations"]], [(s, "done") for s in SITES]
			)
			self.assertTrue(all(setting["restored"] for setting in row["settings"]))
			self.assertTrue(row["migrate"])

	def test_what_is_left_of_one_that_died_in_its_second_migration(self):
		for journal in self.each("migrate-died-in-second-site"):
			row, crashed = self.row(journal), crashed_operation_to_recover(journal)
			self.assertFalse(crashed.is_closed or is_closed(journal))
			self.assertEqual((crashed.phase, crashed.migrating.site), (Phase.MIGRATE, SITES[1]))
			self.assertTrue(crashed.needs_new_workers and crashed.may_be_fenced)
			self.assertEqual({site for site, _ in crashed.settings}, set(SITES))
			self.assertEqual({process.name for process in crashed.unfinished()}, {"web", "short", "long"})
			self.assertEqual((row["status"], row["phase"]), ("Running", "Migrate"))

	def test_what_is_left_of_one_that_died_when_the_first_program_was_down(self):
		for journal in self.each("migrate-died-in-restart"):
			crashed = crashed_operation_to_recover(journal)
			self.assertEqual((crashed.phase, crashed.migrating), (Phase.RESTART, None))
			self.assertTrue(crashed.needs_new_workers)
			self.assertEqual(set(crashed.stopping), {"web", "short", "long"})

	def test_who_wrote_it(self):
		older = crashed_operation_to_recover(FORMATS[0] / "wait-workers.jsonl").machine
		self.assertEqual(older, Machine("host-1"))
		newer = crashed_operation_to_recover(FORMATS[1] / "wait-workers.jsonl").machine
		self.assertEqual((newer.name, newer.id), ("host-1", "host-1"))
		self.assertTrue(newer.boot)

	def test_one_of_a_real_bench_that_gave_up(self):
		row = self.row(FORMATS[0] / "of-a-real-bench.jsonl")
		self.assertEqual((row["status"], row["exit_code"]), ("Aborted", 3))
		self.assertEqual({job["part"] for job in row["jobs"]}, {"Still Running"})

	def test_the_newest_format_has_a_journal_of_every_kind(self):
		recorded = {journal.stem for journal in FORMATS[FORMAT].glob("*.jsonl")}
		self.assertLessEqual({name for name, _ in journals()}, recorded)

	def test_what_is_written_today_is_of_the_newest_format(self):
		"""A field that is gone or renamed means: another FORMAT, and a folder of its own."""
		known = {json.loads(line)["event"]: json.loads(line) for line in self.samples()}
		names = {kind.__name__ for kind in event_types()}
		self.assertLessEqual(known.keys(), names)
		for _, lines in journals():
			for line, _ in lines:
				fields = json.loads(line)
				if fields["event"] in known:
					self.assertLessEqual(known[fields["event"]].keys(), fields.keys(), fields["event"])

	def samples(self) -> list[str]:
		return list(whole_lines(FORMATS[FORMAT] / "every-fact.jsonl"))
