"""The contract on the in-memory twin and on real supervisord, and what only supervisor can do wrong."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import unittest
from dataclasses import replace

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.supervisor.connection import SYSTEM_WIDE, Address, connect
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.adapters.benches import (
	Supervisord,
	free_port,
	group,
	make_bench,
	program,
	short_folder,
)
from fmx_restart.tests.adapters.processes_contract import KillContract, ProcessesContract, give
from fmx_restart.tests.adapters.waiting import eventually


class TestInMemoryProcesses(KillContract, ProcessesContract, unittest.TestCase):
	def setUp(self):
		self.clock = FakeClock()
		self.processes = InMemoryProcesses(
			self.clock,
			Program(self.WEB, ProcessKind.WEB, group="web", stop_takes=0.5, start_takes=1, log="ready"),
			Program(self.SLOW, ProcessKind.WORKER, group="workers", stop_takes=30, log="ready"),
			Program(self.STUBBORN, ProcessKind.WORKER, group="workers", refuses_to_stop=True, log="ready"),
			Program(
				self.CRASHING,
				ProcessKind.SCHEDULER,
				group="workers",
				crashes_at_start=True,
				state=ProcessState.STOPPED,
			),
		)

	def reach(self, name, state):
		self.clock.sleep(30)  # no time at all on this clock
		return super().reach(name, state)

	def end_from_outside(self, name):
		self.processes.end(name)

	def log_of(self, name):
		return self.processes[name].written

	def test_orders_are_remembered_in_order(self):
		self.processes.stop(self.WEB)
		self.processes.start(self.CRASHING)
		self.assertEqual(self.processes.orders, [("stop", self.WEB), ("start", self.CRASHING)])

	def test_a_kill_during_a_slow_stop_is_not_undone_by_the_stop_that_comes_later(self):
		# Given a worker that is stopping, is killed and is started again
		self.processes.stop(self.SLOW)
		self.processes.end(self.SLOW)
		self.processes.start(self.SLOW)
		# When the time of its slow stop comes
		self.clock.sleep(60)
		# Then the new process is untouched
		self.assertIs(self.look(self.SLOW).state, ProcessState.RUNNING)


class RealSupervisor(KillContract, ProcessesContract):
	def setUp(self):
		self.clock = SystemClock()
		self.bench = make_bench(short_folder(self))
		self.supervisord = self.make_supervisord()
		self.addCleanup(self.supervisord.stop)
		self.supervisord.start(self.address)
		self.processes = SupervisorProcesses(self.address, str(self.bench))
		self.addCleanup(self.processes.close)

	@property
	def address(self) -> Address:
		return self.supervisord.address

	def programs(self) -> str:
		bench = f"{self.bench}/env/bin/bench"
		settings = {"folder": self.bench / "sites", "startsecs": 0, "autorestart": "false"}
		return (
			program("gunicorn", f"{self.bench}/env/bin/gunicorn frappe.app:application waits", **settings)
			+ program("slow", f"{bench} worker --queue long slow", stopwaitsecs=60, **settings)
			+ program("stubborn", f"{bench} worker-pool refuses", stopwaitsecs=60, **settings)
			+ program(
				"crashing",
				f"{bench} schedule crashes",
				**{**settings, "startsecs": 10, "startretries": 0, "autostart": "false"},
			)
			+ group("web", "gunicorn")
			+ group("workers", "slow", "stubborn", "crashing")
		)

	def end_from_outside(self, name):
		os.kill(self.look(name).pid, signal.SIGKILL)

	def log_of(self, name):
		return connect(self.address).supervisor.tailProcessStdoutLog(name, 0, 10_000)[0]


class TestSupervisorOnAUnixSocket(RealSupervisor, unittest.TestCase):
	def make_supervisord(self) -> Supervisord:
		return Supervisord(self.bench, self.programs())

	def test_the_start_command_starts_a_stopped_program_wherever_it_is_typed(self):
		self.stop_when_ready(self.WEB)
		self.reach(self.WEB, ProcessState.STOPPED)
		program, *words = shlex.split(self.processes.start_command([self.WEB]))
		self.assertEqual(program, "supervisorctl")
		supervisorctl = [sys.executable, "-m", "supervisor.supervisorctl", *words]
		subprocess.run(supervisorctl, check=True, cwd="/", capture_output=True)
		self.reach(self.WEB, ProcessState.RUNNING)

	def test_a_system_wide_configuration_need_not_be_named(self):
		processes = SupervisorProcesses(replace(self.address, source=SYSTEM_WIDE[1]), str(self.bench))
		self.assertEqual(processes.start_command([self.WEB]), f"supervisorctl start {self.WEB}")


class TestSupervisorBehindAPassword(RealSupervisor, unittest.TestCase):
	def make_supervisord(self) -> Supervisord:
		port = free_port()
		self.login = Address(f"http://127.0.0.1:{port}", "frappe", "not telling")
		server = f"[inet_http_server]\nport = 127.0.0.1:{port}\nusername = frappe\npassword = not telling\n"
		return Supervisord(self.bench, self.programs(), server=server, url=self.login.url)

	@property
	def address(self) -> Address:
		return self.login

	def test_the_password_is_in_no_text_of_ours(self):
		# Given a wrong password
		processes = SupervisorProcesses(replace(self.login, password="secret guess"), str(self.bench))
		# When we are refused
		with self.assertRaises(ProcessFault) as caught:
			processes.list()
		# Then it says so without the password
		self.assertIn("401", str(caught.exception))
		self.assertNotIn("secret", f"{caught.exception} {caught.exception.hint} {processes.address}")

	def test_the_start_command_names_the_file_that_has_the_password(self):
		address = replace(self.login, source="/srv/bench/supervisord.conf")
		command = SupervisorProcesses(address, str(self.bench)).start_command([self.WEB])
		self.assertEqual(command, f"supervisorctl -c /srv/bench/supervisord.conf start {self.WEB}")


class TestWhatOnlySupervisorDoes(unittest.TestCase):
	def setUp(self):
		self.clock = SystemClock()
		self.bench = make_bench(short_folder(self))

	def run_programs(self, *programs: str) -> SupervisorProcesses:
		self.supervisord = Supervisord(self.bench, "".join(programs))
		self.addCleanup(self.supervisord.stop)
		self.supervisord.start()
		processes = SupervisorProcesses(self.supervisord.address, str(self.bench))
		self.addCleanup(processes.close)
		return processes

	def worker(self, behaviour: str, **settings: object) -> str:
		command = f"{self.bench}/env/bin/bench worker {behaviour}"
		return program("w", command, folder=self.bench, **{"startsecs": 0, **settings})

	def state(self, processes: SupervisorProcesses) -> ProcessState:
		return processes.list()[0].state

	def test_it_connects_again_after_supervisord_was_restarted(self):
		# Given a conversation with supervisord
		processes = self.run_programs(self.worker("waits"))
		before = processes.list()[0].pid
		# When supervisord is restarted
		self.supervisord.stop()
		self.supervisord.start()
		# Then the same object goes on with the new one
		self.assertNotEqual(processes.list()[0].pid, before)

	def test_a_supervisord_that_went_away_is_a_process_fault(self):
		processes = self.run_programs(self.worker("waits"))
		processes.list()
		self.supervisord.stop()
		for order in (
			processes.list,
			lambda: give(processes, stop=["w"]),
			lambda: give(processes, start=["w"]),
		):
			with self.assertRaisesRegex(ProcessFault, "did not answer"):
				order()

	def test_a_supervisord_that_hangs_is_given_up_after_the_timeout(self):
		# Given a socket on which nobody ever answers
		path = f"{self.bench}/hanging.sock"
		with socket.socket(socket.AF_UNIX) as server:
			server.bind(path)
			server.listen()
			# When we ask, then we are told soon
			processes = SupervisorProcesses(Address(f"unix://{path}"), str(self.bench), timeout=0.1)
			began = time.monotonic()
			with self.assertRaisesRegex(ProcessFault, "timed out"):
				processes.list()
			self.assertLess(time.monotonic() - began, 5)

	def test_a_program_between_two_attempts_says_so_and_stopping_it_ends_the_attempts(self):
		# Given a program that crashes at every start
		processes = self.run_programs(self.worker("crashes", startsecs=10, startretries=1000))
		eventually(lambda: self.state(processes) is ProcessState.RETRYING, "it waits for another attempt")
		self.assertIn("Exited too quickly", processes.list()[0].detail)
		# When it is stopped
		give(processes, stop=["w"])
		# Then it stays down (an attempt may just have begun, then it is stopped too)
		eventually(lambda: self.state(processes) is ProcessState.STOPPED, "it is stopped")

	def test_a_program_that_ended_as_it_may_has_exited(self):
		processes = self.run_programs(self.worker("ends", autorestart="unexpected"))
		eventually(lambda: self.state(processes) is ProcessState.EXITED, "it has exited")

	def test_a_program_that_ended_with_an_error_has_failed(self):
		processes = self.run_programs(self.worker("crashes", autorestart="false"))
		eventually(lambda: self.state(processes) is ProcessState.FAILED, "it has failed")
		self.assertIn("Bad exit code 1", processes.list()[0].detail)

	def test_a_program_whose_file_is_missing_cannot_be_started_and_we_are_told_why(self):
		command = f"{self.bench}/env/bin/missing frappe.app:application"
		processes = self.run_programs(program("w", command, folder=self.bench, autostart="false"))
		with self.assertRaisesRegex(ProcessFault, "missing") as caught:
			give(processes, start=["w"])
		self.assertIn("command", caught.exception.hint)

	def test_the_log_tail_is_the_end_of_a_long_log_without_colours_and_control_characters(self):
		# Given a program with a long log that holds what XML cannot carry
		processes = self.run_programs(self.worker("talks", autostart="false"))
		processes.mark_log("w")
		give(processes, start=["w"])
		tail = eventually(lambda: processes.log_tail("w"), "it has written")
		# Then we get the last 4 kB of it as plain text
		self.assertTrue(tail.endswith("xxthe last line"), tail[-30:])
		self.assertLessEqual(len(tail), 4096)

	def test_a_log_that_is_cut_inside_a_character_is_still_shown(self):
		processes = self.run_programs(self.worker("umlauts", autostart="false"))
		processes.mark_log("w")
		give(processes, start=["w"])
		tail = eventually(lambda: processes.log_tail("w"), "it has written")
		self.assertTrue(tail.endswith("\u00fcend"), tail[-30:])

	def test_a_program_that_was_added_meanwhile_is_seen(self):
		# Given one worker
		processes = self.run_programs(self.worker("waits"))
		self.assertEqual([process.name for process in processes.list()], ["w"])
		# When an administrator adds another
		config = self.supervisord.config
		config.write_text(config.read_text() + self.worker("waits").replace("program:w", "program:added"))
		server = connect(self.supervisord.address)
		server.supervisor.reloadConfig()
		server.supervisor.addProcessGroup("added")
		server("close")()
		# Then it is listed
		self.assertEqual({process.name for process in processes.list()}, {"w", "added"})
