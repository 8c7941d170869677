"""Workers whose records deceive: our host name in another pid namespace, another host's name on our own workers."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.report import Report
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.workers import SimulatedWorker
from fmx_restart.tests.engine.actors import Actor, HandedClock, OperationActor, RecoveryActor, run_until
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
WAIT = Options(Strategy.WAIT_WORKERS, drain_timeout=300)
FAST = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE)


class UnseenCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		self.queue, self.host = self.bench.queue, self.bench.host

	def unseen(self, pid: int = 7) -> SimulatedWorker:
		"""With our host name, in a namespace of its own, on a queue of its own."""
		return self.queue.add_worker("unseen", pid, ["unseen"], is_unseen=True)

	def go(self, options: Options) -> tuple[Run, Report]:
		run = Run(self.bench, options)
		return run, run.go()


class TestOurHostNameInAnotherNamespace(UnseenCase):
	def test_a_busy_worker_is_waited_for_though_no_process_here_has_its_pid(self):
		self.unseen()
		task = self.queue.enqueue("job", queue="unseen", seconds=50)
		run, report = self.go(WAIT)
		self.assertEqual((report.outcome, task.status, task.runs), (Phase.DONE, "finished", 1))
		self.assertEqual([wait.job.id for wait in report.waited_for], ["job"])
		[drained] = run.of(events.Drained)
		self.assertGreaterEqual(drained.seconds, 49)
		# And nothing here was replaced in its place
		[unmanaged] = run.of(events.WorkersUnmanaged)
		self.assertEqual([worker.name for worker in unmanaged.workers], ["unseen"])

	def test_an_idle_worker_is_woken_and_takes_no_job_under_the_fence(self):
		self.unseen()
		late: list = []
		self.bench.clock.after(1, lambda: late.append(self.queue.enqueue("late", queue="unseen")))
		short = self.queue.enqueue("short", queue="short", seconds=20)
		_, report = self.go(WAIT)
		self.assertEqual((report.outcome, short.status), (Phase.DONE, "finished"))
		self.assertGreater(late[0].started, self.bench.clock.epoch + 20)

	def test_it_is_never_signalled_and_no_other_job_is_ended_in_vain(self):
		self.unseen()
		theirs = self.queue.enqueue("theirs", queue="unseen", seconds=1e9)
		ours = self.queue.enqueue("ours", queue="short", seconds=1e9)
		with self.assertRaises(DrainTimeout):
			self.go(FAST)
		self.assertEqual((theirs.status, ours.status, self.host.killed), ("started", "started", []))

	def test_a_worker_of_ours_with_the_same_pid_is_not_taken_for_it(self):
		# Given a busy worker that we do not see, with the pid of an idle one of ours
		pid = self.bench.processes["short"].pid
		self.bench.clock.sleep(1)
		self.unseen(pid)
		task = self.queue.enqueue("job", queue="unseen", seconds=1e9)
		# When the time is over, then neither is ended, and the job is still its only run
		with self.assertRaises(DrainTimeout):
			self.go(FAST)
		self.assertEqual((task.status, task.runs, self.host.killed), ("started", 1, []))
		self.assertEqual(self.bench.processes["short"].pid, pid)


class TestItsPidIsThatOfALeaver(unittest.TestCase):
	"""The operation was killed after it had told a busy worker to leave; a worker that we do not see has the same pid."""

	def setUp(self):
		self.clock = HandedClock()
		self.bench = InMemoryBench(TWO_WORKERS, clock=self.clock)
		self.queue, self.programs = self.bench.queue, self.bench.processes
		self.task = self.queue.enqueue("job", queue="long", seconds=50)
		self.dead = OperationActor(self.bench, Options(Strategy.NO_WAIT_WORKERS), "operation-1")
		while not self.dead.has_just_told(Phase.VERIFY):
			run_until(self.clock, list, self.dead.wakes_at, lambda: None)
			self.dead.step()
		self.dead.is_killed = True
		self.clock.sleep(1)
		self.unseen = self.queue.add_worker("unseen", self.programs["long"].pid, ["unseen"], is_unseen=True)
		self.recovery = RecoveryActor(self.dead)
		for actor in (self.dead, self.recovery):
			self.addCleanup(actor.discard)

	def go(self, actor: Actor, seconds: float) -> None:
		run_until(self.clock, lambda: [actor][actor.is_over :], self.clock.now() + seconds, lambda: None)

	def assert_recovered(self) -> None:
		self.assertTrue(self.recovery.is_over)
		self.assertIs(self.recovery.of(events.Ended)[-1].report.outcome, Phase.RECOVERED)
		self.assertIs(self.programs["long"].state, ProcessState.RUNNING)
		self.assertEqual((self.task.status, self.task.runs), ("finished", 1))

	def test_its_successor_is_started_when_it_has_left(self):
		pid = self.programs["long"].pid
		self.go(self.recovery, 30)
		self.assertFalse(self.recovery.of(events.Ended))
		self.go(self.recovery, 60)
		self.assert_recovered()
		self.assertNotEqual(self.programs["long"].pid, pid)

	def test_that_the_other_one_leaves_too_does_not_keep_it_from_ending(self):
		self.queue.enqueue("theirs", queue="unseen", seconds=100)
		self.queue.stop_worker("unseen")
		self.go(self.recovery, 200)
		self.assert_recovered()


class TestKilledBefore(UnseenCase):
	def killed(self, *, seconds_ago: float):
		"""A worker of ours was killed at work, so long ago; its successor runs already."""
		task = self.queue.enqueue("interrupted", queue="short", seconds=500)
		self.bench.clock.sleep(10)
		self.queue.kill_worker(task.worker)
		self.bench.processes.end("short", ProcessState.FAILED)
		self.bench.processes.start("short")
		self.bench.clock.sleep(seconds_ago)
		return task

	def test_where_everybody_who_is_connected_is_seen_nobody_waits_for_it(self):
		self.killed(seconds_ago=20)
		run, report = self.go(WAIT)
		self.assertEqual((report.outcome, report.waited_for), (Phase.DONE, []))
		self.assertLess(run.of(events.Drained)[0].seconds, 1)

	def test_where_it_could_be_one_that_we_do_not_see_it_is_waited_for_until_redis_forgets_it(self):
		self.killed(seconds_ago=20)
		self.queue.address = ""
		run, report = self.go(WAIT)
		self.assertEqual(report.outcome, Phase.DONE)
		seconds = run.of(events.Drained)[0].seconds
		self.assertTrue(40 < seconds < 120, seconds)

	def test_one_that_is_killed_while_we_look_on_is_waited_for_no_longer(self):
		self.queue.address = ""
		task = self.queue.enqueue("interrupted", queue="short", seconds=500)

		def kill() -> None:
			self.queue.kill_worker(task.worker)
			self.bench.processes.end("short", ProcessState.FAILED)

		self.bench.clock.after(20, kill)
		run, report = self.go(WAIT)
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertAlmostEqual(run.of(events.Drained)[0].seconds, 20, delta=1)


class TestRenamedHost(UnseenCase):
	def setUp(self):
		super().setUp()
		for worker in self.queue.workers.values():
			worker.host = "old-name"

	def test_its_workers_are_ours_for_every_strategy(self):
		for strategy in Strategy:
			with self.subTest(strategy):
				self.setUp()
				before = {process.name: process.pid for process in self.bench.processes.list()}
				task = self.queue.enqueue("job", queue="short", seconds=3)
				run, report = self.go(Options(strategy, force_kill_timeout=30))
				self.assertEqual((report.outcome, task.status, task.runs), (Phase.DONE, "finished", 1))
				self.assertEqual(run.of(events.WorkersUnmanaged), [])
				after = {process.name: process.pid for process in self.bench.processes.list()}
				self.assertTrue(all(after[name] != pid for name, pid in before.items()), after)

	def test_their_jobs_can_be_ended(self):
		task = self.queue.enqueue("endless", queue="short", seconds=1e9)
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.KILL)
		_, report = self.go(options)
		self.assertEqual((report.outcome, task.status), (Phase.DONE, "failed"))

	def test_where_the_manager_does_not_answer_they_are_still_those_it_told_before(self):
		task = self.queue.enqueue("job", queue="short", seconds=20)
		listed = self.bench.processes.list

		def away() -> list:
			if 3 < self.bench.clock.now() < 10:
				raise ProcessFault("supervisor did not answer")
			return listed()

		self.bench.processes.list = away
		_, report = self.go(WAIT)
		self.assertEqual((report.outcome, task.status), (Phase.DONE, "finished"))


if __name__ == "__main__":
	unittest.main()
