from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.adapters.in_memory.host import InMemoryHost
from fmx_restart.engine.ports import Look, StartedJob, Worker, WorkerState
from fmx_restart.engine.workers import SILENCE, live_workers, locate, restless, running_jobs

NOW = 1_000_000.0
HERE, ELSEWHERE = "host-1", "host-2"


class TestWorkers(unittest.TestCase):
	def setUp(self):
		self.host = InMemoryHost(HERE)
		self.host.add(10)
		self.worker = Worker("w", HERE, 10, ("short",), WorkerState.BUSY, "job-1", NOW - 100, NOW)
		self.started = StartedJob("job-1", "w", NOW + 90)

	def look(self, *workers: Worker, started: tuple[StartedJob, ...] = ()) -> Look:
		return locate(Look(NOW, workers, {}, started, None), self.host)

	def is_live(self, **changes) -> bool:
		return bool(live_workers(self.look(replace(self.worker, **changes))))

	def is_running(self, seen: Worker, **changes) -> bool:
		"""`changes` are those of its entry in the started registry."""
		entry = replace(self.started, **changes)
		return bool(running_jobs(self.look(seen, started=(entry,))))

	# who is alive

	def test_on_this_machine_the_process_table_tells_and_not_the_heartbeat(self):
		self.assertTrue(self.is_live(heartbeat=0.0))
		self.assertFalse(self.is_live(pid=11, heartbeat=NOW))

	def test_a_younger_process_with_its_pid_is_not_the_worker(self):
		# Given a record that outlived a reboot, and a process that was given the worker's pid since
		self.host.add(10, created=NOW - 50)
		record = {"born": NOW - 1000, "heartbeat": NOW - 500}
		self.assertFalse(self.is_live(**record))
		# But one that has given a sign of life since that process began is that process
		self.assertTrue(self.is_live(born=NOW - 1000, heartbeat=NOW - 10))
		self.assertTrue(self.is_live(born=NOW - 49, heartbeat=0.0))

	def test_elsewhere_the_heartbeat_tells_by_how_often_rq_beats_in_that_state(self):
		for state, silence in SILENCE.items():
			with self.subTest(state=state):
				self.assertTrue(self.is_live(host=ELSEWHERE, state=state, heartbeat=NOW - silence))
				self.assertFalse(self.is_live(host=ELSEWHERE, state=state, heartbeat=NOW - silence - 1))

	def test_every_state_has_its_silence(self):
		self.assertEqual(SILENCE.keys(), set(WorkerState))

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
		self.assertFalse(self.is_running(replace(self.worker, pid=11)))

	def test_a_job_of_a_silent_worker_elsewhere_does_not_run(self):
		self.assertFalse(self.is_running(replace(self.worker, host=ELSEWHERE, heartbeat=NOW - 1000)))

	def test_a_job_whose_worker_nobody_knows_runs_until_rq_gives_it_up(self):
		for worker in ("gone", None):
			with self.subTest(worker=worker):
				self.assertTrue(self.is_running(self.worker, worker=worker))
				self.assertFalse(self.is_running(self.worker, worker=worker, expires=NOW))
