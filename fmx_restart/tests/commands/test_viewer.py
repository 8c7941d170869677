"""
An operation and the terminal that watches it: what the terminal does, or does not do, is nothing to the operation. Real
processes, a real journal, a real pseudo terminal; no bench.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from contextlib import closing
from pathlib import Path
from unittest.mock import patch

import psutil

import fmx_restart
from fmx_restart.adapters.journal import Journal, crashed_operation_in
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.machine import this_machine
from fmx_restart.commands import viewer
from fmx_restart.commands.viewer import JournalSource
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessDied
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess
from fmx_restart.tests.adapters.forked import Forked
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command
from fmx_restart.tests.bench.terminal import Terminal
from fmx_restart.tests.commands.viewed import ID

ROOT = Path(fmx_restart.__file__).parent.parent
CTRL_C, CTRL_S, CTRL_Q = "\x03", "\x13", "\x11"
NOT_BACK, WRONG_ENVIRONMENT, STOPPED = 4, 7, 130  # exit codes
SOON = 5.0  # seconds; a viewer that waits for a terminal would take for ever


class ForkedTerminal(Terminal):
	popen = Forked


class ForkedCommand(Command):
	popen = Forked


class ViewerCase(unittest.TestCase):
	def setUp(self) -> None:
		folder = tempfile.TemporaryDirectory(prefix="fmx-viewer-")
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)
		self.journal = self.folder / f"{ID}.jsonl"
		self.addCleanup(self.end_operation)

	def words(self, shown: str, story: str) -> list[str]:
		return [sys.executable, "-m", "fmx_restart.tests.commands.viewed", str(self.folder), shown, story]

	def terminal(self, story: str = "works", shown: str = "text") -> Terminal:
		terminal = ForkedTerminal(self.words(shown, story), cwd=ROOT, env=os.environ)
		self.addCleanup(terminal.close)
		return terminal

	def command(self, story: str = "works", shown: str = "text") -> Command:
		command = ForkedCommand(self.words(shown, story), cwd=ROOT, env=os.environ)
		self.addCleanup(command.end)
		return command

	def make(self, name: str) -> None:
		(self.folder / name).touch()

	def facts(self) -> int:
		return self.journal.read_bytes().count(b"\n") if self.journal.exists() else 0

	def operation(self) -> psutil.Process:
		eventually(lambda: self.facts() > 1, "the operation has begun")
		return psutil.Process(crashed_operation_in(self.journal).process.pid)

	def end_operation(self) -> None:
		self.make("end")
		if self.facts():
			process = crashed_operation_in(self.journal).process
			eventually(lambda: not psutil.pid_exists(process.pid), "the operation's process has ended")

	def assert_works_on(self) -> None:
		"""The operation tells fact after fact, whoever reads them."""
		before = self.facts()
		eventually(lambda: self.facts() > before + 20, "twenty facts more", deadline=SOON)

	def assert_ends_by_itself(self, outcome: Phase = Phase.DONE) -> None:
		self.make("end")
		eventually(lambda: is_closed(self.journal), "the operation has ended", deadline=SOON)
		self.assertIs(crashed_operation_in(self.journal).phase, outcome)


class TestNobodyReads(ViewerCase):
	def test_a_stopped_terminal_does_not_delay_the_operation_and_shows_everything_afterwards(self):
		terminal = self.terminal()
		terminal.wait_for(f"Operation {ID}")
		# When Ctrl-S stops the terminal
		terminal.type(CTRL_S)
		time.sleep(0.2)
		shown = len(terminal.text)
		# Then the operation goes on, and ends
		self.assert_works_on()
		self.assert_ends_by_itself()
		self.assertLess(len(terminal.text) - shown, 10_000, "the terminal stands still")
		self.assertIsNone(terminal.process.poll())
		# And when Ctrl-Q lets it go on, all of it is shown, with the operation's exit code
		terminal.type(CTRL_Q)
		self.assertEqual(terminal.finish(), 0)
		self.assertIn(f"Operation {ID}: Done", terminal.text)

	def test_a_pipe_that_nobody_reads_does_not_delay_it_either(self):
		pipe = Forked(self.words("json", "works"), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
		self.addCleanup(pipe.wait)
		self.addCleanup(pipe.stdout.close)
		# Given more facts than fit into a pipe
		eventually(lambda: self.journal.exists() and self.journal.stat().st_size > 200_000, "a full pipe")
		self.assert_works_on()
		self.assert_ends_by_itself()
		# When someone reads it at last
		lines = pipe.stdout.read().decode().splitlines()
		# Then no fact is missing
		told, written = (
			list(map(json.loads, text)) for text in (lines, self.journal.read_text().splitlines())
		)
		self.assertEqual(len(told), len(written))
		for fact, line in zip(told, written, strict=True):
			self.assertEqual({name: fact[name] for name in line}, line)
		self.assertEqual(pipe.wait(timeout=SOON), 0)

	def test_a_viewer_that_is_stopped_stops_nothing_else(self):
		terminal = self.terminal()
		terminal.wait_for(f"Operation {ID}")
		self.operation()
		# When it is stopped, as Ctrl-Z does below a shell
		terminal.process.send_signal(signal.SIGSTOP)
		viewer = psutil.Process(terminal.process.pid)
		eventually(lambda: viewer.status() == psutil.STATUS_STOPPED, "the viewer is stopped")
		self.assert_works_on()
		self.assert_ends_by_itself()
		# Then it catches up once it goes on
		terminal.process.send_signal(signal.SIGCONT)
		self.assertEqual(terminal.finish(), 0)
		self.assertIn(f"Operation {ID}: Done", terminal.text)

	def test_a_hang_up_ends_the_viewer_alone(self):
		terminal = self.terminal()
		terminal.wait_for(f"Operation {ID}")
		operation = self.operation()
		terminal.hang_up()
		self.assertEqual(terminal.process.wait(timeout=SOON), -signal.SIGHUP)
		self.assertTrue(operation.is_running())
		self.assert_works_on()
		self.assert_ends_by_itself()

	def test_the_operation_has_no_terminal_and_a_session_of_its_own(self):
		terminal = self.terminal()
		terminal.wait_for(f"Operation {ID}")
		operation = self.operation()
		self.assertEqual(os.getsid(operation.pid), operation.pid)
		self.assertIsNone(operation.terminal())
		log = self.folder / f"{ID}-launch.log"
		files = [Path(f"/proc/{operation.pid}/fd/{number}").readlink() for number in (0, 1, 2)]
		self.assertEqual(files, [Path(os.devnull), log, log])
		self.assertEqual(log.stat().st_mode & 0o777, 0o600)


class TestClosedOutput(ViewerCase):
	def piped(self, story: str) -> tuple[int, str]:
		"""What `… | head -1` shows, and the exit code of the command."""
		words = [*self.words("text", story)]
		script = '"$@" | head -1; exit ${PIPESTATUS[0]}'
		done = subprocess.Popen(
			["bash", "-c", script, "bash", *words],
			cwd=ROOT,
			stdin=subprocess.DEVNULL,
			stdout=subprocess.PIPE,
			stderr=subprocess.PIPE,
			text=True,
		)
		self.addCleanup(done.stdout.close)
		self.addCleanup(done.stderr.close)
		first = done.stdout.readline()
		self.operation()
		self.assert_works_on()
		self.make("end")
		self.assertRegex(first, f"Operation {ID}")
		errors = done.stderr.read()
		self.assertNotIn("Traceback", errors)
		self.assertNotIn("BrokenPipe", errors)
		return done.wait(timeout=SOON), errors

	def test_the_operation_ends_well_and_the_exit_code_says_so(self):
		self.assertEqual(self.piped("works"), (0, ""))
		self.assertIs(crashed_operation_in(self.journal).phase, Phase.DONE)

	def test_a_failure_is_told_on_standard_error_and_by_the_exit_code(self):
		code, errors = self.piped("does_not_come_back")
		self.assertEqual((code, errors), (NOT_BACK, "Error: Not as it should be: web.\nRead its log.\n"))

	def test_streams_that_were_closed_from_the_beginning_change_nothing(self):
		self.make("end")
		script = '"$@" >&- 2>&-'
		words = ["bash", "-c", script, "bash", *self.words("text", "does_not_come_back")]
		done = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=60)
		self.assertEqual(done.returncode, NOT_BACK)
		self.assertIs(crashed_operation_in(self.journal).phase, Phase.FAILED)


class TestAskedToStop(ViewerCase):
	def test_each_of_the_signals_asks_the_operation_to_stop_and_its_exit_code_is_shown(self):
		for number in (signal.SIGINT, signal.SIGTERM):
			with self.subTest(number.name):
				self.journal.unlink(missing_ok=True)
				command = self.command()
				command.wait_for_line(f"Operation {ID}")
				command.process.send_signal(number)
				done = command.finish()
				self.assertEqual(done.code, STOPPED, done.text)
				self.assertIn("Asked the operation to stop", done.errors)
				self.assertIn(
					"Error: Stopped on request during the wait for running jobs. Nothing was restarted",
					done.errors,
				)
				self.assertNotIn("Traceback", done.text)
				self.assertIs(crashed_operation_in(self.journal).phase, Phase.ABORTED)

	def test_a_second_ctrl_c_leaves_at_once_and_says_that_the_operation_is_at_work(self):
		# Given an operation that cannot stop now
		self.make("deaf")
		terminal = self.terminal()
		terminal.wait_for(f"Operation {ID}")
		operation = self.operation()
		# When Ctrl-C is typed twice
		terminal.type(CTRL_C)
		terminal.wait_for("Asked the operation to stop")
		self.assertIsNone(terminal.process.poll())
		terminal.type(CTRL_C)
		# Then the terminal is free, and knows how to come back; the operation goes on
		self.assertEqual(terminal.process.wait(timeout=SOON), STOPPED)
		terminal.finish()
		self.assertIn(f"Operation {ID} was asked to stop and is still running", terminal.text)
		self.assertIn("bench safe-restart attach", terminal.text)
		self.assertTrue(operation.is_running())
		self.assert_works_on()
		self.assert_ends_by_itself()

	def test_two_interrupts_end_a_viewer_whose_terminal_stands_still(self):
		self.make("deaf")
		terminal = self.terminal()
		terminal.wait_for(f"Operation {ID}")
		self.operation()
		terminal.type(CTRL_S)
		self.assert_works_on()
		for _ in range(2):
			terminal.process.send_signal(signal.SIGINT)
			time.sleep(0.2)
		self.assertEqual(terminal.process.wait(timeout=SOON), STOPPED)
		self.assert_works_on()

	def test_the_operations_own_pid_takes_a_request_to_stop_too_and_no_hang_up(self):
		command = self.command()
		operation = self.operation()
		operation.send_signal(signal.SIGHUP)
		self.assert_works_on()
		operation.terminate()
		self.assertEqual(command.finish().code, STOPPED)


class TestLeaving(ViewerCase):
	def test_detached_it_leaves_once_the_preflight_is_over(self):
		self.make("deaf")
		command = self.command("hands_over", shown="detach")
		done = command.finish()
		self.assertEqual(done.code, 0, done.text)
		self.assertIn(
			f"Operation {ID} continues in the background. Watch it: bench safe-restart attach", done.output
		)
		self.assertNotIn("Everything else is new", done.output)
		self.assert_works_on()
		self.assert_ends_by_itself()

	def test_it_leaves_at_the_handover_with_that_facts_exit_code(self):
		done = self.command("hands_over").finish()
		self.assertEqual(done.code, NOT_BACK, done.text)
		self.assertTrue(
			done.output.rstrip().endswith("To follow, type: bench safe-restart status"), done.output
		)
		self.assert_works_on()
		self.assert_ends_by_itself()

	def test_what_is_told_of_an_earlier_operation_lets_nobody_go(self):
		command = self.command("recovers_another_one_first", shown="detach")
		command.wait_for_line("Operation another: Recovered")
		command.wait_for_line(f"Operation {ID}: wait-workers")
		self.assertIsNone(command.process.poll())
		self.make("end")
		self.assertEqual(command.finish().code, 0)


class TestWithoutJournal(ViewerCase):
	def test_what_keeps_it_from_beginning_is_told_as_ever(self):
		done = self.command("cannot_begin").finish()
		self.assertEqual(done.code, WRONG_ENVIRONMENT)
		self.assertEqual(done.errors, "Error: Redis is not there. Nothing was changed.\nStart Redis.\n")
		self.assertEqual(done.output, "")
		self.assertEqual(list(self.folder.iterdir()), [], "nothing is left behind")

	def test_an_error_that_nobody_foresaw_is_kept_with_its_traceback(self):
		done = self.command("breaks").finish()
		log = self.folder / f"{ID}-launch.log"
		self.assertEqual(done.code, 1)
		self.assertNotIn("Traceback", done.text)
		self.assertIn("KeyError: 'an error that nobody foresaw'", done.errors)
		self.assertIn(str(log), done.errors)
		self.assertRegex(log.read_text(), r"(?s)so it goes\n.*Traceback.*an error that nobody foresaw")

	def test_the_facts_that_a_full_disk_does_not_take_are_shown_all_the_same(self):
		self.assert_each_is_shown_once("loses_its_journal")

	def test_a_fact_that_a_full_disk_takes_though_it_says_no_is_shown_once(self):
		self.assert_each_is_shown_once("loses_its_journal_too_late")

	def assert_each_is_shown_once(self, story: str) -> None:
		done = self.command(story, shown="json").finish()
		self.assertEqual(done.code, 0, done.text)
		told = [(fact["event"], fact.get("phase")) for fact in done.facts]
		self.assertEqual(
			told,
			[
				("OperationStarted", None),
				("PhaseEntered", "Restart"),
				("PhaseEntered", "Lift"),
				("JournalLost", None),
				("PhaseEntered", "Verify"),
				("Ended", None),
			],
		)

	def test_a_process_that_was_killed_and_not_recovered_is_told(self):
		command = self.command()
		self.operation().kill()
		done = command.finish()
		self.assertEqual(done.code, NOT_BACK, done.text)
		self.assertIn(f"The process of operation {ID} died", done.errors)
		self.assertIn("bench safe-restart recover", done.errors)


class TestMigrationOutput(ViewerCase):
	def test_it_is_shown_as_it_comes_and_in_its_place_secrets_hidden(self):
		command = self.command("migrates", shown="json")
		command.wait_for_fact("MigrationOutput", site="a-site", line="line 1")
		command.wait_for_fact("MigrationOutput", site="a-site", line="admin_password: ***")
		self.make("more")
		done = command.finish()
		names = [fact["event"] for fact in done.facts if fact["event"] != "QueueAway"]
		lines = [fact["line"] for fact in done.facts if fact["event"] == "MigrationOutput"]
		self.assertEqual(lines, ["line 1", "admin_password: ***", "line 3", "no end"])
		self.assertEqual(names[-3:], ["MigrationOutput", "BackupEnded", "Ended"])
		last, ended = done.facts[-3:-1]
		self.assertLessEqual(last["time"], ended["time"])
		self.assertNotIn("hunter2", json.dumps(done.facts))


class TestOtherMachine(unittest.TestCase):
	"""The bench folder is shared: neither the processes nor the locks of the other machine can be seen."""

	def test_its_operation_is_not_called_dead_and_is_followed_as_its_journal_grows(self):
		with tempfile.TemporaryDirectory() as folder, patch.object(viewer, "GUARDIAN_WITHIN", 0.0):
			journal = Journal(Path(folder), ID)
			me, other = HostProcess(1, "an-identity"), Machine("a.example", "another-id", "another-boot", 1.0)
			journal(events.OperationStarted(ID, "a-bench", "rolling", "a.example", me, machine=other))
			journal.close()
			source = JournalSource(journal.path)
			self.assertEqual(len(source.take()), 1)
			for _ in range(3):
				source.check()
				time.sleep(0.01)
			# It says where the operation runs, once
			[notice] = source.notices
			self.assertIn("runs on a.example", notice)
			# And shows what comes
			with closing(Journal(Path(folder), ID)) as again:
				again(events.QueueAway("away"))
			self.assertEqual([event for _, event in source.take()], [events.QueueAway("away")])

	def test_one_of_this_machine_is_called_dead_as_ever(self):
		with tempfile.TemporaryDirectory() as folder, patch.object(viewer, "GUARDIAN_WITHIN", 0.0):
			with closing(Journal(Path(folder), ID)) as journal:
				me = HostProcess(1, "an-identity")
				this = this_machine()
				journal(events.OperationStarted(ID, "a-bench", "rolling", this.name, me, machine=this))
			source = JournalSource(Path(folder) / f"{ID}.jsonl")
			source.take()
			source.check()
			time.sleep(0.01)
			with self.assertRaises(ProcessDied):
				source.check()
