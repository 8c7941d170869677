"""What the command does not take."""

from __future__ import annotations

from fmx_restart.tests.bench.support import BenchTestCase

USAGE = 2  # click's exit code


class TestUsage(BenchTestCase):
	def test_bad_input_is_refused_before_anything_is_touched(self):
		before = self.pids()
		journals = set((self.bench.path / "logs" / "fmx_restart").glob("*"))
		for options, part in (
			(("--wait-workers", "--wait-workers-timeout", "-1"), "--wait-workers-timeout"),
			(("--wait-workers", "--wait-workers-poll", "0"), "--wait-workers-poll"),
			(("--wait-workers", "--no-such-option"), "--no-such-option"),
			(("--wait-workers", "--no-web", "--no-workers"), "nothing to restart"),
		):
			with self.subTest(" ".join(options)):
				done = self.run_command(*options)
				self.assertEqual(done.code, USAGE, done.text)
				self.assertIn("Usage: bench", done.errors)
				self.assertIn(part, done.errors)
				self.assertNotIn("Traceback", done.text)
		self.assert_nothing_restarted(before)
		self.assertEqual(self.keys_of_ours(), [])
		self.assertEqual(set((self.bench.path / "logs" / "fmx_restart").glob("*")), journals)

	def test_help_tells_the_examples_and_the_exit_codes(self):
		done = self.run_command("--help")
		self.assertEqual(done.code, 0, done.text)
		for part in ("--wait-workers-timeout SECONDS", "Examples:", "Exit codes:"):
			self.assertIn(part, done.output)
