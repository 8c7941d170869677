"""Where a worker is: host names, pids and clocks that deceive."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.engine.ports import Likeness, Look, Process, ProcessKind, ProcessState, Worker, WorkerState
from fmx_restart.engine.workers import ASK_AGAIN, SILENCE, Locator
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryHost
from fmx_restart.testing.queue import InMemoryQueue

NOW = 1_000_000.0
HERE, ELSEWHERE = "host-1", "host-2"
HOUR = 3600.0


class LocatorCase(unittest.TestCase):
	def setUp(self):
		self.host, self.clock = InMemoryHost(HERE), FakeClock()
		self.host.has_unseen_clients = lambda: True
		self.queue = InMemoryQueue(self.clock)
		self.locator = Locator(self.host, self.queue, self.clock)
		self.worker = Worker("w", HERE, 10, ("short",), WorkerState.IDLE, None, NOW - 100, NOW, expires=400.0)
		self.managed: list[Process] = []

	def manages(self, pid: int) -> None:
		self.managed.append(Process("workers:a", ProcessKind.OTHER, ProcessState.RUNNING, pid))

	def sees_everybody(self) -> None:
		"""Whoever is connected to Redis."""
		self.host.has_unseen_clients = lambda: False

	def where(self, *workers: Worker) -> str:
		"""Of the first one."""
		workers = workers or (self.worker,)
		look = self.locator.locate(Look(NOW, workers, {}, (), None), lambda: self.managed)
		first, local = workers[0], look.local
		self.assertEqual(first in local, first.name in local.running or first.name in local.ended)
		for place in ("running", "ended", "silent"):
			if first.name in getattr(local, place):
				return place
		return "elsewhere"


class TestRunning(LocatorCase):
	"""What the process is decides, and neither its age nor the record's."""

	def test_a_process_that_runs_a_worker_of_this_bench_is_the_one_of_the_record(self):
		self.host.add(10)
		self.assertEqual(self.where(), "running")

	def test_no_clock_takes_part(self):
		self.host.add(10)
		for born, heartbeat in ((NOW + HOUR, NOW + HOUR), (NOW - HOUR, NOW - HOUR), (0.0, 0.0)):
			with self.subTest(born=born):
				self.assertEqual(self.where(replace(self.worker, born=born, heartbeat=heartbeat)), "running")

	def test_any_other_process_with_its_pid_is_not(self):
		for likeness in (Likeness.NONE, Likeness.BENCH):
			with self.subTest(likeness):
				self.host.add(10, likeness=likeness)
				self.assertEqual(self.where(), "elsewhere")

	def test_a_process_whose_title_names_another_worker_is_not_and_one_that_names_it_is(
		self,
	):
		self.host.add(10, title="another")
		self.assertEqual(self.where(), "elsewhere")
		self.host.add(10, title="w")
		self.assertEqual(self.where(), "running")
		self.manages(10)
		self.assertEqual(self.where(replace(self.worker, host=ELSEWHERE)), "running")

	def test_a_companion_is_known_by_the_managers_word_and_our_host_name_together(self):
		# Given a child that gunicorn forked: its command is gunicorn's
		self.host.add(5, likeness=Likeness.BENCH)
		self.host.add(10, parent=5, likeness=Likeness.BENCH)
		self.assertEqual(self.where(), "elsewhere")
		self.manages(5)
		self.assertEqual(self.where(), "running")
		self.assertEqual(self.where(replace(self.worker, name="far", host=ELSEWHERE)), "elsewhere")

	def test_whose_command_says_nothing_is_marked(self):
		self.manages(5)
		self.host.add(5, likeness=Likeness.BENCH)
		self.host.add(10, parent=5, likeness=Likeness.BENCH)
		self.host.add(11)
		workers = (self.worker, replace(self.worker, name="plain", pid=11))
		local = self.locator.locate(Look(NOW, workers, {}, (), None), lambda: self.managed).local
		self.assertEqual((set(local.running), local.companions), ({"w", "plain"}, {"w"}))

	def test_after_a_new_host_name_the_manager_tells_whose_a_worker_is(self):
		renamed = replace(self.worker, host="old-name")
		self.host.add(10)
		self.assertEqual(self.where(renamed), "elsewhere")
		self.manages(10)
		self.assertEqual(self.where(renamed), "running")

	def test_a_worker_of_another_host_with_a_pid_that_is_in_use_here_is_not_ours(self):
		# Given our worker, and one of another host with the same pid, as containers give them
		self.host.add(10)
		self.manages(10)
		far = replace(self.worker, name="far", host=ELSEWHERE, born=NOW)
		self.assertEqual(self.where(far, self.worker), "elsewhere")
		self.assertEqual(self.where(self.worker, far), "running")

	def doubtful(self, *workers: Worker) -> set[str]:
		return set(self.locator.locate(Look(NOW, workers, {}, (), None)).local.doubtful)

	def test_of_two_records_with_one_host_name_and_pid_the_younger_has_the_process_and_is_doubtful(self):
		newer = replace(self.worker, name="newer", born=NOW)
		for workers in ((newer, self.worker), (self.worker, newer)):
			self.setUp()
			self.host.add(10)
			self.assertEqual(self.doubtful(*workers), {"newer"})
			self.assertEqual(self.doubtful(*workers), {"newer"})  # to have seen it so before is no proof
			self.assertEqual(self.where(newer, self.worker), "running")
			self.assertEqual(self.where(self.worker, newer), "elsewhere")

	def test_the_one_that_we_saw_before_the_other_was_there_has_it_without_doubt(self):
		self.host.add(10)
		self.where()
		newer = replace(self.worker, name="newer", born=NOW)
		self.assertEqual(self.doubtful(newer, self.worker), set())
		self.assertEqual(self.where(self.worker, newer), "running")

	def test_a_record_that_a_dead_worker_left_raises_no_doubt_once_its_end_is_known(self):
		# Given a worker that has the pid of one that died with its container, and the record of that
		self.host.add(10)
		newer = replace(self.worker, name="newer", born=NOW)
		self.sees_everybody()
		self.assertEqual(self.doubtful(newer, self.worker), {"newer"})
		self.assertEqual(self.where(self.worker, newer), "ended")
		self.assertEqual(self.doubtful(newer, self.worker), set())

	def test_but_the_one_that_the_title_names_before_it(self):
		self.host.add(10, title="w")
		self.assertEqual(self.where(self.worker, replace(self.worker, name="newer", born=NOW)), "running")

	def test_a_record_without_a_pid_is_of_no_process(self):
		self.assertEqual(self.where(replace(self.worker, pid=0)), "elsewhere")


class TestEnded(LocatorCase):
	def test_one_that_we_saw_and_that_is_gone_has_ended_at_once(self):
		self.host.add(10)
		self.where()
		self.host.remove(10)
		self.assertEqual([self.where(), self.where()], ["ended", "ended"])

	def test_no_process_with_its_pid_alone_proves_nothing(self):
		"""It may have that pid in another namespace, with our host name."""
		self.assertEqual(self.where(), "elsewhere")

	def test_one_that_was_gone_before_we_looked_has_ended_where_we_see_everybody_who_is_connected_to_redis(
		self,
	):
		self.sees_everybody()
		self.assertEqual([self.where(), self.where()], ["ended", "ended"])

	def test_but_not_right_after_a_restart_of_redis_or_where_nobody_knows_where_that_is(self):
		self.sees_everybody()
		self.queue.address = ""
		self.assertEqual(self.where(), "elsewhere")

	def test_of_another_host_nothing_is_proved(self):
		self.sees_everybody()
		self.assertEqual(self.where(replace(self.worker, host=ELSEWHERE)), "elsewhere")

	def test_who_is_connected_is_not_asked_at_every_look(self):
		asked: list[float] = []
		self.host.has_unseen_clients = lambda: asked.append(self.clock.now()) or True
		for _ in range(4):
			self.where()
			self.clock.sleep(ASK_AGAIN / 2)
		self.assertEqual(asked, [0.0, ASK_AGAIN])

	def test_one_that_beats_after_its_process_was_gone_lives_where_we_do_not_see_it(self):
		self.host.add(10)
		self.where()
		self.host.remove(10)
		# Given a heartbeat that came between our last look and its end
		last = replace(self.worker, heartbeat=NOW + 1)
		self.assertEqual([self.where(last), self.where(last)], ["ended", "ended"])
		# When another one comes
		self.assertEqual(self.where(replace(self.worker, heartbeat=NOW + 2)), "elsewhere")

	def test_a_pid_that_another_process_has_by_now_does_not_bring_it_back(self):
		self.host.add(10)
		self.where()
		self.host.add(10, likeness=Likeness.NONE)
		self.assertEqual(self.where(), "ended")


class TestElsewhere(LocatorCase):
	def test_it_lives_as_long_as_redis_keeps_its_record_whatever_its_clock_says(self):
		for state in WorkerState:
			far = replace(self.worker, host=ELSEWHERE, state=state, heartbeat=NOW - 24 * HOUR, expires=0.5)
			with self.subTest(state):
				self.assertEqual(self.where(far), "elsewhere")

	def test_one_whose_record_does_not_expire_is_silent_by_how_often_rq_beats_in_that_state(self):
		for state, silence in SILENCE.items():
			far = replace(self.worker, name=state.value, host=ELSEWHERE, state=state, expires=None)
			with self.subTest(state):
				self.assertEqual(self.where(replace(far, heartbeat=NOW - silence)), "elsewhere")
				self.assertEqual(self.where(replace(far, heartbeat=NOW - silence - 1)), "silent")

	def test_one_whose_heartbeat_cannot_be_read_is_never_silent(self):
		"""Nothing tells that it is gone, so a drain must not believe that it is."""
		for is_recorded in (True, False):
			odd = replace(self.worker, host=ELSEWHERE, heartbeat=0.0, expires=None, is_recorded=is_recorded)
			self.assertEqual(self.where(odd), "elsewhere")
			self.clock.sleep(HOUR)
			self.assertEqual(self.where(odd), "elsewhere")

	def test_one_that_redis_forgot_is_silent_when_nothing_was_heard_of_it_since_we_looked_first(self):
		lost = replace(
			self.worker,
			host=ELSEWHERE,
			state=WorkerState.BUSY,
			heartbeat=NOW - HOUR,
			expires=None,
			is_recorded=False,
		)
		self.assertEqual(self.where(lost), "elsewhere")
		self.clock.sleep(SILENCE[WorkerState.BUSY])
		self.assertEqual(self.where(lost), "elsewhere")
		self.clock.sleep(1)
		self.assertEqual(self.where(lost), "silent")
		self.assertEqual(self.where(replace(lost, heartbeat=NOW)), "elsewhere")

	def test_every_state_has_its_silence(self):
		self.assertEqual(SILENCE.keys(), set(WorkerState))


if __name__ == "__main__":
	unittest.main()
