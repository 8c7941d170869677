"""Queues that fill, on a real Redis."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone

from fmx_restart.adapters.redis_queue.look import SAMPLE
from fmx_restart.tests.doctor.support import DoctorTestCase

CHECKS = ("queue-near-limit", "long-wait", "overdue-jobs")


class TestQueues(DoctorTestCase):
	def test_jobs_that_just_wait_are_fine(self):
		self.ways["queue_limit"] = lambda: 10
		for number in range(5):
			self.rq.enqueue(f"one-{number}")
		self.assert_clean(CHECKS)

	def test_a_queue_near_its_limit_is_a_warning_and_a_full_one_is_an_error(self):
		self.ways["queue_limit"] = lambda: 5
		for number in range(4):
			self.rq.enqueue(f"one-{number}")
		self.assertEqual(self.finding("queue-near-limit").severity, "warning")
		self.rq.enqueue("one-4")
		self.assertEqual(self.finding("queue-near-limit").severity, "error")

	def test_a_queues_name_that_others_chose_is_safe_to_paste(self):
		# Given a queue that someone with access to this Redis made
		self.ways["queue_limit"] = lambda: 1
		job = self.rq.enqueue("one", "x; $(id)")
		self.admin.hset(job.key, "enqueued_at", "2020-01-01T00:00:00.000000Z")
		for check in ("queue-near-limit", "long-wait"):
			self.assertIn("--queue 'x; $(id)'", self.finding(check).remedy)

	def test_the_oldest_job_is_found_behind_one_that_was_put_at_the_front(self):
		old = self.rq.enqueue("old")
		at = datetime.now(timezone.utc) - timedelta(hours=3)
		self.admin.hset(old.key, "enqueued_at", f"{at:%Y-%m-%dT%H:%M:%S.%fZ}")
		self.admin.lpush(self.rq.queue("short").key, self.rq.enqueue("new", "default").id)
		self.assertIn("3 h", self.finding("long-wait").text)

	def test_a_retry_with_a_pause_that_nobody_enqueues_is_found_when_its_time_has_passed(self):
		job = self.rq.enqueue("one")
		job.retries_left, job.retry_intervals = 1, [60]
		queue = self.rq.queue("short")
		registry = queue.scheduled_job_registry
		registry.schedule(job, datetime.now(timezone.utc) + timedelta(seconds=60))
		self.assert_clean(["overdue-jobs"])
		self.admin.zadd(registry.key, {job.id: time.time() - 600})
		self.assertEqual(self.finding("overdue-jobs").subject, "short")

	def test_of_a_long_queue_only_a_sample_is_looked_at_and_it_goes_from_the_front_to_the_back(self):
		# Given a queue whose methods change half-way
		for number in range(SAMPLE + 100):
			self.rq.enqueue(f"job-{number}", method="app.first" if number < SAMPLE / 2 + 50 else "app.second")
		# When it is surveyed
		(queue,) = self.view().surveys
		# Then not every job was looked at, and both halves are told as often
		self.assertEqual((queue.pending, queue.sample), (SAMPLE + 100, SAMPLE))
		counts = {method.name: method.jobs for method in queue.methods}
		self.assertEqual(counts.keys(), {"app.first", "app.second"})
		self.assertAlmostEqual(counts["app.first"], counts["app.second"], delta=2)

	def test_a_job_with_very_large_arguments_is_counted_and_not_read(self):
		self.rq.enqueue("large", kwargs={"content": os.urandom(100_000)})
		(queue,) = self.view().surveys
		self.assertEqual([(method.name, method.jobs) for method in queue.methods], [("unknown", 1)])

	def test_nothing_moves_while_the_doctor_looks(self):
		"""rq's own registries move overdue entries whenever they are counted."""
		job = self.rq.enqueue("one")
		self.admin.lrem(self.rq.queue("short").key, 0, job.id)
		self.admin.zadd("rq:wip:" + self.rq.queue("short").name, {job.id: 1})
		self.admin.hset(job.key, "status", "started")
		before = {key: self.admin.dump(key) for key in self.admin.scan_iter()}
		self.examine()
		self.assertEqual({key: self.admin.dump(key) for key in self.admin.scan_iter()}, before)
