"""Restarts in place of worker-pools: the pool's process, and then each of its workers."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.reload import ANSWERS_WITHIN
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.actors import HandedClock
from fmx_restart.tests.engine.killed import KilledOperations
from fmx_restart.tests.engine.support import Run
from fmx_restart.tests.repetitions import repetitions

PROGRAMS = {"worker": ("default",), "pool-a": ("default",), "pool-b": ("default", "long")}
POOLS = {"pool-a": 4, "pool-b": 2}
ROLLING = Options(Strategy.ROLLING)
NO_WAIT = Options(Strategy.NO_WAIT_WORKERS)


class PoolCase(unittest.TestCase):
	pools = POOLS

	def setUp(self):
		self.clock = HandedClock()
		self.bench = InMemoryBench(PROGRAMS, clock=self.clock, lossless=("worker",), pools=self.pools)
		self.queue = self.bench.queue
		self.before = self.pids()

	def pids(self) -> dict[str, int | None]:
		return {process.name: process.pid for process in self.bench.processes.list()}

	def pool(self, program: str):
		return self.queue.pools[f"{program}@{self.pids()[program]}"]

	def times(self, program: str) -> set[int]:
		"""How often its pool was reloaded before it started each of its workers."""
		return {worker.times for worker in self.queue.members(self.pool(program).name)}

	def members(self) -> int:
		return sum(len(self.queue.members(name)) for name in self.queue.pools)

	def fails(self, run: Run) -> ProcessFault:
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertEqual((raised.exception.exit_code, self.queue.asked), (4, {}))
		return raised.exception

	def fill(self, program: str, seconds: float) -> list:
		"""A job for each of its workers."""
		names = {worker.name for worker in self.queue.members(self.pool(program).name)}
		self.queue.blocked.sort(key=lambda worker: worker.name not in names)
		jobs = [self.queue.enqueue(f"job-{number}", seconds=seconds) for number in range(len(names))]
		self.assertEqual({job.worker for job in jobs}, names)
		return jobs


class TestRolling(PoolCase):
	def test_every_pool_and_all_of_its_workers_have_new_code_and_no_manager_was_asked(self):
		run = Run(self.bench, ROLLING)
		report = run.go()
		self.assertEqual(
			(report.outcome, {name for _, name in self.bench.processes.orders}), (Phase.DONE, {"web"})
		)
		self.assertEqual((self.times("pool-a"), self.times("pool-b"), self.members()), ({1}, {1}, 6))
		by = {it.name: (it.by, it.new_pid == it.old_pid) for it in report.processes}
		self.assertEqual(by.pop("web"), (ReplacedBy.MANAGER, False))
		self.assertEqual(by, dict.fromkeys(PROGRAMS, (ReplacedBy.RELOAD, True)))
		workers = {fact.name: fact.workers for fact in run.of(events.WorkerReloaded)}
		self.assertEqual((workers, self.queue.asked), ({"worker": 0, **POOLS}, {}))
		told = {it.name: (it.workers, it.former_workers) for it in report.processes if it.workers}
		self.assertEqual(told, {"pool-a": (4, 0), "pool-b": (2, 0)})

	def test_one_after_the_other_and_each_pool_serves_all_the_while(self):
		fewest, replacing = [], []

		def watch() -> None:
			serving = [
				worker for worker in self.queue.workers.values() if worker.state.value in ("idle", "busy")
			]
			fewest.append(len(serving))
			replacing.append(
				sum(
					pool.is_trying or len(self.times(name)) > 1
					for name, pool in zip(POOLS, map(self.pool, POOLS), strict=True)
				)
			)
			self.clock.after(0.05, watch)

		watch()
		Run(self.bench, ROLLING).go()
		self.assertEqual((min(fewest), max(replacing)), (6, 1))

	def test_under_load_each_job_runs_once(self):
		for number in range(200):
			self.clock.at(number / 5, lambda number=number: self.queue.enqueue(f"job-{number}", seconds=0.3))
		report = Run(self.bench, ROLLING).go()
		self.clock.sleep(60)
		self.assertEqual({task.runs for task in self.queue.tasks.values()}, {1})
		self.assertEqual((report.account.lost, self.times("pool-a")), ([], {1}))

	def test_a_job_under_way_is_waited_for_and_keeps_no_other_program_waiting(self):
		[job, *_] = self.fill("pool-a", 100)
		run = Run(self.bench, ROLLING)
		report = run.go()
		self.assertEqual([fact.name for fact in run.of(events.WorkerReloaded)][-1], "pool-a")
		self.assertEqual(
			(job.status, job.runs, report.outcome, self.times("pool-a")), ("finished", 1, Phase.DONE, {1})
		)
		self.assertGreater(report.seconds, 100)

	def test_at_a_time_limit_it_says_what_is_left_and_the_pool_goes_on_by_itself(self):
		self.fill("pool-a", 300)
		run = Run(self.bench, Options(Strategy.ROLLING, rolling_timeout=60))
		with self.assertRaises(DrainTimeout) as raised:
			run.go()
		self.assertIn("Not replaced: none.", str(raised.exception))
		changes = {it.name: it for it in run.operation.report.processes}
		self.assertEqual((changes["pool-a"].workers, changes["pool-a"].former_workers), (4, 4))
		self.assertIn(
			"pool-a has new code (but for 4 workers, which end their jobs first).", str(raised.exception)
		)
		self.clock.sleep(400)
		self.assertEqual((self.times("pool-a"), self.queue.asked), ({1}, {}))

	def test_a_pool_of_one_is_replaced_too(self):
		self.bench = InMemoryBench({"only": ("default",)}, pools={"only": 1})
		self.assertEqual(Run(self.bench, ROLLING).go().outcome, Phase.DONE)

	def test_the_plan_names_them_as_what_reloads(self):
		plan = plan_of(self.bench.port(), ROLLING)
		self.assertEqual({process.name for process in plan.reloads}, set(PROGRAMS))
		self.assertEqual((plan.unmanaged, plan.pools), ((), POOLS))


class TestStock(PoolCase):
	pools = {}  # noqa: RUF012

	def test_a_pool_of_rqs_own_is_refused_before_anything_also_by_the_plan(self):
		# Given a program with workers of RQ below it
		for name in ("pool-a", "pool-b"):
			self.queue.workers.pop(f"{name}@{self.before[name]}")
		self.bench.host.add(77, parent=self.before["pool-a"])
		self.queue.add_worker("child", 77)
		for act in (Run(self.bench, ROLLING).go, lambda: plan_of(self.bench.port(), ROLLING)):
			with self.assertRaises(WrongEnvironment) as raised:
				act()
			error = raised.exception
			self.assertIn("worker-pools cannot replace their workers one by one: pool-a. Nothing", str(error))
			self.assertIn("setup worker", error.hint)
			self.assertIn("--wait-workers", error.hint)
			self.assertEqual((error.exit_code, self.bench.processes.orders), (7, []))

	def test_one_that_has_not_registered_is_another_thing(self):
		self.queue.workers.pop(f"pool-a@{self.before['pool-a']}")
		with self.assertRaisesRegex(WrongEnvironment, "Redis knows no worker of these programs: pool-a"):
			Run(self.bench, ROLLING).go()


class TestFaults(PoolCase):
	def test_one_whose_new_code_does_not_import_keeps_the_old_and_ends_it_there(self):
		self.queue.refusals[self.pool("pool-a").name] = "ImportError"
		run = Run(self.bench, ROLLING)
		error = self.fails(run)
		self.assertIn(
			"pool-a (its new code cannot be imported: ImportError; it keeps the old code and", str(error)
		)
		self.assertIn("Not touched, in service with the old code: pool-b", str(error))
		self.assertEqual((self.times("pool-a"), self.times("pool-b"), self.members()), ({0}, {0}, 6))

	def test_where_workers_were_switched_off_it_stays_and_another_strategy_is_named(self):
		self.queue.refusals[self.pool("pool-a").name] = "SwitchedOff"
		error = self.fails(Run(self.bench, ROLLING))
		self.assertIn("pool-a (workers of this app were switched off", str(error))
		self.assertIn("--wait-workers", error.hint)
		self.assertEqual(self.pids()["pool-a"], self.before["pool-a"])

	def test_one_that_is_stopped_is_named_and_follows_nothing_later(self):
		pool = self.pool("pool-a")
		pool.is_hung = True
		error = self.fails(Run(self.bench, ROLLING))
		self.assertIn(
			f"pool-a (it has not answered the request to reload for {ANSWERS_WITHIN:.0f} s)", str(error)
		)
		self.assertIn(f"kill -CONT {pool.pid}", error.hint)
		pool.is_hung = False
		self.clock.sleep(30)
		self.assertEqual(self.times("pool-a"), {0})

	def test_a_worker_that_does_not_leave_is_named(self):
		worker = self.queue.members(self.pool("pool-a").name)[0]
		worker.is_hung = True
		with self.assertRaises(ProcessFault) as raised:
			Run(self.bench, ROLLING).go()
		self.assertIn(
			f"its process has new code, and these of its workers do not leave: pid {worker.pid}",
			str(raised.exception),
		)

	def test_new_workers_that_do_not_start_are_told(self):
		run = Run(self.bench, ROLLING)
		start = self.queue._start_member
		self.queue._start_member = lambda pool: None if pool.times else start(pool)
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		error = str(raised.exception)
		self.assertIn(
			"only 3 of its 4 workers are there; 3 of them keep the old code and go on serving", error
		)

	def test_one_that_is_killed_meanwhile_comes_back_through_its_manager(self):
		run = Run(self.bench, ROLLING)

		def kill(fact: events.ReloadAsked) -> None:
			if fact.name == "pool-a":
				self.bench.processes.end("pool-a", ProcessState.EXITED)

		run.operation.listen(lambda fact: isinstance(fact, events.ReloadAsked) and kill(fact))
		report = run.go()
		change = {it.name: it for it in report.processes}["pool-a"]
		self.assertEqual((change.by, report.outcome, self.members()), (ReplacedBy.MANAGER, Phase.DONE, 6))
		self.assertEqual(self.queue.asked, {})


class TestElsewhere(PoolCase):
	def test_pools_that_no_manager_of_ours_runs_reload_too(self):
		self.queue.add_pool("far", 7, ("default",), host="host-2", is_unseen=True, size=3)
		run = Run(self.bench, ROLLING)
		self.assertEqual((run.go().outcome, run.of(events.WorkersUnmanaged)), (Phase.DONE, []))
		self.assertEqual({worker.times for worker in self.queue.members("far")}, {1})
		self.assertIn(
			"pool with pid 7 on host-2 (default)", {fact.name for fact in run.of(events.WorkerReloaded)}
		)

	def test_without_a_manager_nothing_else_is_needed(self):
		self.bench.processes.is_away = True
		self.assertEqual(Run(self.bench, Options(Strategy.ROLLING, web=False)).go().outcome, Phase.DONE)
		self.assertEqual(self.times_of_all(), {1})

	def times_of_all(self) -> set[int]:
		return {worker.times for worker in self.queue.workers.values()}


class TestNoWait(PoolCase):
	def test_idle_workers_are_replaced_and_the_rest_is_handed_over(self):
		jobs = self.fill("pool-a", 100)
		run = Run(self.bench, NO_WAIT)
		report = run.go()
		[fact] = run.of(events.HandedOver)
		self.assertEqual((fact.processes, fact.exit_code), (("pool-a",), 0))
		self.assertEqual((report.outcome, self.times("pool-a"), self.times("pool-b")), (Phase.DONE, {1}, {1}))
		self.assertEqual({(job.status, job.runs) for job in jobs}, {("finished", 1)})
		self.assertGreater(report.seconds, 100)

	def test_a_refusal_is_told_at_once(self):
		self.queue.refusals[self.pool("pool-b").name] = "SyntaxError"
		self.assertIn(
			"pool-b (its new code cannot be imported: SyntaxError", str(self.fails(Run(self.bench, NO_WAIT)))
		)
		self.assertEqual((self.times("pool-a"), self.times("pool-b")), ({1}, {0}))


class TestRecovery(PoolCase, KilledOperations):
	def is_asked(self, program: str):
		return lambda actor: self.pool(program).name in self.queue.asked

	def test_one_that_has_not_seen_it_is_asked_no_more(self):
		pool = self.pool("pool-a")
		dead = self.crash(NO_WAIT, self.is_asked("pool-a"))
		pool.is_hung = True
		report = self.recover(dead)
		pool.is_hung = False
		self.clock.sleep(60)
		self.assertEqual((self.times("pool-a"), self.queue.asked), ({0}, {}))
		self.assertNotIn("pool-a", {it.name for it in report.processes})

	def test_one_that_has_seen_it_is_waited_for(self):
		pool = self.pool("pool-a")
		dead = self.crash(NO_WAIT, lambda actor: pool.is_trying)
		report = self.recover(dead)
		self.assertIn("pool-a", {it.name for it in report.processes if it.new_pid})
		self.assertEqual((report.outcome, self.times("pool-a"), self.queue.asked), (Phase.RECOVERED, {1}, {}))

	def test_long_jobs_of_its_workers_are_not_waited_for(self):
		self.fill("pool-a", 1000)
		pool = self.pool("pool-a")
		dead = self.crash(NO_WAIT, lambda actor: pool.times == 1)
		began = self.clock.now()
		self.assertEqual(self.recover(dead).outcome, Phase.RECOVERED)
		self.assertLess(self.clock.now() - began, 60)

	def moments(self, options: Options, number: int) -> list[int]:
		"""From its beginning to its end."""
		self.setUp()
		steps: list[int] = []
		self.crash(options, lambda actor: steps.append(1) or actor.is_over)
		return [len(steps) * part // number for part in range(number)]

	def test_whenever_it_is_killed_all_workers_serve_and_no_request_stays(self):
		for options in (ROLLING, NO_WAIT):
			for steps in self.moments(options, repetitions("kills of an operation on pools", 7, long=100)):
				with self.subTest(strategy=options.strategy, steps=steps):
					self.setUp()
					self.queue.enqueue("running", seconds=30)
					self.kill_and_recover(options, steps)
					self.clock.sleep(150)
					self.assertEqual((self.members(), self.queue.asked), (6, {}))
					self.assertEqual({len(self.times(name)) for name in POOLS}, {1})
					self.assert_jobs_go_on()
