"""Rolling restarts of workers that reload in place, beside RQ's own ones."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.engine.reload import ANSWERS_WITHIN
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.engine.support import Run

FOUR = {f"worker-{number}": ("default",) for number in range(4)}
ROLLING = Options(Strategy.ROLLING)


class ReloadCase(unittest.TestCase):
	lossless = tuple(FOUR)

	def setUp(self):
		self.bench = InMemoryBench(FOUR, lossless=self.lossless)
		self.before = self.pids()

	def pids(self) -> dict[str, int | None]:
		return {process.name: process.pid for process in self.bench.processes.list()}

	def workers_of(self, name: str) -> list:
		return [worker for worker in self.bench.queue.workers.values() if worker.name.startswith(f"{name}@")]

	def reloaded(self) -> set[str]:
		return {name for name in FOUR if any(worker.times for worker in self.workers_of(name))}

	def refuse(self, why: str, *names: str) -> None:
		for name in names or FOUR:
			for worker in self.workers_of(name):
				self.bench.queue.refusals[worker.name] = why

	def fails(self, run: Run) -> ProcessFault:
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 4)
		return raised.exception

	def orders(self) -> set[str]:
		return {name for _, name in self.bench.processes.orders}


class TestRollingInPlace(ReloadCase):
	def test_every_worker_has_new_code_and_no_manager_was_asked_for_that(self):
		report = Run(self.bench, ROLLING).go()
		self.assertEqual((report.outcome, self.orders()), (Phase.DONE, {"web"}))
		self.assertEqual(self.reloaded(), set(FOUR))
		self.assertEqual({name: self.before[name] for name in FOUR}.items() - self.pids().items(), set())
		by = {change.name: (change.by, change.new_pid == change.old_pid) for change in report.processes}
		self.assertEqual(by.pop("web"), (ReplacedBy.MANAGER, False))
		self.assertEqual(set(by.values()), {(ReplacedBy.RELOAD, True)})

	def test_one_at_a_time_or_a_share_but_never_all(self):
		for share, most in ((0.0, 1), (0.5, 2), (1.0, 3)):
			with self.subTest(share=share):
				self.setUp()
				self.assertEqual(self.most_away(Options(Strategy.ROLLING, rolling_share=share)), most)

	def most_away(self, options: Options) -> int:
		away = [0]

		def watch() -> None:
			serving = sum(
				worker.state.value in ("idle", "busy") for worker in self.bench.queue.workers.values()
			)
			away.append(len(FOUR) - serving)
			if self.bench.clock.now() < 60:
				self.bench.clock.after(0.05, watch)

		watch()
		Run(self.bench, options).go()
		return max(away)

	def test_jobs_run_all_the_time_and_none_is_lost(self):
		for number in range(150):
			self.bench.clock.at(
				number / 5, lambda number=number: self.bench.queue.enqueue(f"job-{number}", seconds=0.1)
			)
		report = Run(self.bench, ROLLING).go()
		self.bench.clock.sleep(30)
		tasks = list(self.bench.queue.tasks.values())
		self.assertEqual({task.runs for task in tasks}, {1})
		self.assertLess(max(task.started - task.enqueued for task in tasks), 1)
		self.assertEqual((report.account.lost, report.account.is_balanced), ([], True))

	def test_a_busy_worker_reloads_when_its_own_job_ends_and_the_others_before(self):
		task = self.bench.queue.enqueue("long", seconds=300)
		run = Run(self.bench, ROLLING)
		report = run.go()
		names = [fact.name for fact in run.of(events.WorkerReloaded)]
		self.assertEqual(names[-1], task.worker.partition("@")[0])
		self.assertEqual((task.runs, task.status), (1, "finished"))
		self.assertGreater(report.seconds, 300)
		self.assertLess(self.moment_of(run, names[-2]), 30)

	def moment_of(self, run: Run, name: str) -> float:
		return next(worker.born for worker in self.workers_of(name)) - self.bench.clock.epoch

	def test_one_that_takes_a_long_job_just_when_it_is_asked_keeps_nobody_waiting(self):
		# Given a job of a hundred seconds for the first worker that is asked
		run = Run(self.bench, ROLLING)
		taken = []

		def give_it_a_job(fact: events.ReloadAsked) -> None:
			queue = self.bench.queue
			worker = queue.workers[fact.worker.name]
			if not taken:
				queue.blocked.sort(key=lambda other: other is not worker)
				taken.append(queue.enqueue("long", seconds=100))

		run.operation.listen(lambda fact: isinstance(fact, events.ReloadAsked) and give_it_a_job(fact))
		run.go()
		# Then it is the last one, and the others did not wait for it
		names = [fact.name for fact in run.of(events.WorkerReloaded)]
		self.assertEqual(names[-1], taken[0].worker.partition("@")[0])
		self.assertLess(self.moment_of(run, names[-2]), 30)

	def test_workers_that_are_always_at_work_have_their_turn(self):
		for number in range(40):
			self.bench.queue.enqueue(f"job-{number}", seconds=20)
		self.assertEqual(Run(self.bench, ROLLING).go().outcome, Phase.DONE)
		self.assertEqual(self.reloaded(), set(FOUR))

	def test_no_request_is_left_behind(self):
		Run(self.bench, ROLLING).go()
		self.assertEqual(self.bench.queue.asked, {})

	def test_a_worker_that_is_killed_meanwhile_comes_back_through_its_manager(self):
		run = Run(self.bench, ROLLING)

		def kill(fact: events.ReloadAsked) -> None:
			if fact.name == "worker-0":
				self.bench.queue.kill_worker(fact.worker.name)
				self.bench.processes.end("worker-0", ProcessState.EXITED)

		run.operation.listen(lambda fact: isinstance(fact, events.ReloadAsked) and kill(fact))
		report = run.go()
		changes = {change.name: change for change in report.processes}
		self.assertEqual(changes["worker-0"].by, ReplacedBy.MANAGER)
		self.assertNotEqual(changes["worker-0"].new_pid, self.before["worker-0"])
		self.assertEqual(self.bench.queue.asked, {})

	def test_one_that_was_restarted_before_its_turn_is_new_already(self):
		run = Run(self.bench, ROLLING)

		def restart(fact: events.ReloadAsked) -> None:
			if fact.name == "worker-0":
				self.bench.processes.stop("worker-3")
				self.bench.processes.start("worker-3")

		run.operation.listen(lambda fact: isinstance(fact, events.ReloadAsked) and restart(fact))
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual(self.reloaded(), set(FOUR) - {"worker-3"})

	def test_a_request_to_stop_leaves_the_rest_as_it_is(self):
		run = Run(self.bench, ROLLING)
		self.bench.queue.enqueue("long", seconds=300)
		run.operation.listen(
			lambda fact: isinstance(fact, events.WorkerReloaded) and run.operation.stop_requested.set()
		)
		with self.assertRaisesRegex(Interrupted, "Not replaced: worker-"):
			run.go()
		self.assertEqual((len(self.reloaded()), self.bench.queue.asked), (1, {}))


class TestAWorkerThatStaysAsItIs(ReloadCase):
	def test_new_code_that_does_not_import_ends_it_there_and_everything_serves(self):
		self.refuse("ImportError")
		run = Run(self.bench, ROLLING)
		error = self.fails(run)
		self.assertIn("its new code cannot be imported: ImportError", str(error))
		self.assertIn("it keeps the old code and goes on serving", str(error))
		self.assertIn("Not touched, in service with the old code: worker-", str(error))
		self.assertIn("type the same command again", error.hint)
		self.assertEqual(len(run.of(events.ReloadAsked)), 1)
		self.assertEqual((len(run.operation.report.not_replaced), self.bench.queue.asked), (3, {}))
		self.assertEqual(len(self.bench.queue.workers), 4)
		self.bench.queue.enqueue("later", seconds=1)
		self.bench.clock.sleep(5)
		self.assertEqual(self.bench.queue.tasks["later"].status, "finished")

	def test_one_that_is_stopped_is_named_with_what_to_type_and_follows_nothing_later(self):
		[worker] = self.workers_of("worker-0")
		worker.is_hung = True
		run = Run(self.bench, ROLLING)
		error = self.fails(run)
		self.assertIn(
			f"worker-0 (it has not answered the request to reload for {ANSWERS_WITHIN:.0f} s)", str(error)
		)
		self.assertIn(f"kill -CONT {worker.pid}", error.hint)
		worker.is_hung = False
		self.bench.clock.sleep(30)
		self.assertEqual(self.workers_of("worker-0")[0].times, 0)

	def test_where_workers_were_switched_off_they_leave_and_come_back(self):
		self.refuse("SwitchedOff")
		report = Run(self.bench, ROLLING).go()
		self.assertEqual({change.by for change in report.processes}, {ReplacedBy.MANAGER})
		self.assertEqual(self.reloaded(), set())
		self.assertEqual(set(self.pids().items()) & set(self.before.items()), set())

	def test_more_refusals_can_be_allowed(self):
		self.refuse("SyntaxError")
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_max_failures=3))
		self.fails(run)
		self.assertEqual(len(run.operation.report.not_replaced), 1)


class TestMixedBenches(ReloadCase):
	lossless = ("worker-0", "worker-2")

	def test_each_in_its_own_way_and_one_at_a_time(self):
		report = Run(self.bench, ROLLING).go()
		by = {change.name: change.by for change in report.processes}
		self.assertEqual({name for name, way in by.items() if way is ReplacedBy.RELOAD}, set(self.lossless))
		self.assertEqual(self.reloaded(), set(self.lossless))
		now = self.pids()
		self.assertEqual(
			{name for name in FOUR if now[name] == self.before[name]}, set(self.lossless), "pids that stay"
		)
		self.assertEqual(report.outcome, Phase.DONE)

	def test_no_two_are_away(self):
		self.assertEqual(TestRollingInPlace.most_away(self, ROLLING), 1)


class TestOtherMachines(ReloadCase):
	def test_workers_that_no_manager_of_ours_runs_reload_too(self):
		# Given a worker of another machine, and one that someone started by hand
		self.bench.queue.add_worker("far", 7, ("default",), host="host-2", is_unseen=True, is_lossless=True)
		self.bench.host.add(77)
		self.bench.queue.add_worker("by-hand", 77, ("default",), is_lossless=True)
		run = Run(self.bench, ROLLING)
		report = run.go()
		names = {fact.name for fact in run.of(events.WorkerReloaded)}
		self.assertEqual(names - set(FOUR), {"pid 7 on host-2 (default)", "pid 77 on host-1 (default)"})
		self.assertEqual((report.outcome, run.of(events.WorkersUnmanaged)), (Phase.DONE, []))

	def test_one_of_another_machine_that_refuses_is_named_with_its_machine(self):
		self.bench.queue.add_worker("far", 7, ("default",), host="host-2", is_unseen=True, is_lossless=True)
		self.bench.queue.refusals["far"] = "ImportError"
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_max_failures=5))
		self.assertIn("pid 7 on host-2", str(self.fails(run)))
		self.assertEqual(self.reloaded(), set(FOUR))

	def test_programs_of_another_manager_are_no_reason_to_refuse(self):
		self.bench.add_host("host-2", {"far": ("default",)}, lossless=("far",))
		run = Run(self.bench, ROLLING)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertIn("host-2/far", {fact.name for fact in run.of(events.WorkerReloaded)})

	def test_workers_alone_need_no_process_to_restart(self):
		report = Run(self.bench, Options(Strategy.ROLLING, web=False)).go()
		self.assertEqual((report.outcome, self.bench.processes.orders), (Phase.DONE, []))
		self.assertEqual({change.kind for change in report.processes}, {ProcessKind.WORKER})


class TestWithoutAManager(ReloadCase):
	def setUp(self):
		super().setUp()
		self.bench.processes.is_away = True

	def test_none_is_needed_where_all_workers_reload_and_nothing_else_is_restarted(self):
		run = Run(self.bench, Options(Strategy.ROLLING, web=False))
		self.assertEqual((run.go().outcome, self.reloaded()), (Phase.DONE, set(FOUR)))
		self.assertEqual(run.of(events.ManagerAway), [])

	def test_with_web_or_with_a_worker_of_rqs_own_it_is_refused(self):
		with self.assertRaises(WrongEnvironment):
			Run(self.bench, ROLLING).go()
		self.bench.queue.add_worker("stock", 7, ("default",), host="host-2", is_unseen=True)
		with self.assertRaises(WrongEnvironment):
			Run(self.bench, Options(Strategy.ROLLING, web=False)).go()
		self.assertEqual(self.reloaded(), set())


class TestTheScheduler(ReloadCase):
	def test_one_that_no_manager_runs_is_asked_once_all_workers_are_new(self):
		self.bench.queue.scheduler = "pid 12 on host-2"
		run = Run(self.bench, ROLLING)
		asked_at = []
		run.operation.listen(
			lambda fact: isinstance(fact, events.SchedulerAsked) and asked_at.append(self.reloaded())
		)
		run.go()
		self.assertEqual((asked_at, self.bench.queue.is_scheduler_asked), ([set(FOUR)], True))

	def test_none_is_asked_where_a_worker_refuses_or_a_manager_runs_one(self):
		self.bench.queue.scheduler = "pid 12 on host-2"
		self.refuse("ImportError")
		self.fails(Run(self.bench, ROLLING))
		self.assertFalse(self.bench.queue.is_scheduler_asked)
		self.bench.queue.refusals.clear()
		scheduler = Program("schedule", ProcessKind.SCHEDULER)
		self.bench.processes = InMemoryProcesses(self.bench.clock, scheduler, host=self.bench.host)
		self.bench.managers = {"": self.bench.processes}
		Run(self.bench, Options(Strategy.ROLLING, web=False)).go()
		self.assertFalse(self.bench.queue.is_scheduler_asked)
