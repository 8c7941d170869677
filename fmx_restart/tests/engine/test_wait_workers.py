from __future__ import annotations

import unittest
from functools import partial

from fmx_restart.console.headline import headline
from fmx_restart.console.report import report_lines
from fmx_restart.console.sentences import plan_warnings
from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	BenchBusy,
	DrainTimeout,
	Interrupted,
	LockLost,
	ProcessFault,
	WrongEnvironment,
)
from fmx_restart.engine.identity import Holder, describe
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, ProcessState, UnreadableRecord
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}


class TestWaitWorkers(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def test_records_that_cannot_be_read_are_told_once_and_end_nothing(self):
		# Given a record that another program wrote into RQ's keys
		self.bench.queue.odd.append(UnreadableRecord("job", "job-1", "its timeout is not a number"))
		run = Run(self.bench)
		# When the bench is restarted
		report = run.go()
		# Then that is told, once, and stands in the report
		self.assertEqual(report.outcome, Phase.DONE)
		[told] = run.of(events.RecordsUnreadable)
		self.assertEqual((told.records, told.records.count), (report.unreadable, 1))
		self.assertTrue(any("job-1: its timeout is not a number" in line for line in report_lines(report)))

	def test_a_plan_names_them_and_all_else_that_a_person_should_know(self):
		self.bench.queue.odd.append(UnreadableRecord("job", "job-1", "its timeout is not a number"))
		self.bench.web.orphan = HostProcess(77, "an orphan")
		taken, unreadable = plan_warnings(plan_of(self.bench.port(), Options()))
		self.assertIn("pid 77", taken)
		self.assertRegex(unreadable, "1 record in Redis cannot be read.*job-1")

	def test_an_idle_bench_is_restarted_and_every_process_has_a_new_pid(self):
		# Given a bench where nothing runs
		run = Run(self.bench)
		# When it is restarted
		report = run.go()
		# Then every process is another one, and the queue is free
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual([change.name for change in report.processes], ["web", "short", "long"])
		for change in report.processes:
			self.assertNotIn(change.new_pid, (None, change.old_pid))
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_the_phases_come_in_their_order(self):
		run = Run(self.bench)
		run.go()
		expected = ["Preflight", "Fence", "Park", "Drain", "Restart", "Lift", "Verify", "Audit"]
		self.assertEqual([phase.value for phase in run.phases], expected)
		self.assertEqual([p.phase.value for p in run.operation.report.phases], expected)

	def test_a_running_job_is_waited_for_and_no_process_is_touched_before_it_ends(self):
		# Given a job of 20 seconds
		task = self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		run = Run(self.bench)
		# When the bench is restarted
		report = run.go()
		# Then it has finished, once, before the first order to the process manager
		self.assertEqual((task.status, task.runs), ("finished", 1))
		self.assertEqual([wait.job.id for wait in report.waited_for], ["job-1"])
		self.assertAlmostEqual(report.waited_for[0].seconds, 20, delta=0.2)
		self.assertEqual(report.account.finished, 1)

	def test_jobs_that_arrive_meanwhile_wait_and_run_once_afterwards(self):
		# Given a running job, and others that come at every moment of the operation
		self.bench.queue.enqueue("running", queue="long", seconds=5)
		for step in range(80):
			self.bench.clock.at(
				step / 10, lambda step=step: self.bench.queue.enqueue(f"late-{step}", queue="default")
			)
		# When the bench is restarted, and time goes on
		report = Run(self.bench).go()
		self.bench.clock.sleep(10)
		# Then each ran exactly once, and the ledger's sum is right
		self.assertEqual({task.runs for task in self.bench.queue.tasks.values()}, {1})
		self.assertTrue(report.account.is_balanced)
		self.assertEqual(report.account.lost, [])

	def test_no_job_starts_between_drained_and_lifted(self):
		# Given arrivals all the time, and a worker that takes a second to stop
		self.bench.processes["long"].stop_takes = 1.0
		for step in range(200):
			self.bench.clock.at(step / 20, lambda step=step: self.bench.queue.enqueue(f"job-{step}"))
		run = Run(self.bench)
		marks = {}

		def mark(fact):
			marks[getattr(fact, "phase", type(fact).__name__)] = self.bench.clock.time()

		run.operation.listen(mark)
		# When the bench is restarted
		run.go()
		self.bench.clock.sleep(10)
		# Then no start falls into the time when the bench counted as drained
		starts = [task.started for task in self.bench.queue.tasks.values()]
		self.assertGreater(marks[Phase.LIFT], marks["Drained"])
		self.assertEqual([at for at in starts if marks["Drained"] < at < marks[Phase.LIFT]], [])

	def test_a_job_that_never_ends_leaves_everything_as_it_was(self):
		# Given an endless job
		self.bench.queue.enqueue(
			"endless", queue="short", seconds=1e9, site="a.localhost", method="app.forever"
		)
		run = Run(self.bench, Options(drain_timeout=30))
		# When the bench is to be restarted
		with self.assertRaises(DrainTimeout) as raised:
			run.go()
		# Then no process was touched, the queue runs again, and the job is named with its site and limit
		self.assertEqual(self.bench.processes.orders, [])
		self.assertIsNone(self.bench.queue.look().suspension)
		self.assertRegex(str(raised.exception), r"a\.localhost: app\.forever, for 30 s, limit 300 s")
		self.assertEqual(run.operation.report.outcome, Phase.ABORTED)
		self.assertEqual([job.id for job in run.operation.report.still_running], ["endless"])

	def test_a_ghost_made_meanwhile_is_put_back_and_runs_once(self):
		# Given a job that a dying worker pops while the bench restarts
		self.bench.queue.enqueue("running", queue="long", seconds=2)

		def lose_one():
			self.bench.queue.enqueue("victim")
			self.bench.queue.lose("victim")

		self.bench.clock.at(1, lose_one)
		# When the bench is restarted, and time goes on
		run = Run(self.bench)
		report = run.go()
		self.bench.clock.sleep(5)
		# Then it was put back, told, and has run
		self.assertEqual(report.account.requeued, 1)
		self.assertEqual(run.of(events.JobsPutBack), [events.JobsPutBack(("victim",))])
		self.assertEqual(self.bench.queue.tasks["victim"].runs, 1)

	def test_a_ghost_from_before_is_told_and_not_touched(self):
		self.bench.queue.suspension.value = "x"
		self.bench.queue.tasks.clear()
		ghost = self.bench.queue.enqueue("ghost", queue="nobody-listens")
		self.bench.queue.lose("ghost")
		self.bench.queue.suspension.value = None
		self.bench.clock.sleep(60)
		report = Run(self.bench).go()
		self.assertEqual((report.account.older_ghosts, ghost.runs, report.account.total), (1, 0, 0))

	def test_a_worker_that_was_killed_is_not_waited_for_and_its_job_is_named(self):
		# Given a worker that was killed while it ran a job
		self.bench.queue.enqueue("cut-off", queue="short", seconds=1e9)
		worker = self.bench.queue.tasks["cut-off"].worker
		self.bench.queue.kill_worker(worker)
		self.bench.processes.end("short", ProcessState.FAILED, "killed")
		# When the bench is restarted
		run = Run(self.bench)
		report = run.go()
		# Then the drain did not wait for the dead, and says which job it was
		self.assertLess(report.seconds, 10)
		self.assertEqual((report.account.older_interrupted, report.account.total), (["cut-off"], 0))
		told = [job.id for event in run.of(events.JobsAbandoned) for job in event.jobs]
		self.assertEqual(told, ["cut-off"])

	def test_an_orphaned_job_process_is_waited_for(self):
		self.bench.host.add(99, is_horse=True)
		self.bench.clock.at(7, lambda: self.bench.host.remove(99))
		report = Run(self.bench).go()
		self.assertGreater(report.seconds, 7)

	def test_a_program_that_crashes_at_start_does_not_keep_the_others_down(self):
		# Given a worker whose code is broken
		self.bench.processes["long"].crashes_at_start = True
		self.bench.processes["long"].log = "ImportError: no module named nothing"
		run = Run(self.bench)
		# When the bench is restarted
		with self.assertRaisesRegex(ProcessFault, "long") as raised:
			run.go()
		# Then everything else is up, the queue is running, and the end of its log is told
		states = {process.name: process.state for process in self.bench.processes.list()}
		self.assertEqual((states["web"], states["short"]), (ProcessState.RUNNING, ProcessState.RUNNING))
		self.assertIsNone(self.bench.queue.look().suspension)
		self.assertEqual(raised.exception.exit_code, 4)
		self.assertIn("ImportError", run.of(events.ProcessFailed)[0].log_tail)

	def test_a_worker_that_ends_right_after_it_counted_as_running_is_a_fault_within_seconds(self):
		# Given a worker whose import fails after the manager took it for running
		bench = self.bench
		crash = partial(bench.processes.end, "long", ProcessState.FAILED, "exit 1")
		bench.processes["long"].on_start = lambda: bench.clock.after(0.3, crash)
		# When the bench is restarted, then that is told well before the patience is over
		run = Run(bench)
		with self.assertRaisesRegex(ProcessFault, "long"):
			run.go()
		self.assertLess(run.operation.report.seconds, 10)

	def test_a_parked_worker_that_takes_no_notice_of_its_term_is_ended(self):
		# Given a worker that swallows its TERM, and a manager that would wait for it
		self.bench.processes["short"].refuses_to_stop = True
		self.bench.host.when_killed = lambda pid: self.bench.processes.end("short")
		# When the bench is restarted
		report = Run(self.bench).go()
		# Then nobody waits for minutes
		self.assertEqual((report.outcome, len(self.bench.host.killed)), (Phase.DONE, 1))
		self.assertLess(report.seconds, 30)

	def test_a_program_that_was_stopped_on_purpose_stays_stopped(self):
		self.bench.processes.end("long")
		self.bench.processes.orders.clear()
		report = Run(self.bench).go()
		self.assertEqual(report.left_alone, ["long"])
		self.assertNotIn(("start", "long"), self.bench.processes.orders)

	def test_a_web_server_that_says_it_is_broken_is_a_fault_and_not_waited_for_as_one_that_boots(self):
		self.bench.web.broken = "HTTP 500, its database does not answer"
		run = Run(self.bench)
		with self.assertRaises(ProcessFault):
			run.go()
		(fault,) = run.of(events.ProcessFailed)
		self.assertIn("its database does not answer", fault.reason)
		self.assertLess(run.operation.report.seconds, 30)

	def test_a_web_server_that_errs_at_first_is_fine(self):
		self.bench.web.broken = "HTTP 500"
		self.bench.clock.after(10, lambda: setattr(self.bench.web, "broken", None))
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)

	def test_without_any_program_nothing_is_changed(self):
		bench = InMemoryBench({})
		bench.processes.end("web")
		with self.assertRaises(WrongEnvironment):
			Run(bench).go()
		self.assertIsNone(bench.queue.look().suspension)


class TestWhoHoldsTheBench(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def test_a_second_operation_is_told_who_holds_the_bench(self):
		# Given an operation that holds the lock
		self.bench.port("first").lock.hold("first by anna, Drain")
		# When another one is started
		with self.assertRaisesRegex(BenchBusy, "anna, Drain") as raised:
			Run(self.bench, id="second").go()
		# Then it changed nothing, and its exit code says so
		self.assertEqual((raised.exception.exit_code, self.bench.processes.orders), (75, []))

	def test_it_is_not_advised_to_stop_one_that_cannot_be_stopped(self):
		for phase, is_recovery, can_be_stopped in (
			("Drain", False, True),
			("Migrate", False, False),
			("Restart", False, False),
			("Drain", True, False),
		):
			with self.subTest(phase=phase, is_recovery=is_recovery):
				bench = InMemoryBench(TWO_WORKERS)
				note = Holder("first", "anna", "host-1", 9, phase, 1.0, is_recovery=is_recovery).note()
				bench.port("first").lock.hold(note)
				with self.assertRaises(BenchBusy) as raised:
					Run(bench, id="second").go()
				self.assertIn("safe-restart attach", raised.exception.hint)
				self.assertEqual("safe-restart cancel" in raised.exception.hint, can_be_stopped)

	def test_the_note_on_the_lock_is_for_people(self):
		run = Run(self.bench, Options(requested_by="anna@erp"))
		self.assertRegex(
			describe(f"operation-1 {run.operation.note()}"),
			r"^operation-1 by anna@erp, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+, running the pre-flight checks \(pid 1 on host-1\)$",
		)

	def test_a_lock_does_not_outlive_its_dead_holder(self):
		self.bench.port("first").lock.hold("first by anna, Drain")
		self.bench.clock.sleep(30)
		self.assertEqual(Run(self.bench, id="second").go().outcome, Phase.DONE)

	def test_an_operation_that_slept_through_its_lease_touches_nothing_more(self):
		# Given a drain during which the machine sleeps and another operation takes the bench
		self.bench.queue.enqueue("running", queue="short", seconds=100)
		run = Run(self.bench, id="first")

		def sleep_and_lose_the_lock():
			self.bench.lock_slot.value = "second by ben"
			self.bench.lock_slot.expires = None

		self.bench.clock.at(10, sleep_and_lose_the_lock)
		# When it goes on, then it stops before any process was touched
		with self.assertRaises(LockLost):
			run.go()
		self.assertEqual(self.bench.processes.orders, [])
		self.assertEqual(self.bench.lock_slot.value, "second by ben")

	def test_a_foreign_suspension_is_told_respected_and_left(self):
		self.bench.queue.suspension.value = "1"
		self.bench.queue.recall()
		run = Run(self.bench)
		report = run.go()
		self.assertEqual(run.of(events.ForeignSuspension), [events.ForeignSuspension("rq suspend")])
		self.assertTrue(report.is_suspended)
		self.assertIn("The queue is still suspended by someone else", headline(report).text)
		self.assertEqual(self.bench.queue.look().suspension, "1")

	def test_the_fence_outlives_a_drain_that_is_longer_than_its_lease(self):
		self.bench.queue.enqueue("running", queue="short", seconds=200)
		self.bench.clock.at(100, lambda: self.bench.queue.enqueue("waits"))
		run = Run(self.bench)
		run.go()
		self.assertEqual(run.of(events.FenceLapsed), [])
		self.assertGreater(self.bench.queue.tasks["waits"].started, self.bench.clock.epoch + 200)

	def test_a_killed_operation_frees_the_queue_within_one_lease(self):
		# Given an operation that holds the fence and is never heard of again
		self.bench.port().fence.hold()
		self.bench.queue.enqueue("waiting")
		self.bench.clock.sleep(1)
		# When one lease and one poll of the workers have passed
		self.bench.clock.sleep(31)
		# Then the queue is running
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_a_fence_that_lapsed_is_put_up_again_and_the_drain_looks_again(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)

		def lapse():
			self.bench.queue.suspension.value = None

		self.bench.clock.at(11, lapse)
		self.bench.clock.at(
			11.1, lambda: self.bench.queue.enqueue("slipped-through", queue="long", seconds=15)
		)
		run = Run(self.bench)
		report = run.go()
		self.assertEqual(len(run.of(events.FenceLapsed)), 1)
		self.assertEqual(self.bench.queue.tasks["slipped-through"].runs, 1)
		self.assertEqual(report.account.lost, [])


class TestAskedToStop(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def test_during_the_drain_it_undoes_and_says_so(self):
		self.bench.queue.enqueue("running", queue="short", seconds=100)
		run = Run(self.bench)
		self.bench.clock.at(10, run.operation.stop_requested.set)
		with self.assertRaisesRegex(Interrupted, "Nothing was restarted") as raised:
			run.go()
		self.assertEqual((raised.exception.exit_code, self.bench.processes.orders), (130, []))
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_once_processes_are_being_restarted_it_finishes_first(self):
		run = Run(self.bench)
		self.bench.processes["web"].on_stop = run.operation.stop_requested.set
		self.assertEqual(run.go().outcome, Phase.DONE)


class TestRedisAway(unittest.TestCase):
	def test_an_outage_during_the_drain_is_outlasted(self):
		bench = InMemoryBench(TWO_WORKERS)
		bench.queue.enqueue("running", queue="short", seconds=30)
		bench.clock.at(10, lambda: setattr(bench.queue, "is_away", True))
		bench.clock.at(20, lambda: setattr(bench.queue, "is_away", False))
		run = Run(bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(len(run.of(events.QueueAway)), 1)
