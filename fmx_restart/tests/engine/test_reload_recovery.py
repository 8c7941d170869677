"""An operation that is killed while workers reload in place: what was asked is known, and nobody follows it much later."""

from __future__ import annotations

from fmx_restart.engine import events
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import WorkerState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.actors import HandedClock, OperationActor
from fmx_restart.tests.engine.killed import KilledOperations
from fmx_restart.tests.engine.test_rolling_reload import FOUR, ROLLING, ReloadCase

NO_WAIT = Options(Strategy.NO_WAIT_WORKERS)


class CrashCase(ReloadCase, KilledOperations):
	def setUp(self):
		self.clock = HandedClock()
		self.bench = InMemoryBench(FOUR, clock=self.clock, lossless=self.lossless)
		self.before = self.pids()

	def asked(self, actor: OperationActor) -> str:
		[fact] = actor.of(events.ReloadAsked)
		return fact.name


def has_announced(actor: OperationActor) -> bool:
	return actor.has_just_told(events.ReloadAsked)


class TestRecovery(CrashCase):
	def has_asked(self, _actor: OperationActor) -> bool:
		return bool(self.bench.queue.asked)

	def test_a_worker_whose_request_did_not_go_out_stays_as_it_is(self):
		dead = self.crash(ROLLING, has_announced)
		self.assertEqual(self.bench.queue.asked, {})
		report = self.recover(dead)
		self.assertEqual((report.outcome, self.reloaded(), report.processes), (Phase.RECOVERED, set(), []))
		self.assertIn(f"Not restarted: {', '.join(FOUR)}", report.failure.message)

	def test_a_worker_that_has_seen_it_is_waited_for(self):
		dead = self.crash(ROLLING, self.has_asked)
		name = self.asked(dead)
		worker = self.workers_of(name)[0]
		self.run_until(dead, lambda: worker.state is WorkerState.SUSPENDED)
		report = self.recover(dead)
		self.assertEqual(self.reloaded(), {name})
		self.assertEqual([(it.name, it.new_pid) for it in report.processes], [(name, self.before[name])])
		others = ", ".join(other for other in FOUR if other != name)
		self.assertIn(f"Not restarted: {others}.", report.failure.message)

	def test_a_worker_that_has_reloaded_unseen_is_told(self):
		dead = self.crash(ROLLING, self.has_asked)
		self.clock.sleep(20)
		report = self.recover(dead)
		self.assertEqual([it.name for it in report.processes], [self.asked(dead)])
		self.assertEqual((report.outcome, self.bench.queue.asked), (Phase.RECOVERED, {}))

	def test_a_worker_that_was_stopped_follows_nothing_later(self):
		dead = self.crash(ROLLING, has_announced)
		[worker] = self.workers_of(self.asked(dead))
		worker.is_hung = True
		dead.is_killed = False
		self.run_until(dead, lambda: self.has_asked(dead))
		dead.is_killed = True
		self.assertEqual(self.recover(dead).processes, [])
		worker.is_hung = False
		self.clock.sleep(100)
		self.assertEqual((self.reloaded(), self.bench.queue.asked), (set(), {}))

	def test_a_busy_one_keeps_its_code_and_is_named(self):
		task = self.bench.queue.enqueue("running", seconds=300)
		busy = task.worker.partition("@")[0]
		dead = self.crash(NO_WAIT, lambda actor: actor.has_just_told(events.HandedOver))
		report = self.recover(dead)
		self.assertEqual(report.outcome, Phase.RECOVERED)
		self.assertIn(f"Not restarted: {busy}.", report.failure.message)
		self.clock.sleep(400)
		self.assertEqual((self.reloaded(), task.status), (set(FOUR) - {busy}, "finished"))

	def test_one_that_refuses_meanwhile_is_no_failure_of_the_recovery(self):
		self.refuse("ImportError")
		dead = self.crash(ROLLING, self.has_asked)
		self.clock.sleep(0.5)
		report = self.recover(dead)
		self.assertEqual((report.outcome, self.reloaded()), (Phase.RECOVERED, set()))
		self.clock.sleep(5)
		self.assertEqual({it.state for it in self.bench.queue.workers.values()}, {WorkerState.IDLE})

	def test_one_that_is_killed_in_its_reload_is_started_by_its_manager_or_by_us(self):
		dead = self.crash(ROLLING, self.has_asked)
		name = self.asked(dead)
		self.bench.queue.kill_worker(self.workers_of(name)[0].name)
		self.bench.processes.end(name)
		report = self.recover(dead)
		self.assertEqual(report.outcome, Phase.RECOVERED)
		self.assertNotIn(self.pids()[name], (None, self.before[name]))

	def test_who_was_asked_is_told_before_anybody_recovers_it(self):
		dead = self.crash(ROLLING, has_announced)
		self.assertIn(f"asked to reload: {self.asked(dead)}", dead.crashed.left())


class TestAtEachMoment(CrashCase):
	def test_whenever_it_is_killed_all_workers_serve_and_no_request_stays(self):
		for options in (ROLLING, NO_WAIT):
			for steps in range(0, 400, 13):
				with self.subTest(strategy=options.strategy, steps=steps):
					self.setUp()
					self.bench.queue.enqueue("running", seconds=30)
					self.kill_and_recover(options, steps)
					self.clock.sleep(120)
					self.assertEqual(len(self.bench.queue.workers), 4)
					self.assertEqual(self.bench.queue.asked, {})
					self.assert_jobs_go_on()
