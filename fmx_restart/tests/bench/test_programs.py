"""Workers of all kinds: a pool, a queue of their own, and one that someone started by hand."""

from __future__ import annotations

import re
import subprocess

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.bench.extra_programs import GROUP, custom_queue, extra_programs
from fmx_restart.tests.bench.real_jobs import Enqueuer, Jobs
from fmx_restart.tests.bench.support import BenchTestCase

QUEUE = "bench-test"
BY_HAND = ("worker", "--queue", "short")
POOL, OWN_QUEUE = f"{GROUP}:bench-test-pool", f"{GROUP}:bench-test-worker"


class TestPrograms(BenchTestCase):
	"""One restart, told in plain lines, with all of them at once."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		# Given a queue with a worker of its own, a pool of two, and a worker that no process manager knows
		cls.enterClassContextOf(custom_queue(cls.bench, QUEUE))
		commands = {
			"bench-test-pool": "worker-pool --queue short,default --num-workers 2",
			"bench-test-worker": f"worker --queue {QUEUE}",
		}
		cls.enterClassContextOf(extra_programs(cls.bench, **commands))
		cls.by_hand = cls.start_by_hand()
		eventually(lambda: len(cls.registered()) == 6, "two, one, a pool of two, one by hand", deadline=90)
		cls.jobs_of_queue = Jobs(cls.bench, cls.folder, Enqueuer(cls.bench))  # one that knows the new queue
		cls.addClassCleanup(cls.jobs_of_queue.close)
		cls.before, cls.registered_before = cls.pids(), cls.registered()
		held = cls.jobs_of_queue.hold(QUEUE)
		# When the bench is restarted
		command = cls.start("--wait-workers", "--wait-workers-poll", "0.5", "--wait-workers-verbose")
		command.wait_for_line("Waiting for 1 job")
		held.let_go()
		cls.done = command.finish()
		cls.after = cls.pids()

	@classmethod
	def enterClassContextOf(cls, context) -> None:
		"""unittest has this from Python 3.11 on."""
		context.__enter__()
		cls.addClassCleanup(context.__exit__, None, None, None)

	@classmethod
	def start_by_hand(cls) -> subprocess.Popen:
		process = subprocess.Popen(
			[str(cls.bench.tools / "bench"), *BY_HAND],
			cwd=cls.bench.path,
			env=cls.bench.environment,
			stdout=subprocess.DEVNULL,
			stderr=subprocess.DEVNULL,
		)
		cls.addClassCleanup(process.wait, timeout=60)
		cls.addClassCleanup(process.terminate)
		return process

	@classmethod
	def registered(cls) -> dict[int, str]:
		"""The workers that Redis knows: pid → queues."""
		found = [cls.redis.hmget(key, "pid", "queues") for key in cls.redis.smembers("rq:workers")]
		return {int(pid): queues for pid, queues in found if pid}

	def test_it_ends_well_and_restarts_them_all(self):
		self.assertEqual(self.done.code, 0, self.done.text)
		self.assertRegex(self.done.output, r"0 lost\s+Done in .* s\..*\s*$")
		for name, pid in self.before.items():
			is_own = name.partition(":")[0] in {GROUP, f"{self.bench.name}-web", f"{self.bench.name}-workers"}
			self.assertEqual(self.after[name] not in (pid, 0), is_own, f"{name}: {pid} → {self.after[name]}")

	def test_the_job_of_the_custom_queue_was_waited_for(self):
		pid = self.before[OWN_QUEUE]
		self.assertRegex(self.done.output, rf"Waiting for 1 job.*\.tests\.bench\.jobs\.hold \(pid {pid}\)")
		self.assertRegex(self.done.output, rf"pid {pid} busy: {QUEUE}\b")

	def test_the_worker_of_the_custom_queue_is_registered_anew_and_works(self):
		self.assertIn(QUEUE, self.registered()[self.after[OWN_QUEUE]])
		self.assertEqual(self.jobs_of_queue.work(QUEUE).wait_for_end().starts, 1)

	def test_the_pool_has_new_children_and_the_old_ones_are_gone(self):
		known = {*self.before.values(), self.by_hand.pid}
		old = set(self.registered_before) - known
		new = set(self.registered()) - {*self.after.values(), self.by_hand.pid}
		self.assertEqual((len(old), len(new)), (2, 2))
		self.assertEqual(old & new, set())

	def test_the_worker_started_by_hand_keeps_its_pid_and_goes_on(self):
		self.assertIsNone(self.by_hand.poll())
		self.assertIn(self.by_hand.pid, self.registered())
		# Given a job in each other worker that listens to its queue
		held = [self.jobs.hold("short") for _ in range(5)]
		# Then it has one of them
		self.assertEqual([job.ends for job in held], [0] * 5, "five workers, five jobs at once")

	def test_without_a_terminal_every_line_has_a_time_stamp_until_the_report(self):
		told, _, report = self.done.output.partition("\n\n")
		for line in told.splitlines():
			self.assertRegex(line, r"^(\d\d:\d\d:\d\d  \S|          (\S+ pid \d+ \w+|Programs): )")
		self.assertNotIn("\x1b", self.done.output)
		self.assertTrue(report.startswith("Operation "), report[:80])

	def test_verbose_lines_tell_of_every_worker(self):
		told = re.findall(r"pid (\d+) (busy|suspended|idle): (\S.*)", self.done.output)
		self.assertEqual({int(pid) for pid, _, _ in told}, set(self.registered_before))
