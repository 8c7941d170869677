"""kill -9 of the operation, at borders of phases and at random: nothing is left behind, and no job is lost."""

from __future__ import annotations

import random
import unittest

from fmx_restart.engine.held import LEASE
from fmx_restart.tests.bench.crashes import Crash, Crashes, at_borders, at_random
from fmx_restart.tests.bench.support import BenchTestCase
from fmx_restart.tests.repetitions import IS_LONG_RUN, repetitions

SLACK = 45.0  # seconds: a suspended worker looks each second; the machine may be busy
RATE = 1.5 if IS_LONG_RUN else 0.7  # jobs a second: Frappe needs a core for a tenth of a second for each


class CrashesCase(BenchTestCase):
	def kill(self, *planned: Crash) -> None:
		"""After each crash the bench works again, and in the end every job has run once."""
		from development.workload import Mix, Workload

		# Given a bench under load
		with Workload(self.bench, self.folder / "stream.jsonl", Mix(rate=RATE)) as workload:
			crashes = Crashes(self.bench, workload)
			# When operations are killed
			for crash in planned:
				with self.subTest(str(crash)):
					outcome = crashes.run(crash)
					# Then the queue is running within one lease, and everything is as it should be
					self.assertEqual(outcome.faults, [])
					self.assertLess(outcome.moved_after, LEASE + SLACK)
					if outcome.died_in:
						self.assertEqual(outcome.outcome, "Recovered")
		# And no job was lost, repeated or interrupted
		account = workload.settle(timeout=600)
		self.assertEqual((account.lost, account.run_twice, account.interrupted), ((), (), ()))


class TestCrashesAtBorders(CrashesCase):
	def test_an_operation_that_is_killed_when_a_phase_begins_leaves_a_working_bench(self):
		self.kill(*at_borders(more=IS_LONG_RUN)[::2])


class TestCrashesAtOtherBorders(CrashesCase):
	def test_an_operation_that_is_killed_when_a_phase_begins_leaves_a_working_bench(self):
		self.kill(*at_borders(more=IS_LONG_RUN)[1::2])


class TestCrashesWithTheGuardian(CrashesCase):
	def test_an_operation_that_is_killed_with_its_guardian_leaves_a_working_bench(self):
		"""In a migration. In the drain: test_killed.py; while programs are down: test_redis_faults.py."""
		self.kill(Crash("migrate", "Migrate", 1.0, guardian_too=True))


@unittest.skipUnless(IS_LONG_RUN, "takes most of an hour: bin/test --long")
class TestManyCrashes(CrashesCase):
	def test_an_operation_that_is_killed_with_its_guardian_leaves_a_working_bench(self):
		self.kill(Crash("wait-workers", "Restart", 0.2, guardian_too=True))

	def test_an_operation_that_is_killed_at_any_moment_leaves_a_working_bench(self):
		self.kill(*at_random(repetitions("crashes at any moment", 0, long=110), random.Random()))
