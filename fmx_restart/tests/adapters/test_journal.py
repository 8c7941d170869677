"""The journal: locked while someone works on it, read back fact by fact, pruned."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import unittest
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from fmx_restart.adapters.journal import (
	Journal,
	crashed_operation_in,
	crashed_operation_to_recover,
	fact_in,
	is_worked_on,
)
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.journals import prune, unfinished, unfinished_sites
from fmx_restart.engine import events
from fmx_restart.engine.emitter import FORMAT, Emitter, json_line
from fmx_restart.engine.errors import JournalFault, JournalUnreadable
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.report import Report
from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.console.samples import event_types, sample

HOLD = """
import sys, time
from pathlib import Path
from fmx_restart.adapters.journal import Journal
journal = Journal(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(300)
"""


class JournalTest(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory(prefix="fmx-journal-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name) / "fmx_restart"

	def write(self, operation: str, *facts: events.Event) -> Path:
		with closing(Journal(self.folder, operation)) as journal:
			for fact in facts:
				journal(fact)
		return journal.path

	def hold(self, operation: str) -> subprocess.Popen:
		"""Another process that works on it."""
		command = [sys.executable, "-c", HOLD, str(self.folder), operation]
		holder = Forked(command, stdout=subprocess.PIPE, text=True)
		self.addCleanup(holder.communicate)
		self.addCleanup(holder.kill)
		holder.stdout.readline()
		return holder


def ended(outcome: Phase = Phase.DONE) -> events.Ended:
	return events.Ended(Report("operation-1", "bench", "wait-workers", 0.0, outcome=outcome))


class TestReading(JournalTest):
	def test_every_fact_comes_back_as_it_was_told(self):
		for kind in event_types():
			with self.subTest(kind.__name__):
				told = sample(kind)
				self.assertEqual(fact_in(json_line(told, 12.5)), (12.5, told))

	def test_a_line_that_was_cut_off_is_left_out_and_the_next_fact_takes_its_place(self):
		path = self.write("operation-1", events.PhaseEntered(Phase.FENCE))
		with path.open("a") as file:
			file.write('{"event": "PhaseEntered", "ti')
		self.assertEqual(crashed_operation_to_recover(path).phase, Phase.FENCE)
		self.write("operation-1", events.PhaseEntered(Phase.PARK))
		self.assertEqual(crashed_operation_to_recover(path).phase, Phase.PARK)
		self.assertEqual(len(path.read_text().splitlines()), 2)

	def test_who_only_holds_a_journal_changes_no_byte_of_it(self):
		path = self.write("operation-1", events.PhaseEntered(Phase.FENCE))
		with path.open("a") as file:
			file.write('{"event": "PhaseEntered", "ti')
		before = path.read_bytes()
		self.write("operation-1")
		self.assertEqual(path.read_bytes(), before)

	def test_an_end_that_was_cut_off_is_none(self):
		path = self.write("operation-1", events.PhaseEntered(Phase.AUDIT), ended())
		path.write_bytes(path.read_bytes()[:-1])
		self.assertFalse(is_closed(path))
		self.assertEqual([left.operation for left in unfinished(self.folder)], ["operation-1"])

	def test_one_that_has_not_told_anything_whole_has_begun_nothing(self):
		empty = self.write("operation-1")
		cut = self.write("operation-2")
		cut.write_text('{"event": "OperationStarted"')
		self.assertEqual(unfinished(self.folder), [])
		self.assertEqual(prune(self.folder, kept=0), [cut, empty])

	def test_it_is_taken_at_once_or_not_at_all_where_nobody_wants_to_wait(self):
		holder = self.hold("operation-1")
		with self.assertRaises(BlockingIOError):
			Journal(self.folder, "operation-1", waits=False)
		holder.kill()
		holder.wait()
		Journal(self.folder, "operation-1", waits=False).close()

	def test_what_is_left_is_known_from_the_facts(self):
		path = self.write(
			"operation-1",
			events.PhaseEntered(Phase.RESTART),
			events.ProcessStopping("web", sample(events.ProcessStopping).kind, 5),
			events.ProcessStopping("worker", sample(events.ProcessStopping).kind, 6),
			events.ProcessUp("web", sample(events.ProcessUp).kind, 5, 7, 1.0),
		)
		crashed = crashed_operation_in(path)
		self.assertEqual((crashed.stopping, crashed.replaced), ({"worker": 6}, {"web": 7}))
		self.assertFalse(crashed.is_closed)

	def test_only_those_without_an_end_that_nobody_works_on_are_unfinished(self):
		self.write("operation-1", ended())
		self.write("operation-2", events.PhaseEntered(Phase.DRAIN))
		self.write("operation-3", events.PhaseEntered(Phase.DRAIN), ended(Phase.RECOVERED))
		self.write("operation-4", events.PhaseEntered(Phase.DRAIN))
		self.hold("operation-4")
		self.assertEqual([left.operation for left in unfinished(self.folder)], ["operation-2"])

	def test_a_report_that_is_longer_than_what_is_looked_at_is_an_end_all_the_same(self):
		report = Report("operation-1", "bench", "wait-workers", 0.0, requeued=["a job's id"] * 20_000)
		self.assertTrue(is_closed(self.write("operation-1", events.Ended(report))))


#: Lines that this version does not understand, and what is said of each
STRANGE = {
	'{"event": "Unheard", "time": 1}': "unknown fact 'Unheard'",
	'{"event": "Options", "time": 1}': "unknown fact 'Options'",
	'{"event": "PhaseEntered", "time": 1, "phase": "Unheard"}': "'Unheard' is not a Phase",
	'{"event": "PhaseEntered", "time": 1}': "PhaseEntered has no phase",
	'{"event": "PhaseEntered", "phase": "Drain"}': "no field 'time'",
	'{"event": "PhaseEntered", "time": NaN, "phase": "Drain"}': "no instant",
	'{"event": "PhaseEntered", "time": "noon", "phase": "Drain"}': "no instant",
	'{"event": "PhaseEnt': "not JSON",
	"[1]": "no fact",
	"": "not JSON",
}


class TestStrangeLines(JournalTest):
	"""Shown as what they are; whoever would act on the journal stops."""

	def setUp(self):
		super().setUp()
		self.path = self.write(
			"operation-1",
			replace(sample(events.OperationStarted), format=FORMAT),
			events.MigrationsPlanned(("one.localhost",)),
			events.ProcessStopping("web", sample(events.ProcessStopping).kind, 5),
		)

	def test_each_is_shown_with_its_reason_and_ends_nothing(self):
		for line, reason in STRANGE.items():
			with self.subTest(line):
				_, fact = fact_in(line)
				self.assertIsInstance(fact, events.NotUnderstood)
				self.assertIn(reason, fact.reason)

	def test_recovery_stops_at_each_and_says_which_file_and_line_and_what_is_known(self):
		text = self.path.read_text()
		for line in STRANGE:
			with self.subTest(line):
				self.path.write_text(
					text + line + "\n" + json_line(events.PhaseEntered(Phase.MIGRATE)) + "\n"
				)
				before = self.path.read_bytes()
				with self.assertRaises(JournalUnreadable) as raised:
					crashed_operation_to_recover(self.path)
				self.assertIn(f"Line 4 of {self.path} is not understood", str(raised.exception))
				self.assertIn("Nothing was changed", str(raised.exception))
				self.assertIn("stopped: web", str(raised.exception))
				self.assertIn(f"mv {self.path}", raised.exception.hint)
				self.assertEqual(raised.exception.exit_code, 7)
				self.assertEqual(self.path.read_bytes(), before)
				self.assertEqual(crashed_operation_in(self.path).not_understood, 1)

	def test_a_phase_that_was_renamed_does_not_keep_old_workers_in_silence(self):
		self.path.write_text(
			self.path.read_text() + '{"event": "PhaseEntered", "time": 1, "phase": "Migrating"}\n'
		)
		self.assertFalse(crashed_operation_in(self.path).needs_new_workers)  # why nobody may act on it
		with self.assertRaises(JournalUnreadable):
			crashed_operation_to_recover(self.path)

	def test_a_newer_format_is_not_recovered_either(self):
		started = replace(sample(events.OperationStarted), format=FORMAT + 1)
		path = self.write("operation-2", started, events.PhaseEntered(Phase.DRAIN))
		with self.assertRaisesRegex(JournalUnreadable, f"has format {FORMAT + 1}.*up to {FORMAT}"):
			crashed_operation_to_recover(path)

	def test_an_end_whose_report_is_not_understood_is_an_end(self):
		self.path.write_text(self.path.read_text() + '{"event": "Ended", "time": 1, "report": {"new": 1}}\n')
		self.assertTrue(is_closed(self.path))
		self.assertEqual(unfinished(self.folder), [])

	def test_which_sites_are_left_to_migrate_is_not_guessed(self):
		self.write("operation-0", events.MigrationsPlanned(("old.localhost",)), ended())
		self.assertEqual(unfinished_sites(self.folder), ("one.localhost",))
		self.path.write_text(self.path.read_text().replace("MigrationsPlanned", "MigrationsListed"))
		with self.assertRaisesRegex(JournalUnreadable, "Line 2 of .* unknown which sites are left") as raised:
			unfinished_sites(self.folder)
		self.assertIn("--migrate --site all", raised.exception.hint)


class TestLock(JournalTest):
	def test_it_is_worked_on_until_the_process_is_gone_however_that_ended(self):
		holder = self.hold("operation-1")
		path = self.folder / "operation-1.jsonl"
		self.assertTrue(is_worked_on(path))
		holder.kill()
		eventually(lambda: not is_worked_on(path), "the kernel has given the lock back")

	def test_a_child_that_goes_on_without_its_parent_works_on_it_too(self):
		code = "import os\nif os.fork(): os._exit(0)\n"
		script = HOLD.replace('print("held", flush=True)\n', code + 'print("held", flush=True)\n')
		command = [sys.executable, "-c", script, str(self.folder), "operation-1"]
		parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
		parent.stdout.readline()
		parent.wait()
		self.assertTrue(is_worked_on(self.folder / "operation-1.jsonl"))
		parent.stdout.close()
		subprocess.run(["pkill", "-9", "-f", str(self.folder)], check=True)
		eventually(lambda: not is_worked_on(self.folder / "operation-1.jsonl"), "it is gone")

	def test_a_command_that_it_started_does_not_keep_it(self):
		with closing(Journal(self.folder, "operation-1")) as journal:
			child = subprocess.Popen(["sleep", "60"])
			self.addCleanup(child.wait)
			self.addCleanup(child.kill)
		self.assertFalse(is_worked_on(journal.path))


class TestWriting(JournalTest):
	def test_a_full_disk_is_told(self):
		self.folder.mkdir()
		(self.folder / "operation-1.jsonl").symlink_to("/dev/full")
		emitter = Emitter(Journal(self.folder, "operation-1"))
		with self.assertRaisesRegex(JournalFault, "No space left on device"):
			emitter(events.PhaseEntered(Phase.FENCE))

	def test_nobody_else_may_read_it(self):
		path = self.write("operation-1", ended())
		self.assertEqual((path.stat().st_mode & 0o777, self.folder.stat().st_mode & 0o777), (0o600, 0o700))


class TestPruning(JournalTest):
	def test_the_oldest_go_with_the_logs_of_their_migrations(self):
		paths = [self.write(f"operation-{n}", ended()) for n in range(5)]
		(self.folder / "operation-0-a.localhost.log").touch()
		prune(self.folder, kept=3)
		self.assertEqual(sorted(self.folder.iterdir()), paths[2:])

	def test_the_request_of_a_launch_goes_with_its_journal_and_alone_when_it_is_old(self):
		launched, waiting, forgotten = ("operation-0", "operation-8", "operation-9")
		self.write(launched, ended())
		for name in (launched, waiting, forgotten):
			(self.folder / f"{name}.request.json").touch()
		(self.folder / f"{forgotten}-launch.log").touch()
		for path in self.folder.glob(f"{forgotten}*"):
			os.utime(path, (0, time.time() - 1000))
		prune(self.folder, kept=0, kept_for=999)
		self.assertEqual([path.name for path in self.folder.iterdir()], [f"{waiting}.request.json"])

	def test_those_that_are_too_old_go(self):
		old, new = self.write("operation-1", ended()), self.write("operation-2", ended())
		os.utime(old, (0, time.time() - 1000))
		prune(self.folder, kept_for=999)
		self.assertEqual(list(self.folder.iterdir()), [new])

	def test_what_is_not_finished_or_worked_on_stays(self):
		kept = [
			self.write("operation-1", events.PhaseEntered(Phase.DRAIN)),
			self.write("operation-2", ended()),
		]
		self.hold("operation-2")
		self.assertEqual(prune(self.folder, kept=0), [])
		self.assertEqual(sorted(self.folder.iterdir()), kept)
