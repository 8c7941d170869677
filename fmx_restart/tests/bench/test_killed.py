"""The command is killed without a chance to clean up: what it held ends by itself."""

from __future__ import annotations

import time

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.support import BenchTestCase

LEASE = 30.0  # seconds
LOOK = 1.0  # seconds: a suspended worker looks this often
SLACK = 15.0  # seconds for a busy machine
BUSY = 75  # exit code


class TestKilled(BenchTestCase):
	def test_within_one_lease_the_queue_moves_again_and_the_bench_can_be_restarted(self):
		# Given an operation that waits for a job, and is killed
		held = self.jobs.hold()
		before = self.pids()
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		command.process.kill()
		command.finish()
		killed = time.monotonic()
		self.assertLessEqual(0, self.redis.pttl("rq:suspended"), "the fence has an end")
		self.assertLessEqual(self.redis.pttl("rq:suspended"), LEASE * 1000)
		# When a job comes while its fence still stands, it waits, and so does a second operation
		waiting = self.jobs.work()
		busy = self.run_command("--wait-workers")
		self.assertEqual((busy.code, waiting.starts), (BUSY, 0), busy.text)
		self.assertIn("its lock ends by itself within 30 seconds", busy.errors)
		# Then it runs as soon as the lease is over, and nothing has been touched
		patience = LEASE + LOOK + SLACK
		eventually(lambda: waiting.ends, "the waiting job has run", deadline=patience)
		self.assertLess(time.monotonic() - killed, patience)
		self.assert_nothing_restarted(before)
		self.assertEqual((held.starts, held.ends), (1, 0))
		# And a new operation restarts the bench
		held.let_go()
		eventually(lambda: not self.keys_of_ours(), "lock and fence are gone")
		done = self.run_command("--wait-workers")
		self.assertEqual(done.code, 0, done.text)
		self.assert_restarted(before)
