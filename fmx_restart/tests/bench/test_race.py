from __future__ import annotations

from fmx_restart.tests.bench.support import BenchTestCase

ROUNDS = 3  # the long version: python3 -m development.benchmarks.race


class TestRace(BenchTestCase):
	"""Workers are stopped while jobs arrive within milliseconds (rq #2236), by plain TERM and by us, in turns."""

	def forget_lost_jobs(self) -> None:
		"""What plain TERM lost would be found by every later ledger as ghosts of old."""
		from development.workload import account_of, read_journal

		account = account_of(read_journal(self.bench.log_path / "race-plain.jsonl"))
		for token in account.lost:
			for key in self.redis.scan_iter(f"rq:job:*{token}", 1000):
				self.redis.delete(key)

	def test_no_job_is_lost_and_none_runs_twice(self):
		# Given idle workers, and a burst of jobs at every moment when something could be lost
		from development.benchmarks.race import race

		self.addCleanup(self.forget_lost_jobs)
		# When they are stopped again and again
		_plain, ours = race(self.bench, ROUNDS)
		# Then every job has run once, without any having to be put back
		self.assertEqual(ours.stops, ROUNDS * 2)
		self.assertGreaterEqual(ours.jobs, ROUNDS * 2 * 5)
		self.assertEqual((ours.lost, ours.run_twice, ours.put_back), (0, 0, 0))
