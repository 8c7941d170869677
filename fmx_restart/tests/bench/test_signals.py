"""Ctrl-C and TERM: undone while that is possible, finished after."""

from __future__ import annotations

import signal

from fmx_restart.tests.bench.support import BenchTestCase

STOPPED = 130  # exit code


class TestSignals(BenchTestCase):
	def test_during_the_drain_each_of_them_leaves_everything_as_it_was(self):
		held = self.jobs.hold()
		before = self.pids()
		for number in (signal.SIGINT, signal.SIGTERM):
			with self.subTest(number.name):
				# Given an operation that waits for a job
				command = self.start("--wait-workers")
				command.wait_for_line("Waiting for 1 job")
				# When the signal comes
				command.process.send_signal(number)
				done = command.finish()
				# Then it is undone
				self.assertEqual(done.code, STOPPED, done.text)
				self.assertIn("Nothing was restarted; the queue keeps running", done.errors)
				self.assertNotIn("Traceback", done.text)
				self.assertEqual(self.keys_of_ours(), [])
				self.assert_queue_moves()
				self.assert_nothing_restarted(before)
		self.assertEqual((held.starts, held.ends), (1, 0))

	def test_once_a_process_is_down_the_restart_is_finished_whatever_comes(self):
		before = self.pids()
		# Given an operation of which the first process is down
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("ProcessDown")
		# When both signals come
		for number in (signal.SIGTERM, signal.SIGINT):
			command.process.send_signal(number)
		done = command.finish()
		# Then it ends well, and every process is up
		self.assertEqual((done.code, done.report["outcome"]), (0, "Done"), done.text)
		self.assert_restarted(before)
		self.assertEqual(self.keys_of_ours(), [])
		self.assert_queue_moves()
