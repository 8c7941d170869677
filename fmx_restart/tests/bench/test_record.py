"""The rows of a real site: made by every operation, whoever began it and whatever was away meanwhile."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from uuid import uuid4

from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.report import PhaseTime, Report
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.http_client import Client, clients
from fmx_restart.tests.bench.site_process import SiteProcess, on_site
from fmx_restart.tests.bench.support import BenchTestCase, development_bench

PATIENCE = 120.0  # seconds for anything on a busy machine
DAY = 86400


class RecordTestCase(BenchTestCase):
	client: Client

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.client = clients(cls.bench, "10.3.0.1")["manager"]

	def row(self, operation: str) -> dict | None:
		"""By Frappe's own route, which catches nothing up."""
		answer = self.client.resource("GET", operation)
		return json.loads(answer.text)["data"] if answer.status == 200 else None


class TestTerminal(RecordTestCase):
	def test_an_operation_from_the_terminal_gets_its_row_although_nobody_looks_and_history_begins_with_it(
		self,
	):
		done = self.run_command("--no-workers", "--json")
		name = done.report["operation"]
		row = eventually(lambda: self.row(name), f"{name} has a row", deadline=PATIENCE)
		self.assertEqual((row["status"], row["origin"], row["exit_code"]), ("Done", "Terminal", 0))
		self.assertEqual(row["requested_by"], done.report["requested_by"])
		self.assertEqual(len(row["processes"]), len(done.report["processes"]))
		self.assertEqual(row["owner"], "Administrator")
		told = json.loads(self.run_command("history", "--limit", "1", "--json").output)
		self.assertEqual([row["operation"] for row in told], [name])
		self.assertEqual(
			(told[0]["strategy"], told[0]["outcome"], told[0]["exit_code"]),
			(done.report["strategy"], "Done", 0),
		)

	def test_one_that_was_refused_says_why(self):
		# Given a job that takes longer than it gets
		self.jobs.hold("long")
		done = self.run_command("--wait-workers", "--wait-workers-timeout", "1", "--json")
		name = done.report["operation"]
		row = eventually(lambda: self.row(name), f"{name} has a row", deadline=PATIENCE)
		self.assertEqual((row["status"], row["failure"], row["exit_code"]), ("Aborted", "DrainTimeout", 3))
		self.assertEqual(
			(row["reason"], row["remedy"]), (self.failure(done, "message"), self.failure(done, "hint"))
		)

	@staticmethod
	def failure(done, name: str) -> str:
		return done.report["failure"][name]


class TestCatchingUp(RecordTestCase):
	"""With journals that tests write, under names of their own."""

	def setUp(self) -> None:
		super().setUp()
		self.prefix = f"2000010{uuid4().int % 10}-{uuid4().int % 10**4:04d}"
		self.logs = self.bench.path / "logs" / "fmx_restart"
		self.logs.mkdir(mode=0o700, exist_ok=True)  # the first operation of a bench makes it
		self.addCleanup(self.forget)

	def forget(self) -> None:
		for path in self.logs.glob(f"{self.prefix}*"):
			path.unlink()
		on_site(self.bench, "forget", prefix=self.prefix)

	def journal(self, number: int = 0, *, age: float = 0.0) -> Path:
		"""Of an operation that is over."""
		name, began = f"{self.prefix}{number:02d}-0000", time.time() - age
		report = Report(name, "test", "fast", began, outcome=Phase.DONE, seconds=2.0)
		report.phases.append(PhaseTime(Phase.PREFLIGHT, 2.0))
		path = self.logs / f"{name}.jsonl"
		told = [events.OperationStarted(name, "test", "fast"), events.Ended(report)]
		path.write_text("".join(json_line(fact, began + at) + "\n" for at, fact in enumerate(told)))
		os.utime(path, (began, began))
		return path

	def catch_up(self) -> set[str]:
		return {name for name in on_site(self.bench, "catch_up") if name.startswith(self.prefix)}

	def test_four_at_once_write_each_row_once(self):
		# Given twenty operations that no row tells of
		names = {self.journal(number).stem for number in range(20)}
		# When four processes catch up at the same instant
		processes = [SiteProcess(self.bench) for _ in range(4)]
		for process in processes:
			self.addCleanup(process.close)
			process.ask("kept_days")  # so that each is up
		days = {process.answer() for process in processes}
		for process in processes:
			process.ask("catch_up")
		written = [name for process in processes for name in process.answer()]
		self.assertEqual(len(days), 1)
		# Then each row was written, once, and nobody failed
		self.assertEqual(sorted(name for name in written if name in names), sorted(names))
		self.assertEqual(set(on_site(self.bench, "rows", prefix=self.prefix)), names)
		self.assertEqual(on_site(self.bench, "error_logs", text=self.prefix), 0)

	def test_a_second_time_writes_nothing_until_the_journal_says_more(self):
		path = self.journal()
		self.assertEqual(self.catch_up(), {path.stem})
		self.assertEqual(self.catch_up(), set())
		with path.open("a") as file:
			file.write(json_line(events.RecoveryFailed("once more")) + "\n")
		self.assertEqual(self.catch_up(), {path.stem})
		self.assertIn("once more", self.row(path.stem)["log"])

	def test_child_rows_that_tell_the_same_are_not_written_again(self):
		path = self.journal()
		self.catch_up()
		before = on_site(self.bench, "child_names", operation=path.stem)
		with path.open("a") as file:
			file.write(json_line(events.RecoveryFailed("once more")) + "\n")
		self.assertEqual(self.catch_up(), {path.stem})
		self.assertTrue(before)
		self.assertEqual(on_site(self.bench, "child_names", operation=path.stem), before)

	def test_a_pruned_journal_leaves_its_row_and_a_deleted_row_stays_deleted(self):
		pruned, deleted = self.journal(0), self.journal(1)
		self.catch_up()
		pruned.unlink()
		on_site(self.bench, "delete", operation=deleted.stem)
		self.assertEqual(self.catch_up(), set())
		self.assertEqual(self.row(pruned.stem)["status"], "Done")
		self.assertIsNone(self.row(deleted.stem))

	def test_old_rows_are_cleared_with_their_children_and_do_not_come_back(self):
		old, young = self.journal(0), self.journal(1)
		self.catch_up()
		os.utime(old, (time.time() - 100 * DAY,) * 2)
		on_site(self.bench, "grow_old", operation=old.stem, days=100)
		self.assertGreater(on_site(self.bench, "children", operation=old.stem), 0)
		on_site(self.bench, "clear_logs", days=90)
		self.assertEqual(on_site(self.bench, "children", operation=old.stem), 0)
		self.assertEqual(self.catch_up(), set())
		self.assertEqual(on_site(self.bench, "rows", prefix=self.prefix), [young.stem])

	def test_a_journal_that_cannot_be_told_is_told_of_once_and_keeps_no_other_back(self):
		broken, fine = self.journal(0), self.journal(1)
		broken.write_text(broken.read_text().replace('"fast"', '"no-such-strategy"'))
		self.assertEqual(self.catch_up(), {fine.stem})
		self.assertEqual(self.catch_up(), set())
		self.assertEqual(on_site(self.bench, "error_logs", text=broken.stem), 1)

	def test_an_operation_whose_process_died_is_told_as_failed(self):
		path = self.journal(age=60)
		first = path.read_text().splitlines()[0]
		path.write_text(first + "\n")
		os.utime(path, (time.time() - 60,) * 2)
		self.catch_up()
		row = self.row(path.stem)
		self.assertEqual((row["status"], row["failure"]), ("Failed", "ProcessDied"))
		self.assertIn("safe-restart recover", row["remedy"])


class TestRetention(BenchTestCase):
	def test_frappes_log_clearing_knows_the_rows(self):
		self.assertEqual(on_site(development_bench(), "kept_days"), 90)
