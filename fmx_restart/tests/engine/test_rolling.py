from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

FOUR_WORKERS = {f"worker-{number}": ("default",) for number in range(4)}
ROLLING = Options(Strategy.ROLLING)


class TestRolling(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(FOUR_WORKERS)
		self.most_away = 0

	def watch(self, until: float):
		"""Note every tenth of a second how many workers are away."""
		programs = [self.bench.processes[name] for name in FOUR_WORKERS]
		away = sum(program.state is not ProcessState.RUNNING for program in programs)
		self.most_away = max(self.most_away, away)
		if self.bench.clock.now() < until:
			self.bench.clock.after(0.1, lambda: self.watch(until))

	def test_every_worker_is_replaced_one_at_a_time(self):
		# Given four idle workers
		self.watch(until=60)
		# When they are rolled
		run = Run(self.bench, ROLLING)
		report = run.go()
		# Then each is another process, and never was more than one away
		self.assertEqual(report.outcome, Phase.DONE)
		for change in report.processes:
			self.assertNotIn(change.new_pid, (None, change.old_pid))
		self.assertEqual(self.most_away, 1)

	def test_a_share_of_them_may_be_away_at_once(self):
		self.watch(until=60)
		Run(self.bench, Options(Strategy.ROLLING, rolling_share=0.5)).go()
		self.assertEqual(self.most_away, 2)

	def test_even_with_a_share_of_everything_one_stays(self):
		self.watch(until=60)
		Run(self.bench, Options(Strategy.ROLLING, rolling_share=1.0)).go()
		self.assertEqual(self.most_away, 3)

	def test_nothing_is_fenced_and_jobs_run_all_the_time(self):
		# Given a job every fifth of a second
		for number in range(150):
			self.bench.clock.at(
				number / 5, lambda number=number: self.bench.queue.enqueue(f"job-{number}", seconds=0.1)
			)
		run = Run(self.bench, ROLLING)
		# When the workers are rolled
		report = run.go()
		self.bench.clock.sleep(30)
		# Then every job ran once, soon after it came, and nothing was suspended
		tasks = list(self.bench.queue.tasks.values())
		self.assertEqual({task.runs for task in tasks}, {1})
		self.assertLess(max(task.started - task.enqueued for task in tasks), 1)
		self.assertNotIn(Phase.FENCE, run.phases)
		self.assertTrue(report.account.is_balanced)
		self.assertEqual(report.account.lost, [])

	def test_a_busy_worker_is_replaced_when_its_own_job_ends(self):
		task = self.bench.queue.enqueue("long", seconds=300)
		run = Run(self.bench, ROLLING)
		report = run.go()
		ups = [fact.name for fact in run.of(events.ProcessUp)]
		self.assertEqual(ups[-1], task.worker.partition("@")[0])
		self.assertGreater(report.seconds, 300)
		self.assertEqual((task.status, task.runs), ("finished", 1))

	def test_with_a_time_limit_it_stops_there_and_says_who_is_left(self):
		task = self.bench.queue.enqueue("endless", seconds=1e9)
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_timeout=60))
		with self.assertRaisesRegex(DrainTimeout, task.worker.partition("@")[0]):
			run.go()
		self.assertEqual(task.status, "started")

	def test_a_single_worker_is_replaced_too(self):
		bench = InMemoryBench({"only": ("default",)})
		self.assertEqual(Run(bench, ROLLING).go().outcome, Phase.DONE)

	def test_a_pool_is_refused_before_anything_is_touched(self):
		self.bench.queue.workers.clear()
		with self.assertRaisesRegex(WrongEnvironment, "worker-0"):
			Run(self.bench, ROLLING).go()
		self.assertEqual(self.bench.processes.orders, [])

	def test_no_pill_is_left_behind(self):
		Run(self.bench, ROLLING).go()
		self.assertEqual(self.bench.queue.tasks, {})

	def test_nor_when_it_is_given_up_while_a_pill_waits(self):
		# Given pills that nobody takes, and a worker that takes one and cannot run it
		run = Run(self.bench, ROLLING)
		for worker in self.bench.queue.workers.values():
			worker.is_hung = True
		statuses = self.bench.queue.statuses
		self.bench.queue.statuses = lambda ids: dict.fromkeys(statuses(ids), "failed")
		# When the operation ends, then none of them makes a worker leave later
		with self.assertRaisesRegex(ProcessFault, "order to leave"):
			run.go()
		self.assertEqual(self.bench.queue.tasks, {})


class TestAWorkerThatDoesNotComeBack(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(FOUR_WORKERS)

	def break_workers(self) -> None:
		"""As code does that cannot be loaded."""
		for name in FOUR_WORKERS:
			self.bench.processes[name].crashes_at_start = True

	def in_service(self) -> set[str]:
		return {
			process.name
			for process in self.bench.processes.list()
			if process.name in FOUR_WORKERS and process.state is ProcessState.RUNNING
		}

	def fails(self, run: Run) -> ProcessFault:
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 4)
		return raised.exception

	def test_the_first_one_ends_it_and_the_others_stay_in_service(self):
		# Given code that no worker can load
		self.break_workers()
		before = {process.name: process.pid for process in self.bench.processes.list()}
		run = Run(self.bench, ROLLING)
		# When they are rolled
		error = self.fails(run)
		self.bench.clock.sleep(60)
		# Then one was tried, three work on as they were, and each is named for what became of it
		left = self.in_service()
		self.assertEqual(len(left), 3)
		now = {process.name: process.pid for process in self.bench.processes.list()}
		self.assertEqual({name: now[name] for name in left}, {name: before[name] for name in left})
		(failed,) = FOUR_WORKERS.keys() - left
		untouched = ", ".join(name for name in FOUR_WORKERS if name in left)
		self.assertIn(
			f"1 of 5 processes failed: {failed} (it did not stay up: Exited too quickly (process log may have details))."
			f" Replaced: web. Not touched, in service with the old code: {untouched}.",
			str(error),
		)
		self.assertEqual(run.operation.report.not_replaced, untouched.split(", "))
		self.assertEqual([fact.failed for fact in run.of(events.RollingStopped)], [(failed,)])

	def test_the_queue_keeps_running_and_no_pill_is_left(self):
		self.break_workers()
		self.fails(Run(self.bench, ROLLING))
		self.bench.queue.enqueue("later", seconds=1)
		self.bench.clock.sleep(10)
		self.assertEqual(
			{id: task.status for id, task in self.bench.queue.tasks.items()}, {"later": "finished"}
		)

	def test_one_that_fails_after_others_were_replaced_ends_it_there(self):
		# Given code that breaks when the second worker is replaced
		ups = []

		def note(fact):
			if isinstance(fact, events.ProcessUp):
				ups.append(fact.name)
				if len(ups) == 2:
					self.break_workers()

		run = Run(self.bench, ROLLING)
		run.operation.listen(note)
		error = self.fails(run)
		self.assertEqual(len(self.in_service()), 3)
		self.assertIn(f"Replaced: {ups[0]}, {ups[1]}. Not touched", str(error))
		self.assertEqual(len(run.operation.report.not_replaced), 2)

	def test_more_failures_can_be_allowed(self):
		self.break_workers()
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_max_failures=3))
		self.fails(run)
		self.assertEqual(len(run.operation.report.not_replaced), 1)

	def test_one_that_does_not_register_counts_as_failed(self):
		for name in FOUR_WORKERS:
			self.bench.processes[name].on_start = lambda: None
		run = Run(self.bench, ROLLING)
		self.assertIn("1 of 5 processes failed", str(self.fails(run)))
		self.assertEqual(len(run.operation.report.not_replaced), 3)

	def test_with_a_share_all_that_are_away_are_seen_back_or_named(self):
		# Given two workers that leave at once, the first of which does not come back
		first = []

		def break_one(fact):
			if isinstance(fact, events.ProcessDown) and fact.name in FOUR_WORKERS and not first:
				first.append(fact.name)
				self.bench.processes[fact.name].crashes_at_start = True

		run = Run(self.bench, Options(Strategy.ROLLING, rolling_share=0.5))
		run.operation.listen(break_one)
		error = self.fails(run)
		# Then the other one is new, and two are left
		self.assertEqual(len(self.in_service()), 3)
		self.assertEqual(len(run.operation.report.not_replaced), 2)
		self.assertRegex(str(error), rf"failed: {first[0]} .*\. Replaced: web, worker-\d\. Not touched")

	def test_web_that_does_not_come_up_ends_it_before_the_first_worker(self):
		self.bench.processes["web"].crashes_at_start = True
		for allowed in (1, 5):
			with self.subTest(allowed=allowed):
				self.bench.processes.orders.clear()
				error = self.fails(Run(self.bench, Options(Strategy.ROLLING, rolling_max_failures=allowed)))
				self.assertEqual({name for _, name in self.bench.processes.orders}, {"web"})
				self.assertEqual(self.in_service(), set(FOUR_WORKERS))
				self.assertIn(
					f"Replaced: none. Not touched, in service with the old code: {', '.join(FOUR_WORKERS)}",
					str(error),
				)

	def test_a_request_to_stop_after_a_failure_is_a_failure(self):
		# Given a rolling restart that may go on after a failure, and someone who stops it then
		self.break_workers()
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_max_failures=4))
		run.operation.listen(
			lambda fact: isinstance(fact, events.ProcessFailed) and run.operation.stop_requested.set()
		)
		self.fails(run)
		self.assertEqual(len(run.operation.report.not_replaced), 3)

	def test_a_worker_that_is_away_when_the_time_is_over_is_seen_back(self):
		# Given workers that need longer to boot than there is time
		for name in FOUR_WORKERS:
			self.bench.processes[name].start_takes = 20
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_timeout=10))
		with self.assertRaisesRegex(DrainTimeout, "Not replaced: worker-1, worker-2, worker-3"):
			run.go()
		self.assertEqual(self.in_service(), set(FOUR_WORKERS))


class TestInContainers(unittest.TestCase):
	"""Each has a host name of its own, which its next worker has again."""

	def setUp(self):
		self.bench = InMemoryBench({})
		self.there = self.bench.add_host("pod", {"long": ("long",)})
		self.there["long"].is_alone = True

	def test_a_successor_that_redis_knows_before_its_manager_does_is_not_made_to_leave(self):
		# Given a container that is started again at once when its worker leaves, which is told a while later
		self.there.lags = 3.0
		leave = self.bench.queue.when_left_elsewhere
		left = []

		def come_back(host: str, pid: int) -> None:
			leave(host, pid)
			left.append(pid)
			self.bench.clock.after(0.1, lambda: self.there.start("long"))

		self.bench.queue.when_left_elsewhere = come_back
		before = self.there["long"].pid
		# When it is rolled
		run = Run(self.bench, Options(Strategy.ROLLING, web=False))
		report = run.go()
		# Then its first worker has left, and no other one
		self.assertEqual((report.outcome, left), (Phase.DONE, [before]))


class TestInPods(unittest.TestCase):
	"""Their manager makes the successor in the moment in which it tells a worker to end."""

	def setUp(self):
		self.bench = InMemoryBench({})
		self.there = {name: self.bench.add_host(name, {"w": ("long",)}) for name in ("pod-1", "pod-2")}
		for manager in self.there.values():
			manager["w"].is_alone = manager["w"].rolls_out = True

	def orders(self) -> list[tuple[str, str]]:
		return [order for manager in self.there.values() for order in manager.orders]

	def roll(self) -> Run:
		run = Run(self.bench, Options(Strategy.ROLLING, web=False))
		self.assertEqual(run.go().outcome, Phase.DONE)
		return run

	def test_each_is_told_to_end_once_while_it_is_at_work_with_its_pill(self):
		at_work = []
		for manager in self.there.values():
			leave = manager["w"].on_leave
			manager["w"].on_leave = lambda leave=leave, program=manager["w"]: (
				at_work.append(program.is_at_work()),
				leave(),
			)
		self.roll()
		self.assertEqual(at_work, [True, True])
		self.assertEqual([order for order, _ in self.orders()].count("leave"), 2)
		self.assertEqual(self.bench.queue.tasks, {})

	def test_a_worker_whose_manager_cannot_be_told_leaves_by_itself(self):
		# Given a manager that refuses that order
		refused = []
		manager = self.there["pod-1"]
		before = manager["w"].pid

		def refuse() -> None:
			refused.append(True)
			raise ProcessFault("it may not")

		manager["w"].on_leave = refuse
		# When they are rolled
		run = self.roll()
		# Then the order was given some times, and no more
		self.assertEqual(len(refused), 3)
		self.assertNotEqual(manager["w"].pid, before)
		self.assertEqual(run.of(events.ProcessFailed), [])

	def test_an_order_that_comes_too_late_is_not_given_to_the_successor(self):
		# Given a manager that goes away as soon as a worker has its pill, and comes back when that has left and started again
		manager = self.there["pod-1"]
		leave = self.bench.queue.when_left_elsewhere

		def come_back(host: str, pid: int) -> None:
			self.there[host].is_away = False
			leave(host, pid)
			self.bench.clock.after(0.1, lambda: self.there[host].start("w"))
			self.bench.clock.after(0.2, lambda: setattr(self.there[host], "is_away", False))
			self.there[host].is_away = True

		self.bench.queue.when_left_elsewhere = come_back
		takers = self.bench.queue.takers

		def go_away(pills):
			found = takers(pills)
			if any(worker.startswith("pod-1/") for worker in found.values()) and not manager.orders:
				manager.is_away = True
			return found

		manager.lags = 3.0
		self.bench.queue.takers = go_away
		self.roll()
		self.assertNotIn(("leave", "w"), manager.orders)
