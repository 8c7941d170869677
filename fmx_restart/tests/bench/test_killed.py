"""The command and its guardian are killed without a chance to clean up: what they held ends by itself."""

from __future__ import annotations

import time

from fmx_restart.adapters.journal import crashed_operation_in
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.crashes import end_guardian
from fmx_restart.tests.bench.support import BenchTestCase

LOOK = 1.0  # seconds: a suspended worker looks this often
DIED = 4  # exit code
SLACK = 45.0  # seconds for a busy machine


class TestKilled(BenchTestCase):
	def test_within_one_lease_the_queue_moves_again_and_the_bench_can_be_restarted(self):
		# Given an operation that waits for a job, and is killed together with its guardian
		held = self.jobs.hold()
		before = self.pids()
		command = self.start("--wait-workers", "--json")
		operation = command.wait_for_fact("OperationStarted")["operation"]
		command.wait_for_fact("StillRunning")
		end_guardian(operation)
		command.kill_operation()
		killed = time.monotonic()
		self.assertLessEqual(0, self.redis.pttl("rq:suspended"), "the fence has an end")
		self.assertLessEqual(self.redis.pttl("rq:suspended"), LEASE * 1000)
		# When a job comes while its fence still stands, it waits
		waiting = self.jobs.work()
		self.assertEqual(waiting.starts, 0)
		# Then it runs as soon as the lease is over, without anybody's help, and nothing has been touched
		patience = LEASE + LOOK + SLACK
		eventually(lambda: waiting.ends, "the waiting job has run", deadline=patience)
		self.assertLess(time.monotonic() - killed, patience)
		# And the terminal that watched it says that it died, and what to type
		done = command.finish()
		self.assertEqual(done.code, DIED, done.text)
		self.assertIn("bench safe-restart recover", done.errors)
		self.assert_nothing_restarted(before)
		self.assertEqual((held.starts, held.ends), (1, 0))
		# And the next operation, or a tick of the scheduler before it, puts right what was left
		held.let_go()
		done = self.run_command("--wait-workers")
		self.assertEqual(done.code, 0, done.text)
		journal = self.bench.path / "logs" / "fmx_restart" / f"{operation}.jsonl"
		self.assertEqual(crashed_operation_in(journal).phase, Phase.RECOVERED)
		self.assert_restarted(before)
		self.assertEqual(self.keys_of_ours(), [])
