"""Restarts that wait for nobody, of workers that reload in place."""

from __future__ import annotations

from fmx_restart.engine import events
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import WebMethod, WebWay
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run
from fmx_restart.tests.engine.test_rolling_reload import FOUR, ReloadCase

NO_WAIT = Options(Strategy.NO_WAIT_WORKERS)


class TestNoWaitInPlace(ReloadCase):
	def test_idle_ones_reload_at_once_and_a_busy_one_when_its_job_ends(self):
		task = self.bench.queue.enqueue("running", seconds=300)
		busy = task.worker.partition("@")[0]
		run = Run(self.bench, NO_WAIT)
		handed_over = []
		run.operation.listen(
			lambda fact: isinstance(fact, events.HandedOver) and handed_over.append(self.reloaded())
		)
		report = run.go()
		[fact] = run.of(events.HandedOver)
		self.assertEqual((fact.processes, fact.exit_code), ((busy,), 0))
		self.assertEqual(handed_over, [set(FOUR) - {busy}])
		self.assertEqual((self.reloaded(), self.orders()), (set(FOUR), {"web"}))
		self.assertEqual((report.outcome, task.runs, task.status), (Phase.DONE, 1, "finished"))
		self.assertGreater(report.seconds, 300)

	def test_the_queue_runs_on(self):
		# Given web whose boot takes long, and jobs all the time
		self.bench.web.web_way, self.bench.web.others_take = WebWay(WebMethod.LINGER), 5.0
		self.bench.processes["web"].start_takes = 20.0
		for number in range(100):
			self.bench.clock.at(
				number / 2, lambda number=number: self.bench.queue.enqueue(f"job-{number}", seconds=0.1)
			)
		run = Run(self.bench, NO_WAIT)
		report = run.go()
		self.bench.clock.sleep(60)
		entered = {fact.phase for fact in run.of(events.PhaseEntered)}
		self.assertEqual(entered & {Phase.FENCE, Phase.PARK, Phase.LIFT}, set())
		tasks = self.bench.queue.tasks.values()
		self.assertEqual(({task.runs for task in tasks}, report.account.lost), ({1}, []))
		self.assertGreater(report.account.arrived, 20)
		self.assertEqual((report.outcome, self.reloaded()), (Phase.DONE, set(FOUR)))

	def test_as_many_at_once_as_there_are_processors(self):
		self.bench.host.processors = 2
		run = Run(self.bench, NO_WAIT)
		most = []

		def count(_fact: events.Event) -> None:
			asked = len(run.of(events.ReloadAsked)) - len(run.of(events.WorkerReloaded))
			most.append(asked)

		run.operation.listen(count)
		run.go()
		self.assertEqual((max(most), self.reloaded()), (2, set(FOUR)))

	def test_one_that_takes_a_job_before_its_turn_is_handed_over(self):
		self.bench.host.processors = 1
		run = Run(self.bench, NO_WAIT)
		run.when(Phase.VERIFY, lambda: self.bench.queue.enqueue("long", seconds=200))
		report = run.go()
		task = self.bench.queue.tasks["long"]
		[fact] = run.of(events.HandedOver)
		self.assertEqual(fact.processes, (task.worker.partition("@")[0],))
		self.assertEqual((report.outcome, self.reloaded(), task.runs), (Phase.DONE, set(FOUR), 1))

	def test_a_refusal_is_told_at_once_and_nothing_is_down(self):
		self.refuse("ImportError", "worker-1")
		run = Run(self.bench, NO_WAIT)
		error = self.fails(run)
		self.assertIn(
			"worker-1 (its new code cannot be imported: ImportError; it keeps the old code", str(error)
		)
		self.assertEqual((self.reloaded(), len(self.bench.queue.workers)), (set(FOUR) - {"worker-1"}, 4))
		self.assertLess(run.operation.report.seconds, 60)

	def test_one_that_does_not_answer_is_named(self):
		[worker] = self.workers_of("worker-1")
		run = Run(self.bench, NO_WAIT)
		run.when(events.ReloadAsked, lambda: setattr(worker, "is_hung", True))
		self.assertIn("worker-1 (it has not answered the request to reload", str(self.fails(run)))
		self.assertEqual(self.bench.queue.asked, {})

	def test_the_other_programs_come_back_while_nothing_is_lost(self):
		for number in range(100):
			self.bench.clock.at(
				number / 5, lambda number=number: self.bench.queue.enqueue(f"job-{number}", seconds=0.1)
			)
		report = Run(self.bench, NO_WAIT).go()
		self.bench.clock.sleep(30)
		self.assertEqual({task.runs for task in self.bench.queue.tasks.values()}, {1})
		self.assertEqual(report.account.lost, [])

	def test_one_of_another_machine_that_goes_away_at_work_is_not_waited_for_without_end(self):
		# Given a worker elsewhere that is at work, and whose machine is gone once it was asked
		queue = self.bench.queue
		queue.add_worker("far", 7, ("far",), host="host-2", is_unseen=True, is_lossless=True)
		queue.enqueue("running", queue="far", seconds=1e9)
		run = Run(self.bench, NO_WAIT)
		run.when(events.HandedOver, lambda: queue.kill_worker("far"))
		error = self.fails(run)
		self.assertIn("pid 7 on host-2 (far) (it is not in Redis' list of workers any more", str(error))
		self.assertEqual(self.reloaded(), set(FOUR))


class TestMixedNoWait(ReloadCase):
	lossless = ("worker-0", "worker-2")

	def test_each_in_its_own_way(self):
		self.bench.queue.enqueue("running", seconds=100)
		run = Run(self.bench, NO_WAIT)
		report = run.go()
		self.assertTrue(run.of(events.WorkersParked))
		by = {change.name: change.by for change in report.processes}
		self.assertEqual({name for name, way in by.items() if way is ReplacedBy.RELOAD}, set(self.lossless))
		self.assertEqual((report.outcome, self.reloaded()), (Phase.DONE, set(self.lossless)))


class TestAMigrationWithoutWaiting(ReloadCase):
	def test_old_workers_are_stopped_before_it_as_ever(self):
		from fmx_restart.engine.migration import MigrationOptions

		options = Options(
			Strategy.NO_WAIT_WORKERS, migration=MigrationOptions(force=True), sites=("one.localhost",)
		)
		self.bench = InMemoryBench(FOUR, lossless=self.lossless)
		run = Run(self.bench, options)
		report = run.go()
		self.assertEqual((report.outcome, run.of(events.ReloadAsked)), (Phase.DONE, []))
