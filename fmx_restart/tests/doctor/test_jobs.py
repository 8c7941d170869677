"""Jobs that got lost or are stuck, on a real Redis with real workers."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from threading import Timer

from fmx_restart.tests.adapters.rq_bench import SEPARATOR
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import DoctorTestCase

CHECKS = ("ghost-jobs", "stranded-jobs", "abandoned-jobs", "blocked-jobs", "endless-jobs")
UUID = "0b5f0f6e-6f0b-4f0a-9f64-0a2a3d5c7e11"


class TestJobs(DoctorTestCase):
	def ghost(self, id: str = f"one.localhost{SEPARATOR}{UUID}") -> str:
		"""As a worker leaves it that is stopped between its pop and the job's start."""
		job = self.rq.enqueue(id)
		self.admin.lrem(self.rq.queue("short").key, 0, job.id)
		return job.id

	def running(self, **given) -> int:
		"""The pid of a worker that runs a job now."""
		pid = self.rq.start_worker("short")
		self.rq.enqueue(f"one.localhost{SEPARATOR}{UUID}", waits=True, **given)
		eventually(lambda: any(job.worker for job in self.view().look.started), "the job runs")
		return pid

	def test_jobs_that_wait_or_run_are_fine(self):
		self.running()
		self.rq.enqueue("another", "default")
		self.assert_clean(CHECKS)

	def test_a_ghost_is_found_and_named_without_its_arguments(self):
		self.rq.enqueue("another")
		id = self.ghost()
		found = self.finding("ghost-jobs")
		self.assertIn(f"one.localhost / app.tasks.work ({id})", found.text)
		self.assertEqual((found.subject, found.fix), ("short", "put-back"))
		self.assert_clean(["blocked-jobs", "stranded-jobs", "abandoned-jobs"])

	def test_a_job_that_a_worker_pops_just_now_is_no_ghost(self):
		# Given a job in no list: its worker has popped it and not started it
		id = self.ghost()
		view = self.view()
		# When it starts between the two looks
		start = Timer(0.3, lambda: self.admin.lpush(self.rq.queue("short").key, id))
		start.start()
		self.addCleanup(start.join)
		self.assertEqual(view.lost_jobs.ghosts, ())

	def test_a_ghost_whose_name_is_used_again_and_again_blocks_its_successors(self):
		self.ghost(f"one.localhost{SEPARATOR}scheduled_job-app.tasks.hourly")
		self.assertIn("app.tasks.hourly", self.finding("blocked-jobs").text)

	def test_ghosts_of_another_bench_are_none_of_ours(self):
		job = self.rq.enqueue("one")
		self.admin.lrem(self.rq.queue("short").key, 0, job.id)
		self.admin.hset(job.key, "origin", "home-ben-bench:short")
		self.assert_clean(CHECKS)

	def test_one_in_the_intermediate_list_is_stranded(self):
		id = self.ghost()
		self.admin.lpush(self.rq.queue("short").key + ":intermediate", id)
		self.assertEqual(self.finding("stranded-jobs").fix, "put-back")
		self.assert_clean(["ghost-jobs"])

	def test_one_whose_worker_was_killed_is_abandoned_and_not_to_be_put_back(self):
		pid = self.running()
		self.rq.kill_worker(pid)
		found = self.finding("abandoned-jobs")
		self.assertIn("one.localhost / app.tasks.work", found.text)
		self.assertEqual(found.fix, "")

	def test_one_that_says_started_and_stands_nowhere_is_abandoned_too(self):
		id = self.ghost(f"one.localhost{SEPARATOR}nightly")
		self.admin.hset(f"rq:job:{id}", "status", "started")
		self.assertIn(id, self.finding("abandoned-jobs").text)
		self.assertEqual(self.finding("blocked-jobs").fix, "")

	def test_one_far_beyond_its_limit_is_found(self):
		self.running()
		at = datetime.now(timezone.utc) - timedelta(minutes=10)
		self.admin.hset(f"rq:job:one.localhost{SEPARATOR}{UUID}", "started_at", f"{at:%Y-%m-%dT%H:%M:%S.%fZ}")
		self.assertIn("its limit is 5 min", self.finding("endless-jobs").text)

	def test_what_it_found_holds_no_arguments(self):
		id = self.ghost()
		self.rq.enqueue("secretive", kwargs={"password": "hunter2"})
		self.assertNotIn("hunter2", str(self.examine().as_dict()))
		self.assertIn(id, str(self.examine().as_dict()))
