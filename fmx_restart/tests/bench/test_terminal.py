"""What a person sees who types the command."""

from __future__ import annotations

import signal

from fmx_restart.adapters.journal import crashed_operation_in
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.support import BenchTestCase, command_line
from fmx_restart.tests.bench.terminal import Terminal

METHOD = "fmx_restart.tests.bench.jobs.hold"
LIMIT = 1234  # seconds
CTRL_C = "\x03"
NO = 1  # click's exit code for an answer that aborts
STOPPED = 130  # exit code


class TestTerminal(BenchTestCase):
	def open(self, *options: str) -> Terminal:
		terminal = Terminal(
			command_line(self.bench, *options), cwd=self.bench.path, env=self.bench.environment
		)
		self.addCleanup(terminal.close)
		return terminal

	def test_in_80_columns_and_in_60_no_line_runs_over_and_programs_have_short_names(self):
		for words in (["status"], ["plan", "--wait-workers"], ["managers"], ["history"]):
			for columns in (80, 60):
				with self.subTest(words=words, columns=columns):
					terminal = Terminal(
						command_line(self.bench, *words),
						cwd=self.bench.path,
						env=self.bench.environment,
						size=(columns, 40),
					)
					self.addCleanup(terminal.close)
					self.assertEqual(terminal.finish(), 0, terminal.text)
					lines = terminal.text.splitlines()
					self.assertLessEqual(max(map(len, lines)), columns, terminal.text)
					self.assertNotIn(f"{self.bench.name}-frappe-web", terminal.text)

	def test_it_asks_first_and_no_changes_nothing(self):
		before = self.pids()
		terminal = self.open("--wait-workers")
		# Given the question, which says what would be done
		terminal.wait_for(r"5 processes to restart: .*\n*.*Go on\? \[Y/n\]")
		self.assertEqual(self.keys_of_ours(), [], "nothing is held while it asks")
		# When the answer is no
		terminal.type("n\n")
		# Then that was all
		self.assertEqual(terminal.finish(), NO)
		self.assertNotIn("Fence", terminal.text)
		self.assert_nothing_restarted(before)
		self.assert_queue_moves()

	def test_the_drain_shows_each_worker_with_its_job_and_how_long_it_may_take(self):
		before = self.pids()
		held = self.jobs.hold("long", timeout=LIMIT, secret="an-argument-nobody-may-read")
		# Given a job that waits in its queue, because both workers are at work
		other = self.jobs.hold("short")
		self.jobs.work("default")
		# When the command runs without a question
		terminal = self.open("--wait-workers", "--wait-workers-verbose", "--yes")
		# Then there is a table of the workers, their jobs, their times
		terminal.wait_for(r"Worker +State +Site / job +Running +At most")
		job = rf"{self.bench.site} / {METHOD}"
		terminal.wait_for(rf"(long|short)\S* \(pid \d+\) +busy +{job} +[\d.]+ s +(20|19) min \d+ s")
		terminal.wait_for(r"Queued: .*default 1")
		terminal.wait_for(r"Gives up in [45] min \d+ s")
		self.assertNotIn("Go on?", terminal.text)
		# And a worker that has become idle is told as parked
		other.let_go()
		terminal.wait_for(r"\(pid \d+\) +suspended")
		# And Ctrl-C on the keyboard ends it
		terminal.type(CTRL_C)
		self.assertEqual(terminal.finish(), STOPPED)
		self.assertIn("Nothing was restarted", terminal.text)
		self.assertNotIn("an-argument-nobody-may-read", terminal.text)
		self.assertEqual((held.starts, held.ends), (1, 0))
		self.assert_nothing_restarted(before)

	def test_a_terminal_that_goes_away_during_the_drain_leaves_the_operation_at_work(self):
		held = self.jobs.hold()
		before = self.pids()
		# Given an operation that waits, on a terminal
		terminal = self.open("--wait-workers", "--yes")
		operation = terminal.wait_for(r"Operation (\S+): wait-workers")[1]
		terminal.wait_for("Gives up in")
		# When its window is closed
		terminal.hang_up()
		self.assertEqual(terminal.process.wait(timeout=60), -signal.SIGHUP)
		# Then the operation waits on, and restarts the bench when the job has ended
		journal = self.bench.path / "logs" / "fmx_restart" / f"{operation}.jsonl"
		self.assertIsNotNone(self.redis.get("rq:suspended"))
		held.let_go()
		eventually(lambda: is_closed(journal), "the operation has an end", deadline=240)
		self.assertEqual(crashed_operation_in(journal).phase, Phase.DONE)
		self.assert_restarted(before)
		self.assertEqual((held.starts, held.ends), (1, 1))

	def test_yes_on_the_keyboard_restarts_and_the_report_ends_with_done(self):
		before = self.pids()
		terminal = self.open("--wait-workers")
		terminal.wait_for(r"Go on\? \[Y/n\]")
		terminal.type("y\n")
		self.assertEqual(terminal.finish(), 0, terminal.text)
		self.assertRegex(terminal.text, r"0 lost\s+Done in .* s\..*\s*$")
		self.assert_restarted(before)
