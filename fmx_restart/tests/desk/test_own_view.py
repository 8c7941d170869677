"""What a site sees that does not command the bench. Every fact is tried with another site's names in every field."""

from __future__ import annotations

import json
import unittest
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum

from fmx_restart.console.sentences import sentence
from fmx_restart.desk.own_view import AS_IT_IS, OF_A_SITE, SHOWN, OwnView
from fmx_restart.desk.projection import project
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.ledger import Account
from fmx_restart.engine.migration import MigrationOptions, Result, SiteMigration
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Job, Setting
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.report import Failure, JobWait, KeptSetting, Report
from fmx_restart.tests.console.samples import event_types, sample

OWN, OTHER = "own.example.com", "other.example.com"
SECRET = "secret-of-others"
OWN_JOB = Job(f"{OWN}::1", OWN, "own.method", "long", 1.0, 60.0)
OTHER_JOB = Job(f"{OTHER}::{SECRET}", OTHER, f"{SECRET}.method", "long", 1.0, 60.0)
#: Text that says nothing about anybody: what an operation is, and names that the engine gives
PLAIN = {"operation", "strategy", "queue", "depths", "refusal", "type", "origin"}


def poisoned(value: object, name: str = "") -> object:
	"""The same with every text replaced, wherever it stands, but for those of PLAIN."""
	if isinstance(value, Enum) or name in PLAIN:
		return value
	if isinstance(value, str):
		return SECRET
	if is_dataclass(value):
		return replace(value, **{it.name: poisoned(getattr(value, it.name), it.name) for it in fields(value)})
	if isinstance(value, (tuple, list, frozenset)):
		return type(value)(poisoned(item) for item in value)
	if isinstance(value, dict):
		return {poisoned(key): poisoned(item) for key, item in value.items()}
	return value


class TestOwnView(unittest.TestCase):
	def test_no_fact_shows_a_text_of_others_wherever_it_stands(self):
		for kind in event_types():
			with self.subTest(kind=kind.__name__):
				shown = OwnView(OWN).fact(poisoned(sample(kind)))
				if shown is not None:
					self.assertNotIn(SECRET, json_line(shown))

	def test_a_migration_of_other_sites_only_is_not_told_as_one_of_no_site(self):
		for kind in (events.MigrationsPlanned, events.MigrationsStopped):
			self.assertIsNone(OwnView(OWN).fact(kind((OTHER,))))
			self.assertEqual(OwnView(OWN).fact(kind((OTHER, OWN))), kind((OWN,)))

	def test_what_is_left_out_leaves_no_sentence_without_an_end(self):
		for kind in OF_A_SITE:
			with self.subTest(kind=kind.__name__):
				text = sentence(OwnView(OWN).fact(replace(sample(kind), site=OWN)))
				self.assertNotRegex(text, r"[:;,]\s*$|: [.;,]|\(\)")

	def test_nor_does_a_plan(self):
		shown = OwnView(OWN).plan(poisoned(sample(Plan)))
		self.assertNotIn(SECRET, json.dumps(asdict(shown), default=str))
		self.assertEqual(len(shown.jobs), 1)

	def test_each_fact_that_is_shown_exists_and_stands_in_one_list(self):
		listed = [*AS_IT_IS, *OF_A_SITE, *SHOWN]
		self.assertEqual(len(listed), len(set(listed)))
		self.assertLessEqual(set(listed), set(event_types()))

	def test_that_the_queue_is_held_is_told_and_not_by_whom(self):
		view, held = OwnView(OWN), report().held
		for shown in (view.fact(events.QueueHeld(tuple(held))).holds, view.report(report()).held):
			self.assertEqual([(hold.owner, hold.until) for hold in shown], [("someone", 2.0)])
			self.assertNotIn(SECRET, repr(shown))

	def test_a_row_made_of_it_tells_the_state_and_the_own_jobs_and_counts_the_others(self):
		row = project(OwnView(OWN).facts(whole_story()))
		told = json.dumps(row, default=str)
		for name in (OTHER, SECRET, "/home/", "app1", "4711", "kwargs", "sh -c"):
			self.assertNotIn(name, told)
		self.assertEqual((row["status"], row["failure"], row["exit_code"]), ("Failed", "MigrationFailed", 6))
		self.assertEqual((row["jobs_waited_for"], row["jobs_interrupted"], row["jobs_lost"]), (0, 2, 1))
		self.assertEqual(
			[it["site"] for it in row["jobs"] if it["part"] == "Interrupted"], [OWN, "another site"]
		)
		self.assertIn("own.method", told)
		self.assertEqual([(it["site"], it["result"]) for it in row["migrations"]], [(OWN, "failed")])
		self.assertEqual([it["site"] for it in row["settings"]], [OWN])
		self.assertEqual((row["sites"], row["requested_by"], row["processes"]), (OWN, "", []))
		self.assertTrue(json.loads(row["options"])["migration"])

	def test_the_site_that_started_it_sees_who_did(self):
		row = project(OwnView(OWN, is_starter=True).facts(whole_story()))
		self.assertEqual(row["requested_by"], f"{SECRET}@example.com")

	def test_the_same_job_has_the_same_name_all_along_the_story(self):
		row = project(OwnView(OWN).facts(whole_story()[:3]))
		self.assertEqual(len([it for it in row["jobs"] if it["part"] == "Running"]), 2)


def whole_story() -> list[tuple[float, events.Event]]:
	migration = MigrationOptions(command=("sh", "-c", SECRET))
	options = Options(
		sites=(OTHER, OWN), migration=migration, requested_by=f"{SECRET}@example.com", origin="desk"
	)
	running = tuple(events.RunningJob(job, "app1", 4711, 3.0, 60.0) for job in (OWN_JOB, OTHER_JOB))
	told = (
		events.OperationStarted(
			"20261122-120000-d0c7", "home-bench", "wait-workers", "app1", options=options
		),
		events.StillRunning((), running, (4711,), {"long": 1}, 5.0),
		events.StillRunning((), running, (), {"long": 1}, 4.0),
		events.JobsInterrupted((OWN_JOB, OTHER_JOB), (OTHER_JOB.id,)),
		events.MigrationStarted(OTHER, f"/home/bench/logs/{OTHER}.log", 5.0),
		events.ProcessFailed("home-bench:worker", SECRET, f"kwargs={{'password': '{SECRET}'}}"),
		events.Ended(report()),
	)
	return [(float(time), fact) for time, fact in enumerate(told)]


def report() -> Report:
	failed = Report("20261122-120000-d0c7", "home-bench", "wait-workers", 0.0, f"{SECRET}@example.com")
	failed.outcome = Phase.FAILED
	failed.waited_for = [JobWait(job, 3.0) for job in (OWN_JOB, OTHER_JOB)]
	failed.interrupted = [OWN_JOB, OTHER_JOB]
	failed.requeued = [OTHER_JOB.id]
	failed.left_alone = ["home-bench:worker"]
	failed.migrations = [
		SiteMigration(site, Result.FAILED, log=f"/home/bench/{site}", last_lines=[SECRET])
		for site in (OTHER, OWN)
	]
	failed.settings = [KeptSetting(Setting(site, "maintenance_mode")) for site in (OTHER, OWN)]
	failed.account = Account(before=2, lost=[OTHER_JOB.id])
	failed.held = [QueueHold("home-bench", SECRET, SECRET, f"{SECRET}@app1", 1.0, 2.0)]
	failed.failure = Failure("MigrationFailed", f"{OTHER}: {SECRET}", "look at /home/bench")
	return failed


if __name__ == "__main__":
	unittest.main()
