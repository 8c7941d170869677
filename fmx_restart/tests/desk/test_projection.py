"""From the facts of real operations (on an in-memory bench) through the journal's lines to a row."""

from __future__ import annotations

import json
import tempfile
import unittest
from dataclasses import replace
from datetime import timezone
from itertools import groupby
from pathlib import Path

import fmx_restart.fmx_restart
from fmx_restart.adapters.journal import facts_in, without_repetitions
from fmx_restart.desk.projection import MOST_WAITED, JournalProjection, project
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.errors import DrainTimeout, Interrupted, ProcessFault
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase, time_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.console.samples import sample
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
OUTCOMES = {"web": "Replaced", "short": "Reloaded", "long": "Replaced"}


class Recorded:
	"""An operation whose facts went through JSON, stamped by the bench's own clock."""

	def __init__(self, bench: InMemoryBench, options: Options) -> None:
		self.run, self.bench = Run(bench, options), bench
		self.lines: list[str] = []
		self.run.operation.listen(self.note)

	def note(self, event: events.Event) -> None:
		self.lines.append(json_line(event, self.bench.clock.time()))

	def go(self) -> Recorded:
		self.run.go()
		return self

	def row(self, lines: int | None = None) -> dict:
		return project(facts_in(self.lines[:lines]), timezone.utc)

	def row_before(self, kind: type[events.Event], which: int = 0) -> dict:
		"""`which`: of several facts of that kind."""
		lines = [
			number for number, line in enumerate(self.lines) if json.loads(line)["event"] == kind.__name__
		]
		return self.row(lines[which])


class TestProjection(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def recorded(self, **options) -> Recorded:
		return Recorded(self.bench, Options(**options))

	def test_workers_that_reload_in_place_keep_their_pids_in_a_row_that_says_so(self):
		self.bench = InMemoryBench(TWO_WORKERS, lossless=("short",))
		recorded = self.recorded(strategy=Strategy.ROLLING).go()
		for row in (recorded.row(), recorded.row_before(events.Ended)):
			rows = {row["program"]: row for row in row["processes"]}
			self.assertEqual({name: rows[name]["outcome"] for name in rows}, OUTCOMES)
			self.assertEqual(rows["short"]["old_pid"], rows["short"]["new_pid"])

	def test_an_operation_that_is_done_reads_as_a_report(self):
		# Given an operation that waited for a job
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		operation = self.recorded(requested_by="ada@example.com", origin="desk").go()
		row = operation.row()
		# Then its row tells who asked for it, how it ended and when
		self.assertEqual((row["status"], row["phase"], row["exit_code"]), ("Done", "Done", 0))
		self.assertEqual((row["strategy"], row["origin"]), ("wait-workers", "Desk"))
		self.assertEqual(row["requested_by"], "ada@example.com")
		self.assertAlmostEqual(row["finished"] - row["started"], row["duration"], delta=0.1)
		# And which job it waited for, and how long
		(waited,) = row["jobs"]
		self.assertEqual((waited["part"], waited["job_id"]), ("Waited For", "job-1"))
		self.assertAlmostEqual(waited["seconds"], 20, delta=0.5)
		self.assertEqual((row["jobs_waited_for"], row["jobs_finished"], row["jobs_lost"]), (1, 1, 0))

	def test_it_tells_how_long_users_got_no_answer(self):
		self.bench.processes["web"].stop_takes = 2.0
		row = self.recorded().go().row()
		self.assertAlmostEqual(row["web_outage"], 3.5, delta=0.2)
		self.assertRegex(
			row["web_answers"], r"^Web at 127.0.0.1:8000 gave no answer for 3.\d s \(connection refused\)$"
		)

	def test_its_phases_follow_one_another_without_a_gap(self):
		row = self.recorded().go().row()
		names = [phase["phase"] for phase in row["phases"]]
		self.assertEqual(names, ["Preflight", "Fence", "Park", "Drain", "Restart", "Lift", "Verify", "Audit"])
		for before, after in zip(row["phases"], row["phases"][1:], strict=False):
			self.assertAlmostEqual(before["started"] + before["seconds"], after["started"], delta=0.001)

	def test_every_process_has_its_old_and_its_new_pid(self):
		before = {process.name: process.pid for process in self.bench.processes.list()}
		row = self.recorded().go().row()
		told = {process["program"]: process for process in row["processes"]}
		self.assertEqual({name: process["old_pid"] for name, process in told.items()}, before)
		after = {process.name: process.pid for process in self.bench.processes.list()}
		self.assertEqual({name: process["new_pid"] for name, process in told.items()}, after)
		self.assertEqual({process["outcome"] for process in told.values()}, {"Replaced"})

	def test_while_it_drains_the_row_says_so_and_for_whom(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		operation = self.recorded().go()
		# When it was told only up to the end of the drain
		row = operation.row_before(events.Drained)
		# Then it runs, has no end, and names the job
		self.assertEqual((row["status"], row["phase"]), ("Running", "Drain"))
		self.assertNotIn("finished", row)
		self.assertEqual([(job["job_id"], job["part"]) for job in row["jobs"]], [("job-1", "Running")])
		self.assertEqual((row["jobs_running"], row["jobs_waited_for"]), (1, 0))
		self.assertEqual({process["outcome"] for process in row["processes"] if "outcome" in process}, set())

	def test_each_job_runs_until_it_ends_and_was_waited_for_only_then(self):
		# Given two jobs that end one after the other
		for number, seconds in enumerate((20, 40)):
			self.bench.queue.enqueue(f"job-{number}", queue=("short", "long")[number], seconds=seconds)
		operation = self.recorded().go()
		told = [[(job["job_id"], job["part"]) for job in self.jobs_at(operation, line)] for line in range(99)]
		# Then the row tells so at every moment
		both, one = (
			[("job-0", "Running"), ("job-1", "Running")],
			[("job-0", "Waited For"), ("job-1", "Running")],
		)
		none = [("job-0", "Waited For"), ("job-1", "Waited For")]
		self.assertEqual([key for key, _ in groupby(told)], [[], both, one, none])
		# And at the end with the seconds of the wait
		seconds = [job["seconds"] for job in operation.row_before(events.PhaseEntered, -1)["jobs"]]
		self.assertAlmostEqual(seconds[0], 20, delta=0.5)
		self.assertAlmostEqual(seconds[1], 40, delta=0.5)

	def jobs_at(self, operation: Recorded, line: int) -> list[dict]:
		return sorted(operation.row(line)["jobs"], key=lambda job: job["job_id"])

	def test_a_job_that_ended_at_once_was_not_waited_for(self):
		operation = self.recorded()
		for line in range(2):
			fact = sample(events.StillRunning)
			operation.note(fact if not line else replace(fact, jobs=()))
		self.assertEqual((operation.row()["jobs"], operation.row()["jobs_waited_for"]), ([], 0))

	def test_a_restart_under_way_tells_which_processes_are_where(self):
		operation = self.recorded().go()
		row = operation.row_before(events.ProcessUp)
		outcomes = {process["program"]: process.get("outcome") for process in row["processes"]}
		self.assertLessEqual(set(outcomes.values()), {"Stopping", "Starting"})

	def test_a_drain_that_gave_up_says_why_and_what_to_do(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=900)
		operation = self.recorded(drain_timeout=5.0)
		with self.assertRaises(DrainTimeout) as raised:
			operation.go()
		row = operation.row()
		self.assertEqual((row["status"], row["failure"], row["exit_code"]), ("Aborted", "DrainTimeout", 3))
		self.assertEqual((row["reason"], row["remedy"]), (str(raised.exception), raised.exception.hint))
		self.assertIn(("Still Running", "job-1"), [(job["part"], job.get("job_id")) for job in row["jobs"]])
		self.assertIn(row["reason"], row["log"])

	def test_one_that_was_stopped_in_the_drain_is_cancelled_and_its_jobs_run_on(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=900)
		operation = self.recorded()
		stop = operation.run.operation.stop_requested.set
		operation.run.operation.listen(
			lambda event: stop() if isinstance(event, events.StillRunning) else None
		)
		with self.assertRaises(Interrupted):
			operation.go()
		row = operation.row()
		self.assertEqual((row["status"], row["phase"], row["exit_code"]), ("Cancelled", "Cancelled", 130))
		self.assertEqual((row["jobs_waited_for"], row["failed_in"]), (0, ""))
		self.assertIn(("Still Running", "job-1"), [(job["part"], job["job_id"]) for job in row["jobs"]])
		self.assertRegex(
			row["headline"], r"^Cancelled after .*: nothing was restarted\. 1 job left running\.$"
		)
		self.assertEqual(json.loads(operation.lines[-1])["report"]["outcome"], "Aborted")

	def test_a_failure_is_marked_in_the_phase_in_which_it_showed(self):
		self.bench.processes["web"].crashes_at_start = True
		self.bench.processes["web"].log = "ImportError: no module named gone\n"
		operation = self.recorded()
		with self.assertRaises(ProcessFault):
			operation.go()
		row = operation.row()
		# Also while the rest goes on
		early = operation.row_before(events.PhaseEntered, -1)
		self.assertEqual((early["status"], early["failed_in"]), ("Running", row["failed_in"]))
		(web,) = (process for process in row["processes"] if process["program"] == "web")
		self.assertEqual((web["outcome"], web["log"]), ("Failed", "ImportError: no module named gone"))
		self.assertEqual(row["status"], "Failed")
		self.assertIn(row["failed_in"], ("Restart", "Verify"))
		self.assertEqual(row["phases"][-1]["phase"], "Audit")
		self.assertIn(f"Failed during {time_of(row['failed_in'])}, after", row["headline"])
		# And a journal of a version whose report does not tell it says the same
		last = json.loads(operation.lines[-1])
		del last["report"]["failed_in"]
		operation.lines[-1] = json.dumps(last)
		self.assertEqual(operation.row()["failed_in"], row["failed_in"])

	def test_jobs_that_were_killed_and_put_back_are_named_twice(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=900)
		row = self.recorded(drain_timeout=5.0, on_timeout=OnTimeout.REQUEUE).go().row()
		parts = [(job["part"], job["job_id"]) for job in row["jobs"] if job["part"] != "Waited For"]
		self.assertEqual(parts, [("Interrupted", "job-1"), ("Requeued", "job-1")])
		self.assertEqual((row["jobs_interrupted"], row["jobs_requeued"]), (1, 1))

	def test_settings_and_migrations_are_told_one_by_one(self):
		operation = self.recorded(
			migration=MigrationOptions(),
			sites=("a.example", "b.example"),
			maintenance=frozenset({Phase.MIGRATE}),
		).go()
		row = operation.row()
		self.assertTrue(row["migrate"])
		self.assertEqual(row["sites"], "a.example\nb.example")
		self.assertEqual(
			[(one["site"], one["result"]) for one in row["migrations"]],
			[("a.example", "done"), ("b.example", "done")],
		)
		self.assertTrue(row["settings"])
		self.assertTrue(all(setting["restored"] for setting in row["settings"]))

	def test_a_waiting_that_goes_on_is_told_once_in_the_log(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=60)
		operation = self.recorded(report_every=1.0).go()
		self.assertGreater(sum('"StillRunning"' in line for line in operation.lines), 5)
		self.assertEqual(operation.row()["log"].count("Waiting for 1 job"), 1)

	def test_a_journal_that_is_read_piece_by_piece_gives_the_same_row(self):
		# Given the journal of a long drain, in which jobs come and go
		for number in range(4):
			self.bench.queue.enqueue(f"job-{number}", queue="short", seconds=40)
		operation = self.recorded(drain_timeout=600, report_every=0.5).go()
		with tempfile.TemporaryDirectory() as folder:
			journal = Path(folder, "journal.jsonl")
			projection = JournalProjection(journal, timezone.utc)
			text = "".join(f"{line}\n" for line in operation.lines).encode()
			# When it is read while it is written, lines cut anywhere
			for end in range(0, len(text), 997):
				journal.write_bytes(text[:end])
				projection.read()
			journal.write_bytes(text)
			# Then the row is that of the whole journal
			self.assertEqual(projection.read(), operation.row())
			self.assertEqual(projection.size, len(text))

	def test_a_long_journal_is_read_in_slices_when_there_is_no_time_for_all_of_it(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=200)
		operation = self.recorded(drain_timeout=600, report_every=0.5).go()
		with tempfile.TemporaryDirectory() as folder:
			journal = Path(folder, "journal.jsonl")
			journal.write_text("".join(f"{line}\n" for line in operation.lines))
			projection, slices = JournalProjection(journal, timezone.utc), 0
			while not projection.is_complete:
				row, slices = projection.read(10_000), slices + 1
			self.assertGreater(slices, 10)
			self.assertEqual((row, projection.size), (operation.row(), journal.stat().st_size))

	def test_one_line_that_is_longer_than_a_slice_is_read_whole(self):
		operation = self.recorded().go()
		with tempfile.TemporaryDirectory() as folder:
			journal = Path(folder, "journal.jsonl")
			journal.write_text("".join(f"{line}\n" for line in operation.lines))
			projection = JournalProjection(journal, timezone.utc)
			for _ in operation.lines:
				projection.read(1)
			self.assertTrue(projection.is_complete)
			self.assertEqual(projection.read(1), operation.row())

	def test_of_many_jobs_that_were_waited_for_some_are_named_and_all_are_counted(self):
		operation = self.recorded(strategy=Strategy.ROLLING)
		template = sample(events.StillRunning)
		for number in range(MOST_WAITED + 20):
			job = replace(template.jobs[0].job, id=f"job-{number}")
			operation.note(replace(template, jobs=(replace(template.jobs[0], job=job),)))
			self.bench.clock.sleep(1.0)
		operation.note(sample(events.Drained))
		row = operation.row()
		self.assertEqual((len(row["jobs"]), row["jobs_waited_for"]), (MOST_WAITED, MOST_WAITED + 20))

	def test_facts_that_repeat_one_another_are_not_built_one_by_one(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=100)
		operation = self.recorded(drain_timeout=600, report_every=0.5).go()
		few = list(without_repetitions(operation.lines))
		self.assertLess(len(few), len(operation.lines) / 4)
		self.assertEqual(project(facts_in(few), timezone.utc), operation.row())

	def test_no_limit_is_null_in_its_options(self):
		row = self.recorded(strategy=Strategy.ROLLING).go().row()
		self.assertIsNone(json.loads(row["options"])["rolling_timeout"])

	def test_what_is_not_understood_changes_no_field_and_the_log_says_so_once_a_reason(self):
		operation = self.recorded().go()
		whole = operation.row()
		for line in ['{"event": "NobodyKnowsThis", "time": 1.0}', '{"event": "PhaseEnt'] * 2:
			operation.lines.insert(4, line)
		row = operation.row()
		kept = [line for line in row["log"].splitlines() if "cannot be read" not in line]
		self.assertEqual({**row, "log": "\n".join(kept) + "\n"}, whole)
		for reason in ("unknown fact 'NobodyKnowsThis'", "not JSON"):
			self.assertEqual(row["log"].count(f"an event cannot be read ({reason})"), 1, row["log"])


class TestSchema(unittest.TestCase):
	"""What the projection tells must have a field, or nobody sees it."""

	def test_every_value_has_a_field_in_the_doctype(self):
		bench = InMemoryBench(TWO_WORKERS)
		bench.queue.enqueue("job-1", queue="short", seconds=900)
		options = Options(drain_timeout=5.0, on_timeout=OnTimeout.REQUEUE)
		row = Recorded(bench, options).go().row()
		fields = fields_of("restart_operation")
		self.assertEqual(set(row) - set(fields), set())
		for name in ("phases", "processes", "jobs"):
			child = fields_of(fields[name]["options"].lower().replace(" ", "_"))
			for told in row[name]:
				self.assertEqual(set(told) - set(child) - {"since"}, set(), name)
				outcome = told.get("outcome") or told.get("part") or ""
				choices = (child.get("outcome") or child.get("part") or {}).get("options", "").split("\n")
				self.assertIn(outcome, [*choices, ""])
		self.assertIn(row["status"], fields["status"]["options"].split("\n"))


def fields_of(doctype: str) -> dict[str, dict]:
	folder = Path(fmx_restart.fmx_restart.__file__).parent / "doctype" / doctype
	return {
		field["fieldname"]: field for field in json.loads((folder / f"{doctype}.json").read_text())["fields"]
	}
