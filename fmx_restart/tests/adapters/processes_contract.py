"""What every process manager must do, whoever it is."""

from __future__ import annotations

import shlex
from typing import ClassVar

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Process, Processes, ProcessKind, ProcessState
from fmx_restart.engine.waiting import Patience, wait_until


def give(processes: Processes, **orders: list[str]) -> None:
	"""Raises the fault of an order that the manager would not follow."""
	for fault in processes.order(**orders).values():
		raise fault


class ProcessesContract:
	"""
	The setUp of each implementation gives `processes`, `clock` and the programs named below, all of them
	running but for CRASHING, which ends as soon as it is started. The others write "ready" into their log.
	"""

	WEB, SLOW, STUBBORN, CRASHING = "web:gunicorn", "workers:slow", "workers:stubborn", "workers:crashing"
	KINDS: ClassVar = {
		WEB: ProcessKind.WEB,
		SLOW: ProcessKind.WORKER,
		STUBBORN: ProcessKind.WORKER,
		CRASHING: ProcessKind.SCHEDULER,
	}

	NOBODY = "workers:nobody"
	POLL = 0.02  # seconds
	HAS_OWN_PIDS = True  # no two programs, and no two lives of one, have the same
	#: What its manager says of one that ends as soon as it is started
	CRASHED = "Exited too quickly"

	def group_of(self, name: str) -> str:
		return name.partition(":")[0]

	def look(self, name: str) -> Process:
		return {process.name: process for process in self.processes.list()}[name]

	def reach(self, name: str, state: ProcessState) -> Process:
		reached = wait_until(lambda: self.look(name).state is state, Patience(15, self.POLL), self.clock)
		self.assertTrue(reached, f"{self.look(name)} did not become {state.value}")
		return self.look(name)

	def stop_when_ready(self, name: str) -> None:
		self.assertTrue(wait_until(lambda: "ready" in self.log_of(name), Patience(15, self.POLL), self.clock))
		self.stop(name)

	def stop(self, name: str) -> None:
		give(self.processes, stop=[name])

	def start(self, name: str) -> None:
		give(self.processes, start=[name])

	def log_of(self, name: str) -> str:
		"""All of it, old and new."""
		raise NotImplementedError

	def end_from_outside(self, name: str) -> None:
		"""As an administrator's kill -9 does."""
		raise NotImplementedError

	def test_every_program_is_listed_with_its_kind(self):
		self.assertEqual({process.name: process.kind for process in self.processes.list()}, self.KINDS)

	def test_a_running_program_has_a_pid_and_a_start_time(self):
		web = self.reach(self.WEB, ProcessState.RUNNING)
		self.assertGreater(web.pid, 0)
		self.assertLess(abs(self.clock.time() - web.started), 60)
		self.assertEqual(web.detail, "")

	def test_the_end_of_its_log_is_shown_as_it_stands(self):
		self.assertTrue(
			wait_until(lambda: "ready" in self.log_of(self.WEB), Patience(15, self.POLL), self.clock)
		)
		tails = self.processes.log_tails(self.WEB, 3)
		self.assertEqual([line for tail in tails for line in tail.lines], ["ready"])
		self.assertEqual([tail.fault for tail in tails if tail.fault], [])
		self.assertFalse(any(tail.is_cut for tail in tails))
		with self.assertRaises(ProcessFault):
			self.processes.log_tails(self.NOBODY, 3)

	def test_an_order_to_stop_returns_before_the_program_has_stopped(self):
		# When a worker that takes its time is told to stop
		self.stop_when_ready(self.SLOW)
		# Then it is stopping, and later it is gone
		self.assertIs(self.look(self.SLOW).state, ProcessState.STOPPING)
		self.assertIsNone(self.reach(self.SLOW, ProcessState.STOPPED).pid)

	def test_a_restarted_program_is_another_process(self):
		# Given a running program
		before = self.reach(self.WEB, ProcessState.RUNNING)
		# When it is stopped and started
		self.stop_when_ready(self.WEB)
		self.assertEqual(self.reach(self.WEB, ProcessState.STOPPED).incarnation, "")
		self.start(self.WEB)
		# Then it runs again as a younger process
		after = self.reach(self.WEB, ProcessState.RUNNING)
		self.assertEqual(after.pid != before.pid, self.HAS_OWN_PIDS)
		self.assertFalse(after.is_same_as(before))
		self.assertTrue(after.is_same_as(self.look(self.WEB)))

	def test_starting_what_runs_leaves_it_alone(self):
		before = self.reach(self.WEB, ProcessState.RUNNING)
		self.start(self.WEB)
		self.assertEqual(self.look(self.WEB), before)

	def test_stopping_what_is_down_is_fine(self):
		self.stop_when_ready(self.WEB)
		self.reach(self.WEB, ProcessState.STOPPED)
		self.stop(self.WEB)
		self.assertIs(self.look(self.WEB).state, ProcessState.STOPPED)

	def test_starting_what_is_still_stopping_is_refused_rather_than_forgotten(self):
		# Given a worker that was told to stop and refuses
		self.stop_when_ready(self.STUBBORN)
		# When we start it all the same, then we are told
		with self.assertRaisesRegex(ProcessFault, "still stopping"):
			self.start(self.STUBBORN)

	def test_a_program_that_refuses_to_stop_is_stopped_once_it_is_killed(self):
		# Given a worker that was told to stop and refuses
		self.stop_when_ready(self.STUBBORN)
		self.clock.sleep(0.2)
		self.assertIs(self.look(self.STUBBORN).state, ProcessState.STOPPING)
		# When someone kills it
		self.end_from_outside(self.STUBBORN)
		# Then it counts as stopped, as it was told to
		self.reach(self.STUBBORN, ProcessState.STOPPED)

	def test_a_program_that_crashes_at_start_has_failed_and_says_why(self):
		self.start(self.CRASHING)
		crashed = self.reach(self.CRASHING, ProcessState.FAILED)
		self.assertIn(self.CRASHED, crashed.detail)
		self.assertIsNone(crashed.pid)

	def test_a_failed_program_can_be_told_to_stop(self):
		self.start(self.CRASHING)
		self.reach(self.CRASHING, ProcessState.FAILED)
		self.stop(self.CRASHING)
		self.assertNotIn(self.look(self.CRASHING).state, {ProcessState.RUNNING, ProcessState.STARTING})

	def test_a_program_belongs_to_a_group(self):
		groups = {process.name: process.group for process in self.processes.list()}
		self.assertEqual(groups, {name: self.group_of(name) for name in self.KINDS})

	def test_a_person_is_told_what_to_type(self):
		for command in (
			self.processes.start_command([self.WEB]),
			self.processes.status_command(),
			self.processes.setup_command(),
		):
			self.assertEqual(shlex.join(shlex.split(command)), command)
		self.assertIn(self.WEB, self.processes.start_command([self.WEB]))

	def test_its_settings_name_all_that_it_runs_on_this_machine(self):
		pids = {process.pid for process in self.processes.list() if process.pid}
		self.assertLessEqual(pids, self.processes.settings().pids)

	def test_orders_for_several_programs_are_given_at_once_and_each_refusal_is_told(self):
		# Given two running programs, one of which was told to stop and refuses
		self.stop_when_ready(self.STUBBORN)
		# When all are told something
		faults = self.processes.order(stop=[self.WEB], start=[self.STUBBORN, self.SLOW, self.NOBODY])
		# Then each order that could be followed is
		self.assertEqual(set(faults), {self.STUBBORN, self.NOBODY})
		self.assertIn("still stopping", str(faults[self.STUBBORN]))
		self.reach(self.WEB, ProcessState.STOPPED)
		self.assertIs(self.look(self.SLOW).state, ProcessState.RUNNING)

	def test_whoever_may_order_it_is_told_so_and_nothing_is_changed(self):
		before = self.processes.list()
		self.processes.check_orders([self.WEB, self.SLOW])
		self.assertEqual(self.processes.list(), before)

	def test_no_order_at_all_is_fine(self):
		self.assertEqual(self.processes.order(), {})

	def test_a_program_that_does_not_exist_cannot_be_told_anything(self):
		for order in (
			self.stop,
			self.start,
			self.processes.log_tail,
			self.processes.mark_log,
		):
			with self.subTest(order.__name__), self.assertRaises(ProcessFault):
				order(self.NOBODY)

	def test_the_start_command_names_each_program(self):
		words = shlex.split(self.processes.start_command([self.WEB, self.SLOW]))
		self.assertEqual(words[-3:], ["start", self.WEB, self.SLOW])

	def test_the_log_tail_holds_what_the_new_process_wrote_and_nothing_of_the_old_one(self):
		self.stop_when_ready(self.WEB)
		self.reach(self.WEB, ProcessState.STOPPED)
		# Given a log that nobody marked, and that was marked when its process had ended
		self.assertEqual(self.processes.log_tail(self.WEB), "")
		self.processes.mark_log(self.WEB)
		self.assertEqual(self.processes.log_tail(self.WEB), "")
		# When its successor writes the same
		self.start(self.WEB)
		self.reach(self.WEB, ProcessState.RUNNING)
		is_told = wait_until(lambda: self.processes.log_tail(self.WEB), Patience(15, self.POLL), self.clock)
		# Then that is told once
		self.assertTrue(is_told)
		self.assertEqual(self.processes.log_tail(self.WEB).count("ready"), 1)
		self.assertGreater(self.log_of(self.WEB).count("ready"), 1)

	def test_a_program_without_a_log_has_an_empty_tail(self):
		self.assertEqual(self.processes.log_tail(self.CRASHING), "")


class KillContract:
	"""Of managers whose processes may be another machine's, where nobody can signal them."""

	def test_one_that_refuses_to_stop_is_killed_and_counts_as_stopped(self):
		self.stop_when_ready(self.STUBBORN)
		self.assertEqual(self.processes.kill([self.STUBBORN]), {})
		self.assertIsNone(self.reach(self.STUBBORN, ProcessState.STOPPED).pid)
		self.start(self.STUBBORN)
		self.reach(self.STUBBORN, ProcessState.RUNNING)

	def test_killing_what_is_down_or_unknown_changes_nothing(self):
		self.stop_when_ready(self.WEB)
		self.reach(self.WEB, ProcessState.STOPPED)
		self.processes.kill([self.WEB])
		self.assertIs(self.look(self.WEB).state, ProcessState.STOPPED)
		self.assertEqual(set(self.processes.kill([self.NOBODY])), {self.NOBODY})
