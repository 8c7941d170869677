"""Workers in containers: all have pid 1, so a worker is known by its host name and its birth."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.engine.ports import Look, Process, ProcessKind, ProcessState, Worker, WorkerState
from fmx_restart.engine.workers import Locator, is_of, is_proved, live_workers, runners, running_jobs
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryHost

NOW, ENDED = 1_000_000.0, 999_000.0  # ENDED: when what the container ran before had ended


def container(host: str, **about: object) -> Process:
	fields = {"state": ProcessState.RUNNING, "pid": 4711, "host": host, "alone_since": ENDED, **about}
	return Process(host, ProcessKind.WORKER, **fields)


class TestContainers(unittest.TestCase):
	def setUp(self):
		self.host = InMemoryHost()
		self.worker = Worker("w", "c1", 1, ("short",), WorkerState.BUSY, "job-1", ENDED + 1, NOW)

	def look(self, *workers: Worker, managed: tuple[Process, ...] = ()) -> Look:
		locator = Locator(self.host, None, FakeClock())
		return locator.locate(Look(NOW, workers, {}, (), None), lambda: managed)

	def test_a_worker_belongs_to_the_container_with_its_host_name_whatever_its_pid(self):
		programs = [container("c1"), container("c2")]
		for pid in (1, 7, 4711):
			look = self.look(replace(self.worker, pid=pid), managed=tuple(programs))
			self.assertEqual(runners(programs, look, self.host), {"w": programs[0]})

	def test_one_that_was_born_before_the_container_was_started_again_is_none_of_it_and_has_ended(self):
		old, new = replace(self.worker, name="old", born=ENDED - 1), replace(self.worker, name="new")
		look = self.look(old, new, managed=(container("c1"),))
		self.assertEqual([worker.name for worker in live_workers(look)], ["new"])
		self.assertEqual([is_of(container("c1"), worker, look) for worker in (old, new)], [False, True])

	def test_the_job_of_a_container_that_is_down_does_not_run(self):
		for state in ProcessState:
			down = container("c1", state=state, pid=None)
			look = self.look(self.worker, managed=(down,))
			is_down = state in (ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED)
			self.assertEqual((live_workers(look) == [], running_jobs(look)), (is_down, []), state)

	def test_a_host_name_that_nothing_has_again_ends_what_was_born_there(self):
		later = container("c2", ended_hosts=("c0", "c1"))
		starting = container("", alone_since=None, pid=None, state=ProcessState.STARTING, ended_hosts=("c1",))
		for program in (later, starting):
			look = self.look(self.worker, replace(self.worker, name="other", host="c2"), managed=(program,))
			self.assertEqual([worker.name for worker in live_workers(look)], ["other"])
			self.assertEqual(running_jobs(look), [])

	def test_of_one_without_a_host_name_of_its_own_nothing_is_known(self):
		shared = container("c1", alone_since=None)
		look = self.look(self.worker, managed=(shared,))
		self.assertEqual((runners([shared], look, self.host), live_workers(look)), ({}, [self.worker]))
		self.assertFalse(is_proved(shared, look))

	def test_one_with_two_workers_is_no_worker_that_can_be_replaced_alone(self):
		look = self.look(self.worker, replace(self.worker, name="other"), managed=(container("c1"),))
		self.assertFalse(is_proved(container("c1"), look))
		self.assertTrue(is_proved(container("c1"), self.look(self.worker)))

	def test_where_a_record_does_not_tell_its_birth_the_worker_lives(self):
		look = self.look(replace(self.worker, born=0.0), managed=(container("c1"),))
		self.assertEqual(len(live_workers(look)), 1)
