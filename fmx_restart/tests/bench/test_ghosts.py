"""Jobs whose hash says queued while no list holds them (rq #2236): ours are put back, older ones are reported."""

from __future__ import annotations

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.real_jobs import TestJob
from fmx_restart.tests.bench.support import BenchTestCase


class TestGhosts(BenchTestCase):
	def make_a_ghost(self, job: TestJob) -> TestJob:
		"""As a worker does that dies between its pop and the job's start."""
		(queue,) = [key for key in self.redis.smembers("rq:queues") if self.redis.lrem(key, 0, job.id)]
		self.assertTrue(queue.endswith(":default"))
		return job

	def test_one_that_was_lost_meanwhile_is_put_back_and_runs_once_and_an_older_one_is_reported(self):
		# Given a job that was lost long before, while both workers are at work
		held = [self.jobs.hold("long"), self.jobs.hold("short")]  # one worker takes no long ones
		older = self.make_a_ghost(self.jobs.work("default"))
		before = self.jobs.work("default")
		# When one that waited and one that arrives are lost while the operation waits
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		lost = [self.make_a_ghost(before), self.make_a_ghost(self.jobs.work("default"))]
		for job in held:
			job.let_go()
		done = command.finish()
		# Then those two are back in their queue and run once
		self.assertEqual((done.code, done.report["outcome"]), (0, "Done"), done.text)
		(put_back,) = [fact["ids"] for fact in done.facts if fact["event"] == "JobsPutBack"]
		self.assertEqual(set(put_back), {job.id for job in lost})
		self.assertEqual([job.wait_for_end().starts for job in lost], [1, 1])
		# And the older one is told and not touched
		account = done.report["account"]
		self.assertEqual((account["requeued"], account["lost"], account["older_ghosts"]), (2, [], 1))
		self.assertEqual((self.redis.hget(f"rq:job:{older.id}", "status"), older.starts), ("queued", 0))
		self.redis.delete(f"rq:job:{older.id}")
		eventually(lambda: self.jobs.work().wait_for_end(), "the queue is running")
		self.assertEqual([job.starts for job in lost], [1, 1])
