"""What supervisord and its programs can do to a restart, on a real bench that may be broken for it."""

from __future__ import annotations

import subprocess
from typing import ClassVar

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.managed_scratch import ScratchCase, end_orphans
from fmx_restart.tests.bench.real_jobs import Enqueuer, Jobs
from fmx_restart.tests.bench.scratch import HELPER, ScratchBench
from fmx_restart.tests.bench.slow_proxy import SlowProxy

WRONG_ENVIRONMENT, NOT_BACK = 7, 4  # exit codes
BOOT = 120.0  # seconds


class TestSupervisordIsKilled(ScratchCase):
	programs: ClassVar = {"short": "worker --queue short", "default": "worker --queue default"}

	def test_nothing_is_stopped_that_nobody_could_start_again_and_it_is_said_what_to_do(self):
		# Given a restart that waits for a job
		held, before = self.scratch_jobs.hold(), self.scratch.pids()
		command = self.scratch.start("--wait-workers", "--json")
		command.wait_for_fact("StillRunning")
		# When supervisord is killed, and the job ends
		orphans = self.scratch.supervisord.kill_alone()
		self.addCleanup(end_orphans, orphans)
		held.let_go()
		done = command.finish()
		# Then the job has ended well, nothing was stopped, and the programs that live on are named
		self.assertEqual((done.code, done.report["outcome"]), (WRONG_ENVIRONMENT, "Aborted"), done.text)
		self.assertIn("supervisor did not answer", done.errors)
		self.assertIn("Nothing was restarted; the queue keeps running", done.errors)
		self.assertIn("kill ", done.errors)
		for pid in before.values():
			self.assertRegex(done.errors, rf"\b{pid}\b")
		self.assertEqual({process.pid for process in orphans if process.is_running()}, set(before.values()))
		# And the queue is running, by the workers that are still there
		self.assertEqual(self.scratch.keys_of_ours(), [])
		self.assertEqual(self.scratch_jobs.work().wait_for_end().starts, 1)
		# And when supervisord is back, with a second worker of each, a restart names those that it has lost
		self.scratch.supervisord.socket.unlink(missing_ok=True)
		self.scratch.supervisord.start()
		eventually(self.scratch.is_ready, "the workers are back", deadline=BOOT)
		again = self.scratch.run("--wait-workers", "--json")
		self.assertEqual(again.code, 0, again.text)
		(fact,) = [fact for fact in again.facts if fact["event"] == "WorkersUnmanaged"]
		self.assertEqual({worker["pid"] for worker in fact["workers"]}, set(before.values()))


class TestTroubledPrograms(ScratchCase):
	"""One restart of a bench on which much is wrong already; what is well is restarted all the same."""

	programs: ClassVar = {
		"short": "worker --queue short",
		"stopped": "worker --queue short",
		"fatal": "worker --no-such-option",
		"retried": "worker --no-such-option",
	}
	settings: ClassVar = {
		"stopped": {"autostart": "false"},
		"fatal": {"startsecs": 60},
		"retried": {"startsecs": 60, "startretries": 1000},
	}

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.by_hand = cls.start_by_hand()
		eventually(
			lambda: cls.by_hand.pid in cls.scratch.registered(), "the one by hand works", deadline=BOOT
		)
		eventually(lambda: cls.state("fatal") == "FATAL", "supervisor has given up", deadline=BOOT)
		eventually(lambda: cls.state("retried") == "BACKOFF", "supervisor tries again", deadline=BOOT)
		cls.before = cls.scratch.pids()
		cls.done = cls.scratch.run("--wait-workers", "--json")
		cls.failed = {fact["name"]: fact for fact in cls.done.facts if fact["event"] == "ProcessFailed"}

	@classmethod
	def state(cls, name: str) -> str:
		return cls.scratch.infos()[name]["statename"]

	@classmethod
	def start_by_hand(cls) -> subprocess.Popen:
		process = subprocess.Popen(
			[str(cls.bench.python), *HELPER, "worker", "--queue", "short"],
			cwd=cls.scratch.sites_path,
			env={**cls.bench.environment, **cls.scratch.environment},
			stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL,
		)
		cls.addClassCleanup(process.wait, timeout=60)
		cls.addClassCleanup(process.terminate)
		return process

	def test_the_exit_code_says_that_not_all_came_back_and_the_rest_is_new(self):
		self.assertEqual(self.done.code, NOT_BACK, self.done.text)
		after = self.scratch.pids()
		self.assertNotIn(after["short"], (0, self.before["short"]))
		self.assertEqual(self.scratch.keys_of_ours(), [])
		self.assertEqual(self.scratch_jobs.work().wait_for_end().starts, 1)

	def test_one_that_had_failed_before_gets_its_chance_and_both_are_told(self):
		fact = self.failed["fatal"]
		self.assertIn("it was already down before the restart", fact["reason"])
		self.assertIn("No such option", fact["log_tail"])
		states = {change["name"]: change["old_state"] for change in self.done.report["processes"]}
		self.assertEqual((states["short"], states["fatal"]), ("running", "failed"))
		self.assertIn(states["retried"], {"retrying", "starting"})

	def test_one_that_is_started_again_and_again_is_not_waited_for_without_end(self):
		fact = self.failed["retried"]
		self.assertIn("keeps being restarted", fact["reason"])
		self.assertIn("No such option", fact["log_tail"])
		self.assertLess(self.done.report["seconds"], 60)

	def test_one_that_an_administrator_stopped_is_named_and_left_so(self):
		self.assertEqual(self.done.report["left_alone"], ["stopped"])
		self.assertEqual(self.state("stopped"), "STOPPED")

	def test_a_worker_that_was_started_by_hand_is_named_and_left_as_it_is(self):
		(fact,) = [fact for fact in self.done.facts if fact["event"] == "WorkersUnmanaged"]
		self.assertEqual([worker["pid"] for worker in fact["workers"]], [self.by_hand.pid])
		self.assertIsNone(self.by_hand.poll())
		self.assertIn(self.by_hand.pid, self.scratch.registered())


class TestSupervisordAnswersSlowly(ScratchCase):
	programs: ClassVar = {f"worker-{number}": "worker --queue short" for number in range(3)}
	DELAY = 1.0  # seconds for each answer

	def test_all_programs_wait_for_the_same_few_answers_and_the_fence_stands(self):
		# Given a supervisord that takes its time for every answer
		proxy = SlowProxy(self.scratch.path / "slow.sock", self.scratch.supervisord.socket, self.DELAY)
		self.addCleanup(proxy.close)
		self.scratch.configure(f"unix://{proxy.path}")
		self.addCleanup(self.scratch.configure, self.scratch.supervisord.url)
		before = self.scratch.pids()
		# When the bench is restarted
		done = self.scratch.run("--wait-workers", "--json")
		# Then everything is new, no process was away for long, and the lease has not lapsed
		self.assertEqual(done.code, 0, done.text)
		self.assertEqual([name for name, pid in self.scratch.pids().items() if pid == before[name]], [])
		downs = [change["seconds_down"] for change in done.report["processes"]]
		self.assertLess(
			max(downs), 4 * self.DELAY + 10, "an answer each: what is down, the order, what is up"
		)
		self.assertNotIn("FenceLapsed", {fact["event"] for fact in done.facts})
		self.assertGreaterEqual(proxy.answers, 6)


class TestTwoBenchesOnOneRedis(ScratchCase):
	programs: ClassVar = {"short": "worker --queue short"}

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.neighbour = ScratchBench(cls.bench, cls)
		cls.neighbour.write_config(redis_queue=cls.scratch.server.url())
		cls.worker = subprocess.Popen(
			[str(cls.bench.python), *HELPER, "worker", "--queue", "short"],
			cwd=cls.neighbour.sites_path,
			env={**cls.bench.environment, **cls.neighbour.environment},
			stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL,
		)
		cls.addClassCleanup(cls.worker.wait, timeout=60)
		cls.addClassCleanup(cls.worker.terminate)
		eventually(lambda: cls.worker.pid in cls.scratch.registered(), "the neighbour works", deadline=BOOT)
		enqueuer = Enqueuer(cls.bench, cls.neighbour.sites_path, **cls.neighbour.environment)
		cls.others = Jobs(cls.bench, cls.folder, enqueuer)
		cls.addClassCleanup(cls.others.close)

	def test_whom_the_fence_pauses_is_named_and_goes_on_afterwards(self):
		# Given a restart that waits, and a job of the other bench
		held = self.scratch_jobs.hold()
		command = self.scratch.start("--wait-workers")
		warning = command.wait_for_line("pauses other benches")
		command.wait_for_line("Waiting for 1 job")
		first, second = self.others.work(), self.others.work()
		# When the restart is through
		held.let_go()
		done = command.finish()
		# Then the other bench was named, with the way not to disturb it, and its jobs were run
		self.assertEqual(done.code, 0, done.text)
		self.assertIn(f"1 worker of {self.neighbour.id}.", warning)
		self.assertIn("--rolling", warning)
		self.assertEqual([job.wait_for_end().starts for job in (first, second)], [1, 1])
		self.assertIsNone(self.worker.poll(), "nobody has touched it")

	def test_a_rolling_restart_does_not_disturb_it_and_does_not_warn(self):
		command = self.scratch.start("--rolling", "--json")
		done = command.finish()
		self.assertEqual(done.code, 0, done.text)
		self.assertNotIn("OtherBenchesPause", {fact["event"] for fact in done.facts})
