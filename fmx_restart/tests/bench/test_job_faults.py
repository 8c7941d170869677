"""Workers that someone kills while they work, workers that are gone, and jobs that do what no job should."""

from __future__ import annotations

import base64
import os
import signal
import zlib
from datetime import datetime, timedelta, timezone

import psutil

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.command import Finished
from fmx_restart.tests.bench.real_jobs import AGAIN, FORK, TestJob
from fmx_restart.tests.bench.support import BenchTestCase

KILLING = ("--force-kill-timeout", "2", "--on-timeout", "kill")


class JobFaultCase(BenchTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.before = self.pids()

	def assert_done(self, done: Finished) -> dict:
		self.assertEqual((done.code, done.report["outcome"]), (0, "Done"), done.text)
		self.assertEqual(done.report["account"]["lost"], [])
		self.assert_restarted(self.before)
		self.assertEqual(self.keys_of_ours(), [])
		self.assert_queue_moves()
		return done.report["account"]

	def processes(self, job: TestJob) -> tuple[psutil.Process, psutil.Process]:
		"""The horse that runs it, and its worker."""
		horse = psutil.Process(self.jobs.pids(job.token)[-1])
		return horse, horse.parent()


class TestKilledWorkers(JobFaultCase):
	def test_jobs_whose_processes_are_killed_are_not_waited_for_and_told(self):
		# Given an operation that waits for two jobs
		held = [self.jobs.hold("long"), self.jobs.hold("short")]  # one worker takes no long ones
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		# When the kernel kills one job's process, and the other one with its worker
		self.processes(held[0])[0].kill()
		for process in self.processes(held[1])[::-1]:
			process.kill()
		done = command.finish()
		# Then it goes on at once, and each is told as what it is
		account = self.assert_done(done)
		self.assertEqual((account["failed"], account["interrupted"]), (1, [held[1].id]))
		told = [job["id"] for fact in done.facts if fact["event"] == "JobsAbandoned" for job in fact["jobs"]]
		self.assertEqual(told, [held[1].id])
		self.assertEqual([(job.starts, job.ends) for job in held], [(1, 0), (1, 0)])

	def test_a_job_that_outlives_its_killed_worker_is_waited_for_and_runs_once(self):
		held = self.jobs.hold("short")
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		horse, worker = self.processes(held)
		worker.kill()
		# Then its process is found, though RQ's record is that of a dead worker
		command.wait_for_fact("StillRunning", orphans=[horse.pid])
		held.let_go()
		self.assert_done(command.finish())
		self.assertEqual((held.starts, held.ends), (1, 1))


class TestGoneElsewhere(JobFaultCase):
	"""Workers of another machine, as RQ writes them down."""

	def setUp(self) -> None:
		super().setUp()
		records = [self.redis.hgetall(key) for key in self.redis.smembers("rq:workers")]
		alive = {str(pid) for pid in self.before.values()}
		self.own = next(record for record in records if record.get("pid") in alive)
		self.addCleanup(self.remove, "rq:worker:silent", "rq:worker:mute")

	def register(self, name: str, state: str, silent_for: float, **fields: str) -> None:
		beat = datetime.now(timezone.utc) - timedelta(seconds=silent_for)
		stamp = beat.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
		record = {**self.own, "hostname": "another-machine", "pid": "1", "state": state}
		record |= {"last_heartbeat": stamp, "birth": stamp, **fields}
		self.redis.hset(f"rq:worker:{name}", mapping=record)
		self.redis.sadd("rq:workers", f"rq:worker:{name}")

	def remove(self, *keys: str) -> None:
		self.redis.delete(*keys)
		self.redis.srem("rq:workers", *keys)

	def test_one_without_a_heartbeat_is_not_waited_for_and_one_that_takes_no_wake_up_is_named(self):
		# Given one that was at work when it fell silent, and one that seems idle and takes nothing
		self.register("silent", "busy", silent_for=600, current_job="gone")
		self.register("mute", "idle", silent_for=1)
		# When the bench is restarted
		done = self.run_command("--wait-workers", "--json")
		# Then it is, and whoever did not answer is named with its machine
		self.assert_done(done)
		told = [fact for fact in done.facts if fact["event"] == "WorkerDoesNotAnswer"]
		self.assertEqual([(fact["name"], fact["host"]) for fact in told], [("mute", "another-machine")])
		self.assertEqual(done.report["waited_for"], [])


class TestWildJobs(JobFaultCase):
	"""A job that leaves a process behind, and one that puts itself into its queue for ever."""

	def setUp(self) -> None:
		super().setUp()
		self.forking = self.jobs.put(FORK, "long").wait_for_end()
		self.child = f"{self.forking.token}-child"
		eventually(lambda: self.jobs.pids(self.child), "its child runs")
		self.again = self.jobs.put(AGAIN, "short").wait_for_start()
		self.addCleanup(self.jobs.gate(self.again.token).touch)

	def test_with_wait_workers_the_process_is_waited_for_and_named_and_the_chain_pauses(self):
		command = self.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning", orphans=self.jobs.pids(self.child))
		paused = self.again.starts
		self.jobs.gate(self.forking.token).touch()
		self.assert_done(command.finish())
		# Then the chain goes on where it stood, each link once
		eventually(lambda: self.again.starts > paused, "it goes on")
		self.jobs.gate(self.again.token).touch()
		eventually(lambda: self.again.starts == self.again.ends, "each has ended")

	def test_with_on_timeout_kill_the_process_is_ended_a_killed_job_says_why_and_the_chain_goes_on(self):
		(pid,), held = self.jobs.pids(self.child), self.jobs.hold("long")
		done = self.run_command(*KILLING, "--json")
		self.assert_done(done)
		self.assertFalse(is_alive(pid))
		# Then the job that took too long is named, and RQ's own record says who killed it
		self.assertIn(held.id, [killed["id"] for killed in done.report["interrupted"]])
		self.assertEqual(self.redis.hget(f"rq:job:{held.id}", "status"), "failed")
		newest = self.redis.xrevrange(f"rq:results:{held.id}", count=1)[0][1]
		reason = zlib.decompress(base64.b64decode(newest["exc_string"])).decode()
		self.assertIn("fmx_restart killed this job", reason)
		self.assertEqual((held.starts, held.ends), (1, 0))
		paused = self.again.starts
		eventually(lambda: self.again.starts > paused, "the chain goes on")


def is_alive(pid: int) -> bool:
	try:
		os.kill(pid, signal.SIG_DFL)
	except ProcessLookupError:
		return False
	return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
