"""What the command does not take, and what its subcommands show of a real bench."""

from __future__ import annotations

import json

from fmx_restart.tests.bench.support import BenchTestCase, own_programs

USAGE, WRONG_ENVIRONMENT = 2, 7  # exit codes


class TestUsage(BenchTestCase):
	def test_bad_input_is_refused_before_anything_is_touched(self):
		before = self.pids()
		journals = set((self.bench.path / "logs" / "fmx_restart").glob("*"))
		for options, part in (
			(("--wait-workers", "--wait-workers-timeout", "-1"), "--wait-workers-timeout"),
			(("--wait-workers", "--wait-workers-poll", "0"), "--wait-workers-poll"),
			(("--wait-workers", "--no-such-option"), "--no-such-option"),
			(("--wait-workers", "--no-web", "--no-workers"), "nothing to restart"),
			(("statsu",), "Did you mean: bench safe-restart status?"),
			(("--wait-workers", "now", "--yes"), "There is no command 'now'"),
			(("--rolling", "status"), "--rolling stands before status"),
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

	def test_help_tells_the_examples_and_the_exit_codes_under_the_name_that_was_typed(self):
		done = self.run_command("--help")
		self.assertEqual(done.code, 0, done.text)
		for part in ("--wait-workers-timeout SECONDS", "Examples:", "Exit codes:"):
			self.assertIn(part, done.output)
		self.assertIn("Usage: bench safe-restart [OPTIONS] [COMMAND]\n", done.output)
		self.assertIn("Usage: bench safe-restart plan [OPTIONS]\n", self.run_command("plan", "--help").output)


class TestLooking(BenchTestCase):
	def test_status_and_logs_name_every_program_of_the_bench_and_no_other(self):
		own = {
			name: pid
			for name, pid in self.pids().items()
			if name.partition(":")[0] in own_programs(self.bench)
		}
		status = self.run_command("status", "--json")
		self.assertEqual(status.code, 0, status.text)
		programs = json.loads(status.output)["programs"]
		self.assertEqual({row["name"]: row["pid"] for row in programs}, own)
		self.assertEqual([row for row in programs if row["state"] != "running" or row["age"] is None], [])
		self.assertGreater(min(row["memory"] for row in programs), 2**20)
		logs = self.run_command("logs", "--tail", "2")
		self.assertEqual(logs.code, 0, logs.text)
		self.assertEqual([name for name in own if name not in logs.output], [])
		unknown = self.run_command("logs", "nobody")
		self.assertEqual(unknown.code, WRONG_ENVIRONMENT)
		self.assertEqual([name for name in own if name not in unknown.errors], [])
