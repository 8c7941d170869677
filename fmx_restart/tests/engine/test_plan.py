from __future__ import annotations

import unittest

from fmx_restart.engine.plan import elapsed, likely, longest, most_left, split_processes
from fmx_restart.engine.ports import Job, Process, ProcessKind, ProcessState

NOW = 1_000_000.0


def job(*, started: float | None = NOW, timeout: float | None = 300.0) -> Job:
	return Job("job-1", "one.localhost", "app.work", "short", started, timeout)


class TestPlan(unittest.TestCase):
	def test_only_what_somebody_stopped_on_purpose_is_left_alone(self):
		# Given a program in every state
		processes = [Process(state.value, ProcessKind.WORKER, state) for state in ProcessState]
		# When they are split
		restart, left_alone = split_processes(iter(processes))
		# Then those that failed are restarted too
		self.assertEqual([process.state for process in left_alone], [ProcessState.STOPPED])
		self.assertEqual(len(restart), len(ProcessState) - 1)

	def test_web_that_somebody_stopped_is_restarted_when_that_is_wanted_and_nothing_else_is(self):
		kinds = ProcessKind.WEB, ProcessKind.WORKER, ProcessKind.SOCKETIO
		processes = [Process(kind.value, kind, ProcessState.STOPPED) for kind in kinds]
		restart, left_alone = split_processes(processes, start_stopped_web=True)
		self.assertEqual([process.name for process in restart], ["web"])
		self.assertEqual([process.name for process in left_alone], ["worker", "socketio"])

	def test_a_job_has_its_limit_less_what_it_ran_already(self):
		self.assertEqual(most_left(job(started=NOW - 100), NOW), 200.0)

	def test_a_job_beyond_its_limit_has_nothing_left_and_never_less(self):
		self.assertEqual(most_left(job(started=NOW - 1000), NOW), 0.0)

	def test_a_job_that_has_not_started_has_all_its_time(self):
		self.assertEqual((elapsed(job(started=None), NOW), most_left(job(started=None), NOW)), (0.0, 300.0))

	def test_a_clock_that_is_behind_makes_no_negative_time(self):
		self.assertEqual(elapsed(job(started=NOW + 5), NOW), 0.0)

	def test_a_job_without_a_limit_has_no_bound(self):
		self.assertIsNone(most_left(job(timeout=None), NOW))

	def test_the_longest_wait_is_that_of_the_last_job(self):
		jobs = [job(timeout=300), job(timeout=1500), job(timeout=60)]
		self.assertEqual(longest(jobs, NOW), 1500.0)

	def test_without_jobs_there_is_nothing_to_wait_for(self):
		self.assertEqual(longest([], NOW), 0.0)

	def test_one_job_without_a_limit_makes_the_wait_unbounded(self):
		self.assertIsNone(longest([job(), job(timeout=None)], NOW))

	def test_the_likely_wait_is_what_its_like_took_less_what_it_ran_already(self):
		self.assertEqual(likely([job(started=NOW - 4)], {"app.work": 10.0}, NOW), 6.0)

	def test_nothing_is_guessed_of_an_unknown_job_or_of_one_that_takes_longer_than_usual(self):
		self.assertIsNone(likely([job()], {}, NOW))
		self.assertIsNone(likely([job(started=NOW - 11)], {"app.work": 10.0}, NOW))
