"""An operation under way, from another terminal: watched, stopped, let go on alone; and two at once."""

from __future__ import annotations

import json
import os
import signal

from fmx_restart.adapters.journal import crashed_operation_in
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command, Finished
from fmx_restart.tests.bench.support import BenchTestCase

BUSY, STOPPED = 75, 130  # exit codes


class ControlTest(BenchTestCase):
	def journal(self, operation: str):
		return self.bench.path / "logs" / "fmx_restart" / f"{operation}.jsonl"

	def wait_for_end(self, operation: str) -> Phase:
		journal = self.journal(operation)
		eventually(lambda: is_closed(journal), f"{operation} has an end", deadline=240)
		return crashed_operation_in(journal).phase

	def draining(self, *options: str) -> tuple[Command, str]:
		command = self.start("--wait-workers", "--json", *options)
		operation = command.wait_for_fact("OperationStarted")["operation"]
		command.wait_for_fact("StillRunning")
		return command, operation


class TestTwoAtOnce(ControlTest):
	def test_the_second_is_told_who_since_when_in_which_phase_and_how_to_attach(self):
		held, before = self.jobs.hold(), self.pids()
		command, operation = self.draining()
		second = self.run_command("--wait-workers")
		self.assertEqual(second.code, BUSY, second.text)
		self.assertRegex(
			second.errors,
			rf"{operation} by \S+@\S+, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \S+, waiting for running jobs \(pid \d+ on \S+\)",
		)
		for part in (
			"bench safe-restart attach",
			f"(pid {command.operation_pid()} on ",
			"Nothing was changed",
		):
			self.assertIn(part, second.errors)
		# And is refused before it lets go of its terminal, too
		detached = self.run_command("--wait-workers", "--detach")
		self.assertEqual(detached.code, BUSY, detached.text)
		# While the first goes on, with its lock and its fence
		self.assertIsNone(command.process.poll())
		keys = self.keys_of_ours()
		self.assertTrue(any(key.endswith(":lock") for key in keys), keys)
		self.assertIn("rq:suspended", keys)
		self.assert_nothing_restarted(before)
		status = self.run_command("status")
		self.assertIn(operation, status.output)
		# When someone cancels it
		cancelled = self.run_command("cancel")
		done = command.finish()
		# Then it is undone, and both are told
		self.assertEqual((cancelled.code, done.code), (0, STOPPED), cancelled.text + done.text)
		self.assertRegex(
			cancelled.output, r"Cancelled by \S+@\S+ during the wait for running jobs. Nothing was restarted"
		)
		self.assertEqual(done.report["outcome"], "Aborted")
		self.assertEqual(self.keys_of_ours(), [])
		self.assert_nothing_restarted(before)
		held.let_go()

	def test_there_is_nothing_to_cancel_or_to_recover_when_none_is_under_way(self):
		cancelled, recovered = self.run_command("cancel"), self.run_command("recover")
		self.assertEqual((cancelled.code, recovered.code), (0, 0))
		self.assertIn("there is nothing to cancel", cancelled.output)
		self.assertIn("Nothing to recover", recovered.output)


class TestDetached(ControlTest):
	def test_it_goes_on_without_its_terminal_and_another_one_can_watch_it(self):
		held, before = self.jobs.hold(), self.pids()
		# Given an operation that was let go
		started = self.run_command("--wait-workers", "--detach")
		self.assertEqual(started.code, 0, started.text)
		self.assertIn("continues in the background. Watch it: bench safe-restart attach", started.output)
		operation = crashed_operation_in(
			max((self.bench.path / "logs" / "fmx_restart").glob("*.jsonl"))
		).operation
		process = crashed_operation_in(self.journal(operation)).process
		# Then it has a session of its own, which no lost terminal ends
		self.assertEqual(os.getsid(process.pid), process.pid)
		# When another terminal attaches, leaves, and attaches again
		leaving = self.start("attach")
		leaving.wait_for_line("Waiting for 1 job")
		leaving.process.send_signal(signal.SIGINT)
		left = leaving.finish()
		self.assertEqual(left.code, STOPPED)
		self.assertIn(f"Operation {operation} continues", left.errors)
		# And when someone holds the queue meanwhile
		self.addCleanup(self.redis.delete, "rq:suspended", "rq:fmx:fence")
		holding = self.run_command("hold", "--for", "10m", "--owner", "pipeline", "--reason", "image")
		self.assertEqual(holding.code, 0, holding.text)
		self.assertIn("1 job still runs", holding.output)
		attached = self.start("attach")
		attached.wait_for_line("Waiting for 1 job")
		held.let_go()
		shown = attached.finish()
		# Then it has seen all of it, from the beginning to the end
		self.assertEqual(shown.code, 0, shown.text)
		self.assertIn(f"Operation {operation}: wait-workers", shown.output)
		self.assertIn(f"Operation {operation}: Done", shown.output)
		self.assertEqual(self.wait_for_end(operation), Phase.DONE)
		self.assert_restarted(before)
		# And the queue is still held, by nobody's process: a job waits until it is released
		self.assertRegex(shown.output, r"The queue stays held until .* by pipeline \(image\)\.\n")
		waiting = self.jobs.work("long")
		status = json.loads(self.run_command("status", "--json").output)
		self.assertEqual({worker["state"] for worker in status["workers"]}, {"suspended"}, status["workers"])
		self.assertEqual([hold["owner"] for hold in status["holds"]], ["pipeline"])
		self.assertEqual(waiting.starts, 0)
		released = self.run_command("release", "--owner", "pipeline")
		self.assertEqual((released.code, released.output.splitlines()[-1]), (0, "The queue is running."))
		self.assertEqual(waiting.wait_for_end().starts, 1)


class TestInterruptedTwice(ControlTest):
	def leave(self, command: Command) -> Finished:
		"""Ctrl-C until it is gone, as people do."""

		def interrupted() -> bool:
			command.process.send_signal(signal.SIGINT)
			return command.process.poll() is not None

		eventually(interrupted, "the command is gone")
		return command.finish()

	def test_during_the_restart_the_operation_finishes_what_it_began(self):
		command = self.start("--wait-workers", "--json")
		operation = command.wait_for_fact("OperationStarted")["operation"]
		command.wait_for_fact("ProcessDown")
		left = self.leave(command)
		self.assertEqual(left.code, STOPPED)
		self.assertIn(f"Operation {operation} was asked to stop and is still running", left.errors)
		self.assertEqual(self.wait_for_end(operation), Phase.DONE)
		self.assert_all_up_and_nothing_left()

	def test_during_the_drain_the_operation_undoes_it(self):
		held = self.jobs.hold()
		command, operation = self.draining()
		self.assertEqual(self.leave(command).code, STOPPED)
		self.assertEqual(self.wait_for_end(operation), Phase.ABORTED)
		self.assert_queue_moves()
		held.let_go()
		self.assert_all_up_and_nothing_left()

	def assert_all_up_and_nothing_left(self):
		eventually(lambda: not self.keys_of_ours(), "nothing of ours is left in Redis", deadline=30)
		eventually(lambda: all(self.pids().values()), "every program runs", deadline=60)
