"""Redis goes away, comes back with or without its data, or takes nothing new, in the middle of an operation."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, QueueUnreachable
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.steps.kill import finish_ending
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}


class RedisFaults(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)
		self.queue, self.clock = self.bench.queue, self.bench.clock

	def away(self, begin: float, end: float) -> None:
		self.clock.at(begin, lambda: setattr(self.queue, "is_away", True))
		self.clock.at(end, lambda: setattr(self.queue, "is_away", False))

	def full(self, begin: float, end: float) -> None:
		self.clock.at(begin, lambda: setattr(self.queue.server, "is_full", True))
		self.clock.at(end, lambda: setattr(self.queue.server, "is_full", False))

	def at_phase(self, run: Run, phase: Phase, act) -> None:
		run.operation.listen(lambda fact: fact == events.PhaseEntered(phase) and act())

	def assert_as_it_was(self, run: Run) -> None:
		self.assertEqual((run.operation.report.outcome, self.bench.processes.orders), (Phase.ABORTED, []))


class TestAway(RedisFaults):
	def test_an_outage_while_workers_are_parked_takes_none_of_their_time(self):
		# Given a Redis that goes away for longer than workers get to park, just when they are woken
		run = Run(self.bench)
		self.at_phase(run, Phase.PARK, lambda: self.away(self.clock.now(), self.clock.now() + 20))
		# When the bench is restarted, then it is
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(len(run.of(events.QueueAway)), 1)

	def test_an_outage_when_the_drain_would_give_up_gives_the_job_its_time(self):
		task = self.queue.enqueue("job", queue="short", seconds=33)
		self.away(25, 35)
		self.assertEqual(Run(self.bench, Options(drain_timeout=30)).go().outcome, Phase.DONE)
		self.assertEqual((task.status, task.runs), ("finished", 1))

	def test_a_redis_that_stays_away_is_the_reason_that_is_told(self):
		# Given a Redis that goes away for good while workers park, or while a job runs
		for phase in (Phase.PARK, Phase.DRAIN):
			with self.subTest(phase=phase):
				self.setUp()
				self.queue.enqueue("job", queue="short", seconds=30)
				run = Run(self.bench)
				self.at_phase(run, phase, lambda: setattr(self.queue, "is_away", True))
				# When the bench is restarted, then it is as it was, and Redis is named instead of a worker
				with self.assertRaisesRegex(QueueUnreachable, "does not answer"):
					run.go()
				self.assert_as_it_was(run)
				self.assertLess(run.operation.report.seconds, 400)

	def test_jobs_that_were_killed_are_put_back_though_redis_was_away_just_then(self):
		# Given an endless job, and a Redis that goes away when it has been killed
		task = self.queue.enqueue("endless", queue="short", seconds=1e9)
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.REQUEUE)
		run = Run(self.bench, options)

		def watch(fact):
			if isinstance(fact, events.JobsCondemned):
				self.away(self.clock.now(), self.clock.now() + 20)

		run.operation.listen(watch)
		report = run.go()
		# Then it was told before, and it runs once more
		self.assertEqual((report.outcome, report.requeued, task.runs), (Phase.DONE, ["endless"], 2))
		self.assertEqual(run.of(events.JobsCondemned)[0].ids, ("endless",))


class TestFull(RedisFaults):
	def test_before_the_first_change_it_is_refused(self):
		self.queue.server.is_full = True
		run = Run(self.bench)
		with self.assertRaisesRegex(QueueUnreachable, "refuses to write") as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assert_as_it_was(run)

	def test_lock_and_fence_stand_all_the_time_and_the_restart_ends_well(self):
		# Given a Redis that is full for longer than a lease, while a job runs
		self.queue.enqueue("job", queue="short", seconds=60)
		self.full(5, 55)
		run = Run(self.bench)
		# When the bench is restarted
		self.assertEqual(run.go().outcome, Phase.DONE)
		# Then the fence never lapsed
		self.assertEqual(run.of(events.FenceLapsed), [])

	def test_workers_that_cannot_be_woken_are_not_blamed_for_it(self):
		run = Run(self.bench)
		self.at_phase(run, Phase.PARK, lambda: setattr(self.queue.server, "is_full", True))
		with self.assertRaisesRegex(QueueUnreachable, "refuses to write"):
			run.go()
		self.assert_as_it_was(run)


class TestForgotten(RedisFaults):
	"""Redis loses all its data."""

	def test_jobs_that_run_are_waited_for_though_nothing_in_redis_tells_of_them(self):
		# Given jobs that run and wait, and a Redis that loses everything
		task = self.queue.enqueue("job", queue="short", seconds=30)
		for number in range(5):
			self.queue.enqueue(f"waits-{number}", queue="nobody")
		self.clock.at(5, self.queue.forget)
		run = Run(self.bench)
		report = run.go()
		# Then the job was not interrupted, and nobody was told to stop before it had ended
		self.assertEqual((report.outcome, task.status, task.runs), (Phase.DONE, "finished", 1))
		self.assertGreater(sum(p.seconds for p in report.phases if p.phase is Phase.DRAIN), 25)
		self.assertEqual(self.bench.host.killed, [])
		# And the queue is running
		later = self.queue.enqueue("later", queue="short")
		self.clock.sleep(5)
		self.assertEqual(later.runs, 1)

	def test_a_job_of_a_worker_that_was_forgotten_before_is_waited_for_by_the_process_table(self):
		# Given a job that runs, and a Redis that forgot both before anybody looked
		self.queue.enqueue("job", queue="short", seconds=30)
		self.queue.forget()
		self.queue.is_seen.clear()
		# When the bench is restarted, then its process is waited for
		report = Run(self.bench).go()
		self.assertGreater(report.seconds, 25)
		self.assertEqual((report.outcome, self.bench.host.killed), (Phase.DONE, []))

	def test_a_drain_that_gives_up_because_of_it_names_its_pid(self):
		self.queue.enqueue("job", queue="short", seconds=300)
		self.queue.forget()
		self.queue.is_seen.clear()
		with self.assertRaisesRegex(DrainTimeout, r"pid \d+, a job process without its worker or its record"):
			Run(self.bench, Options(drain_timeout=5)).go()

	def test_what_is_gone_is_told_as_gone_and_not_as_removed_by_somebody_or_lost_by_us(self):
		self.queue.enqueue("job", queue="short", seconds=30)
		for number in range(5):
			self.queue.enqueue(f"waits-{number}", queue="nobody")
		self.clock.at(5, self.queue.forget)
		account = Run(self.bench).go().account
		self.assertEqual((account.finished, len(account.gone), account.removed), (1, 5, 0))
		self.assertEqual((account.lost, account.is_balanced), ([], True))


class TestFinishing(RedisFaults):
	"""An operation died between the kill of jobs and the record of it; another one finishes that."""

	def setUp(self):
		self.bench = InMemoryBench({"short": ("short",), "long": ("long",)})
		self.queue, self.clock = self.bench.queue, self.bench.clock
		self.task = self.queue.enqueue("endless", queue="short", seconds=1e9)

	def finish(self) -> tuple[list[str], list[str]]:
		return finish_ending(self.bench.port("operation-2"), ["endless"], requeue=True, reason="killed by 1")

	def kill(self) -> None:
		worker = self.queue.workers[self.task.worker]
		self.queue.kill_worker(worker.name)
		self.bench.processes.end("short", ProcessState.FAILED)

	def test_a_job_that_was_killed_is_put_back_once_however_often_it_is_tried(self):
		self.kill()
		self.assertEqual(self.finish(), (["endless"], ["endless"]))
		self.assertEqual(self.finish(), (["endless"], ["endless"]))
		self.assertEqual(self.queue.lists["short"], ["endless"])

	def test_one_that_runs_again_is_left_alone(self):
		self.kill()
		self.finish()
		self.bench.processes.start("short")
		self.clock.sleep(5)
		self.assertEqual((self.task.status, self.task.runs), ("started", 2))
		self.finish()
		self.assertEqual((self.task.status, self.task.runs), ("started", 2))

	def test_one_that_was_never_killed_goes_on(self):
		self.assertEqual(self.finish(), ([], []))
		self.assertEqual(self.task.status, "started")

	def test_one_whose_process_lost_its_worker_and_goes_on_is_left_alone(self):
		self.kill()
		self.bench.host.add(99, is_horse=True)
		self.assertEqual(self.finish(), ([], []))


if __name__ == "__main__":
	unittest.main()
