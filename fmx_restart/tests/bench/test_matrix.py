from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.real_jobs import TestJob
from fmx_restart.tests.bench.support import BenchTestCase, own_programs, wait_until_at_rest
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs, repetitions

STUBBORN = "fmx_restart.tests.bench.jobs.stubborn"
LONG = 4.0  # seconds of a long job
OUTLASTS = 60.0  # seconds of one that is killed, however slowly the command comes as far
GRACE = "2"  # seconds until force, where a strategy uses it
MANY = repetitions("jobs in a full queue", 12, long=40)
PATIENCE = 240.0  # seconds for the operation to end, its background part too
QUEUES = ("short", "default", "long")


@dataclass(frozen=True)
class Expected:
	"""What must be so after any strategy in any situation."""

	kills: int  # the most jobs that are killed and named, because they outlast the grace


class Matrix(BenchTestCase):
	"""
	One strategy on an idle bench, and with jobs of every kind at once: the ledger is checked against what the jobs
	themselves wrote down.
	"""

	def situations(self, expected: Expected) -> dict[str, Callable[[], list[TestJob]]]:
		"""On an idle bench in a long run only: everything that it asserts is asserted with jobs, too."""
		idle = {"idle": list} if IS_LONG_RUN else {}
		return {
			**idle,
			"jobs of every kind": lambda: self.jobs_of_every_kind(OUTLASTS if expected.kills else LONG),
		}

	def jobs_of_every_kind(self, seconds: float) -> list[TestJob]:
		"""Each worker runs one that takes long, one of which ignores TERM; short ones and a full queue wait."""
		long = self.jobs.work("long", seconds=seconds).wait_for_start()
		stubborn = self.jobs.put(STUBBORN, "short", seconds=seconds).wait_for_start()
		short = [self.jobs.work(queue, seconds=0.1) for queue in QUEUES * 4]
		return [long, stubborn, *short, *(self.jobs.work(QUEUES[n % 3]) for n in range(MANY))]

	def check(self, options: tuple[str, ...], expected: Expected) -> None:
		for name, put_jobs in self.situations(expected).items():
			with self.subTest(situation=name):
				wait_until_at_rest(self.bench)
				before, jobs = self.pids(), put_jobs()
				finished = self.run_command(*options, "--json")
				report = self.wait_for_report(finished.facts[0]["operation"])
				wait_until_at_rest(self.bench)
				self.assertEqual((finished.code, report["outcome"]), (0, "Done"), finished.text)
				self.assert_every_process_is_new(before)
				self.assert_every_job_is_accounted_for(jobs, report, expected)

	def wait_for_report(self, operation: str) -> dict:
		"""From the journal: the operation may have gone on in the background."""
		journal = self.bench.path / "logs" / "fmx_restart" / f"{operation}.jsonl"

		def last() -> dict:
			return json.loads(journal.read_text().splitlines()[-1])

		eventually(lambda: last()["event"] == "Ended", f"{operation} has ended", deadline=PATIENCE)
		return last()["report"]

	def assert_every_process_is_new(self, before: dict[str, int]) -> None:
		after = self.pids()
		for name, pid in before.items():
			if name.partition(":")[0] in own_programs(self.bench):
				self.assertNotIn(after[name], (0, pid), name)
			else:
				self.assertEqual(after[name], pid, name)

	def assert_every_job_is_accounted_for(
		self, jobs: list[TestJob], report: dict, expected: Expected
	) -> None:
		interrupted = {job.id for job in jobs if job.starts > job.ends}
		self.assertEqual(interrupted, {job["id"] for job in report["interrupted"]})
		self.assertEqual({job.id: job.starts for job in jobs}, {job.id: 1 for job in jobs})
		self.assertLessEqual(len(interrupted), expected.kills)
		self.assertEqual(self.keys_of_ours(), [])
		account = report["account"]
		outcomes = ("finished", "failed", "waiting", "running", "requeued", "removed")
		total = sum(account[name] for name in outcomes) + len(account["interrupted"]) + len(account["lost"])
		self.assertEqual(account["before"] + account["arrived"], total)
		self.assertEqual((account["lost"], account["interrupted"]), ([], []))


class TestStrategies(Matrix):
	def test_plain(self):
		self.check(("--force-kill-timeout", GRACE), Expected(kills=2))

	@in_long_runs("test_no_wait_workers")
	def test_wait_workers(self):
		self.check(("--wait-workers",), Expected(kills=0))

	def test_no_wait_workers(self):
		self.check(("--no-wait-workers",), Expected(kills=0))

	@in_long_runs("test_plain")
	def test_suspend_rq(self):
		self.check(("--suspend-rq", "--force-kill-timeout", GRACE), Expected(kills=2))

	def test_rolling(self):
		self.check(("--rolling",), Expected(kills=0))


class TestRequeue(BenchTestCase):
	"""A job that ends only when it is let go, so that it outlasts any grace on any machine."""

	def test_a_killed_job_goes_back_to_its_queue_once_with_its_arguments(self):
		# Given a job that takes longer than it gets
		job = self.jobs.hold("long")
		# When the bench is restarted, and killed jobs are to go back
		options = ("--wait-workers", "--wait-workers-timeout", GRACE, "--on-timeout", "requeue", "--json")
		finished = self.run_command(*options)
		self.assertEqual(finished.code, 0, finished.text)
		# Then it is named and put back, and runs once more, to its end
		self.assertEqual(finished.report["requeued"], [job.id])
		eventually(lambda: job.starts == 2, "it has started again", deadline=PATIENCE)
		job.let_go()
		wait_until_at_rest(self.bench)
		self.assertEqual((job.starts, job.ends), (2, 1))
