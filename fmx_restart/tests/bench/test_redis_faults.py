"""Redis is restarted, loses its data, hangs, or is full while the bench is restarted: by real workers on the real one."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import ClassVar

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Command, Finished
from fmx_restart.tests.bench.crashes import end_guardian
from fmx_restart.tests.bench.redis_program import RedisProgram
from fmx_restart.tests.bench.support import BenchTestCase

WRONG_ENVIRONMENT = 7  # exit code
OUTAGE = 10.0  # seconds
FRESH = 28_000  # milliseconds that a fence of 30 s has left more than a second after its renewal, before the next one


class RedisFaultCase(BenchTestCase):
	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.server = RedisProgram(cls.bench)
		cls.before = cls.pids_but_redis()

	@classmethod
	def pids_but_redis(cls) -> dict[str, int]:
		return {name: pid for name, pid in cls.pids().items() if name != cls.server.name}

	@classmethod
	def draining(cls) -> Command:
		"""An operation that waits for a job, all idle workers parked."""
		command = cls.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		return command

	def assert_done(self, done: Finished) -> None:
		"""Nothing of ours is left, every process is up and a new one, and the queue is running."""
		self.assertEqual((done.code, done.report["outcome"]), (0, "Done"), done.text)
		self.assert_in_service(done)

	def assert_in_service(self, done: Finished) -> None:
		self.assertEqual(done.report["account"]["lost"], [])
		self.assert_restarted(self.before)
		self.assertEqual(self.keys_of_ours(), [])
		self.assert_queue_moves()

	def assert_ran_once(self, *jobs) -> None:
		for job in jobs:
			job.wait_for_end()
		self.assertEqual([(job.starts, job.ends) for job in jobs], [(1, 1)] * len(jobs))


class ThreeRestarts:
	"""One restart of the bench in which Redis is restarted three times: in Park, in the drain, and in Restart."""

	ends: ClassVar[tuple[int, str | None]] = (0, None)  # exit code and kind of failure

	@classmethod
	def restart_redis(cls) -> None:
		raise NotImplementedError

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		# Given a job that runs, and a worker that takes no wake-up for a while, as if it hung
		cls.held = cls.jobs.hold("short")
		hung = cls.idle_worker()
		cls.addClassCleanup(go_on, hung)
		os.kill(hung, signal.SIGSTOP)
		# When Redis is restarted while that worker is waited for
		command = cls.start("--wait-workers", "--json")
		command.wait_for_fact("PhaseEntered", phase="Park")
		cls.restart_redis()
		os.kill(hung, signal.SIGCONT)
		# And while the job is waited for, and jobs arrive
		command.wait_for_fact("StillRunning")
		cls.waiting = [cls.jobs.work(queue) for queue in ("short", "long")]
		cls.restart_redis()
		eventually(lambda: cls.redis.exists("rq:suspended"), "the fence stands")
		cls.during_drain = cls.pids_but_redis()
		cls.arrived = cls.jobs.work("long")
		cls.held.let_go()
		# And when the first processes are told to stop
		command.wait_for_fact("ProcessStopping")
		cls.restart_redis()
		cls.arrived_later = [cls.jobs.work(queue) for queue in ("short", "long", "default")]
		cls.done = command.finish()

	@classmethod
	def idle_worker(cls) -> int:
		workers = [cls.redis.hmget(key, "pid", "state") for key in cls.redis.smembers("rq:workers")]
		(pid,) = {int(pid) for pid, state in workers if state == "idle"} & set(cls.before.values())
		return pid

	def test_every_process_is_a_new_one_and_the_end_is_known(self):
		self.assertEqual((self.done.code, (self.done.report["failure"] or {}).get("type")), self.ends)
		self.assert_in_service(self.done)

	def test_the_running_job_was_waited_for_and_not_killed(self):
		self.assert_ran_once(self.held)
		untouched = {n: pid for n, pid in self.during_drain.items() if self.is_no_worker(n)}
		self.assertEqual(untouched, {n: pid for n, pid in self.before.items() if self.is_no_worker(n)})

	@staticmethod
	def is_no_worker(name: str) -> bool:
		"""RQ's workers leave by themselves when Redis is gone while they look at the suspension; supervisor brings them back."""
		return "-worker-" not in name

	def test_every_job_that_redis_has_runs_once(self):
		self.assert_ran_once(*self.arrived_later)


class TestRestarted(ThreeRestarts, RedisFaultCase):
	@classmethod
	def restart_redis(cls) -> None:
		cls.server.restart()

	def test_no_job_is_lost_or_run_twice(self):
		self.assert_ran_once(*self.waiting, self.arrived)


class TestRestartedWithoutData(ThreeRestarts, RedisFaultCase):
	# the fence is lost with the data: jobs may have started while workers were replaced
	ends = (
		4,
		"FenceFault",
	)

	@classmethod
	def restart_redis(cls) -> None:
		cls.server.restart_without_data()

	def test_no_job_is_lost_by_us_or_run_twice(self):
		self.assertEqual(self.done.report["account"]["lost"], [])
		starts = [job.starts for job in (*self.waiting, self.arrived)]
		self.assertLessEqual(set(starts), {0, 1})


class TestDataLost(RedisFaultCase):
	def test_what_had_waited_is_counted_as_gone_with_redis_data_and_not_as_lost_or_removed(self):
		# Given jobs that run and jobs that wait, when Redis loses all its data
		held = [self.jobs.hold("long"), self.jobs.hold("short")]  # one worker takes no long ones
		waiting = [self.jobs.work(queue) for queue in ("short", "long", "default")]
		command = self.draining()
		self.redis.flushall()
		for job in held:
			job.let_go()
		done = command.finish()
		# Then those that ran have ended, and the others are told as what they are
		self.assert_done(done)
		self.assert_ran_once(*held)
		account = done.report["account"]
		self.assertEqual(sorted(account["gone"]), sorted(job.id for job in waiting))
		self.assertEqual((account["finished"], account["removed"]), (2, 0))


def go_on(pid: int) -> None:
	with suppress(ProcessLookupError):
		os.kill(pid, signal.SIGCONT)


class TestHangs(RedisFaultCase):
	def test_before_the_first_change_it_is_refused_and_nobody_waits_for_ever(self):
		with self.server.stopped():
			done = self.run_command("--wait-workers")
		self.assertEqual(done.code, WRONG_ENVIRONMENT, done.text)
		self.assertIn("Redis does not answer", done.errors)
		self.assertEqual(self.pids_but_redis(), self.before)
		self.assertEqual(self.keys_of_ours(), [])

	def test_recover_starts_what_is_down_all_the_same(self):
		# Given an operation that died while processes were down, and its guardian with it
		command = self.start("--wait-workers", "--json")
		operation = command.wait_for_fact("OperationStarted")["operation"]
		command.wait_for_fact("ProcessDown")
		end_guardian(operation)
		command.kill_operation()
		eventually(lambda: 0 in self.pids().values(), "a process is down, and nobody starts it")
		# When it is put right while Redis hangs
		with self.server.stopped():
			asked = self.run_command("recover")
			eventually(lambda: 0 not in self.pids().values(), "every process runs")
		# Then it is said what is missing, and the next one finishes it
		self.assertEqual(asked.code, WRONG_ENVIRONMENT, asked.text)
		self.assertIn("Redis does not answer", asked.errors)
		done = self.run_command("recover")
		self.assertEqual(done.code, 0, done.text)
		self.assertEqual(self.keys_of_ours(), [])
		self.assert_queue_moves()


class TestFull(RedisFaultCase):
	def test_before_the_first_change_it_is_refused_and_said_why(self):
		with self.server.full():
			done = self.run_command("--wait-workers")
		self.assertEqual(done.code, WRONG_ENVIRONMENT, done.text)
		self.assertIn("Redis refuses to write (OOM)", done.errors)
		self.assertIn("maxmemory", done.errors)
		self.assertEqual(self.pids_but_redis(), self.before)
		self.assertEqual(self.keys_of_ours(), [])

	def test_during_the_drain_lock_and_fence_stand_and_the_restart_ends_well_though_redis_hangs_afterwards(
		self,
	):
		held = self.jobs.hold("short")
		command = self.draining()
		# When Redis is full for a while
		with self.server.full():
			eventually(lambda: self.redis.pttl("rq:suspended") < FRESH, "it is due to be renewed")
			eventually(lambda: self.redis.pttl("rq:suspended") > FRESH, "the fence was renewed")
		self.assertNotIn("FenceLapsed", "".join(command.lines))
		# And hangs for a while
		waiting = self.jobs.work("long")
		with self.server.stopped():
			time.sleep(OUTAGE)  # that is what is tried
		held.let_go()
		done = command.finish()
		# Then all is done, and the second was told
		self.assert_done(done)
		self.assertIn("QueueAway", {fact["event"] for fact in done.facts})
		self.assert_ran_once(held, waiting)
