"""kill -9 of the operation, at every phase border and at random: nothing is left behind, and no job is lost."""

from __future__ import annotations

import random

from fmx_restart.tests.bench.crashes import LEASE, Crash, Crashes, at_borders, at_random
from fmx_restart.tests.bench.support import BenchTestCase

SLACK = 45.0  # seconds: a suspended worker looks each second; the machine may be busy


class TestCrashes(BenchTestCase):
	def test_whenever_it_is_killed_the_bench_comes_out_working_and_every_job_runs_once(self):
		from development.workload import Mix, Workload

		# Given a bench under load
		with Workload(self.bench, self.folder / "stream.jsonl", Mix(rate=1.5)) as workload:
			crashes = Crashes(self.bench, workload)
			# When operations are killed, some with their guardians
			both = [
				Crash("wait-workers", "Restart", 0.2, guardian_too=True),
				Crash("migrate", "Migrate", 1.0, True),
			]
			for crash in [*at_borders(), *both, *at_random(2, random.Random(7))]:
				with self.subTest(str(crash)):
					outcome = crashes.run(crash)
					# Then the queue moves within one lease, and everything is as it should be
					self.assertEqual(outcome.faults, [])
					self.assertLess(outcome.moved_after, LEASE + SLACK)
					if outcome.died_in:
						self.assertEqual(outcome.outcome, "Recovered")
		# And no job was lost, repeated or interrupted
		account = workload.settle(timeout=600)
		self.assertEqual((account.lost, account.run_twice, account.interrupted), ((), (), ()))
