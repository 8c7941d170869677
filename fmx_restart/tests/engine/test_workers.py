from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.engine.ports import HostProcess, LocalWorkers, Look, StartedJob, Worker, WorkerState
from fmx_restart.engine.workers import restless, running_jobs

NOW = 1_000_000.0


class TestWorkers(unittest.TestCase):
	def setUp(self):
		self.worker = Worker("w", "host-1", 10, ("short",), WorkerState.BUSY, "job-1", NOW - 100, NOW)
		self.started = StartedJob("job-1", "w", NOW + 90)

	def is_running(self, seen: Worker, local: LocalWorkers | None = None, **changes) -> bool:
		"""`changes` are those of its entry in the started registry."""
		entry = replace(self.started, **changes)
		local = local or LocalWorkers({"w": HostProcess(10, "#1")})
		return bool(running_jobs(Look(NOW, (seen,), {}, (entry,), None, local=local)))

	# who could take a job

	def test_only_suspended_workers_and_those_at_work_on_a_known_job_are_at_rest(self):
		# Given a worker in every state, with and without a job
		workers = [
			replace(self.worker, name=f"{state.value} {job_id}", state=state, job_id=job_id)
			for state in WorkerState
			for job_id in ("job-1", None)
		]
		# Then all others may still start one
		at_rest = {worker.name for worker in workers} - {worker.name for worker in restless(workers)}
		self.assertEqual(at_rest, {"suspended job-1", "suspended None", "busy job-1"})

	# which jobs run

	def test_a_job_of_a_live_busy_worker_runs(self):
		self.assertTrue(self.is_running(self.worker))

	def test_it_runs_even_after_rqs_expiry_because_the_worker_is_there(self):
		self.assertTrue(self.is_running(self.worker, expires=NOW - 1))

	def test_an_entry_that_a_worker_left_behind_does_not_run(self):
		for state in (WorkerState.IDLE, WorkerState.SUSPENDED):
			self.assertFalse(self.is_running(replace(self.worker, state=state)))

	def test_a_job_of_a_dead_worker_of_this_machine_does_not_run(self):
		self.assertFalse(self.is_running(self.worker, LocalWorkers(ended=frozenset("w"))))

	def test_a_job_of_a_worker_that_we_do_not_see_runs_until_the_worker_is_silent(self):
		self.assertTrue(self.is_running(self.worker, LocalWorkers()))
		self.assertFalse(self.is_running(self.worker, LocalWorkers(silent=frozenset("w"))))

	def test_a_job_whose_worker_nobody_knows_runs_until_rq_gives_it_up(self):
		for worker in ("gone", None):
			with self.subTest(worker=worker):
				self.assertTrue(self.is_running(self.worker, worker=worker))
				self.assertFalse(self.is_running(self.worker, worker=worker, expires=NOW))
