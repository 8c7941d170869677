"""Two process managers, one of them on another machine: each may be away by itself."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run


class TestTwoManagers(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short", "default")})
		self.there = self.bench.add_host("host-2", {"short": ("short", "default"), "long": ("long",)})
		self.pids = {process.name: process.pid for process in self.there.list()}

	def leave(self, back_after: float | None = None) -> None:
		self.there.is_away = True
		if back_after is not None:
			self.bench.clock.after(back_after, lambda: setattr(self.there, "is_away", False))

	def test_both_are_restarted_and_no_job_is_lost(self):
		tasks = [self.bench.queue.enqueue(f"job-{n}", queue="long", seconds=3) for n in range(4)]
		report = Run(self.bench).go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual(
			{change.name for change in report.processes if change.new_pid},
			{"host-1/web", "host-1/short", "host-2/short", "host-2/long"},
		)
		now = {process.name: process.pid for process in self.there.list()}
		self.assertTrue(all(now[name] not in (None, pid) for name, pid in self.pids.items()))
		self.bench.clock.sleep(30)
		self.assertEqual({task.status for task in tasks}, {"finished"})

	def test_no_process_of_this_machine_is_taken_for_one_of_the_other_that_has_its_pid(self):
		self.assertEqual(self.there["long"].pid, self.bench.processes["short"].pid)
		self.bench.queue.enqueue("running", queue="short", seconds=2)
		self.assertEqual(plan_of(self.bench.port(), Options()).busy, ("host-1/short",))
		Run(self.bench).go()
		self.assertEqual(self.bench.host.killed, [])

	def test_workers_of_the_other_machine_are_managed_and_the_plan_says_which_are_busy(self):
		self.bench.queue.enqueue("running", queue="long", seconds=20)
		plan = plan_of(self.bench.port(), Options())
		self.assertEqual(plan.unmanaged, ())
		self.assertEqual(plan.busy, ("host-2/long",))

	def test_one_that_is_away_for_a_while_delays_its_own_programs_alone(self):
		run = Run(self.bench)
		run.when(Phase.RESTART, lambda: self.leave(back_after=20))
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual(len(run.of(events.ManagerAway)), 1)
		here = [fact for fact in run.of(events.ProcessUp) if fact.name == "host-1/short"]
		self.assertLess(here[0].seconds, 5)
		now = {process.name: process.pid for process in self.there.list()}
		self.assertTrue(all(now[name] not in (None, pid) for name, pid in self.pids.items()))

	def test_one_that_is_away_for_ever_is_named_with_what_to_type_and_the_others_are_restarted(self):
		run = Run(self.bench)
		run.when(Phase.RESTART, self.leave)
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 4)
		self.assertIn("host-2", str(raised.exception))
		self.assertIn("in-memory start short", raised.exception.hint)
		up = {fact.name for fact in run.of(events.ProcessUp)}
		self.assertEqual(up, {"host-1/web", "host-1/short"})
		self.assertIsNone(self.bench.queue.suspension.value)

	def test_one_that_is_away_at_the_beginning_keeps_everything_as_it_is(self):
		self.leave()
		with self.assertRaisesRegex(WrongEnvironment, "host-2.*Nothing was changed") as raised:
			Run(self.bench).go()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertEqual((self.bench.processes.orders, self.there.orders), ([], []))

	def test_one_that_takes_no_orders_from_us_keeps_everything_as_it_is_and_the_plan_says_so_too(self):
		self.there.forbids = ProcessFault("user anna may not stop it", hint="Add this rule.")
		before = self.there.list()
		run = Run(self.bench)
		for begin in (run.go, lambda: plan_of(self.bench.port(), Options())):
			with self.assertRaises(WrongEnvironment) as raised:
				begin()
			text = "host-2: user anna may not stop it. Nothing was changed."
			self.assertEqual((str(raised.exception), raised.exception.hint), (text, "Add this rule."))
			self.assertEqual(raised.exception.exit_code, 7)
		self.assertEqual((self.there.list(), self.there.orders), (before, []))
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_one_that_leaves_during_the_drain_keeps_everything_as_it_was(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.clock.after(5, self.leave)
		with self.assertRaisesRegex(WrongEnvironment, "host-2.*Nothing was restarted") as raised:
			Run(self.bench).go()
		# Then nobody is told to end the programs of the manager that answers
		self.assertNotIn("kill", raised.exception.hint)
		self.assertEqual((self.bench.processes.orders, self.there.orders), ([], []))

	def test_a_worker_of_the_other_machine_that_neither_parks_nor_works_ends_the_operation(self):
		name = next(name for name in self.bench.queue.workers if name.startswith("host-2/long@"))
		self.bench.queue.workers[name].is_hung = True
		with self.assertRaises(DrainTimeout):
			Run(self.bench).go()
		self.assertEqual(self.there.orders, [])

	def test_workers_of_the_other_machine_are_kept_in_service_until_their_own_jobs_end(self):
		for strategy in (Strategy.NO_WAIT_WORKERS, Strategy.ROLLING):
			with self.subTest(strategy.value):
				self.setUp()
				task = self.bench.queue.enqueue("running", queue="long", seconds=200)
				run = Run(self.bench, Options(strategy))
				report = run.go()
				self.assertEqual(report.outcome, Phase.DONE)
				self.assertEqual((task.runs, task.status), (1, "finished"))
				now = {process.name: process.pid for process in self.there.list()}
				self.assertTrue(all(now[name] not in (None, pid) for name, pid in self.pids.items()))
				# Then its manager was never told to stop it: that would have killed the job in the end
				self.assertNotIn(("stop", "long"), self.there.orders)

	def test_a_busy_worker_there_is_told_to_leave_once_and_idle_ones_are_back_long_before(self):
		self.bench.queue.enqueue("running", queue="long", seconds=200)
		run = Run(self.bench, Options(Strategy.NO_WAIT_WORKERS))
		run.go()
		self.assertEqual([order for order in self.there.orders if order[0] == "leave"], [("leave", "long")])
		self.assertEqual([fact.processes for fact in run.of(events.HandedOver)], [("host-2/long",)])

	def test_rolling_there_takes_one_worker_at_a_time(self):
		run = Run(self.bench, Options(Strategy.ROLLING, web=False))
		run.go()
		steps = [type(f).__name__ for f in run.facts if isinstance(f, events.ProcessDown | events.ProcessUp)]
		self.assertEqual(steps, ["ProcessDown", "ProcessUp"] * 3)

	def test_one_whose_process_no_record_proves_is_refused_where_it_would_have_to_be_told_by_its_pid(self):
		name = next(name for name in self.bench.queue.workers if name.startswith("host-2/long@"))
		self.bench.queue.workers[name].pid += 1  # below a shell, or in a pool
		for strategy in (Strategy.NO_WAIT_WORKERS, Strategy.ROLLING):
			with (
				self.subTest(strategy.value),
				self.assertRaisesRegex(WrongEnvironment, "host-2/long") as caught,
			):
				Run(self.bench, Options(strategy)).go()
			self.assertIn("--wait-workers", caught.exception.hint)
		self.assertEqual((self.bench.processes.orders, self.there.orders), ([], []))

	def test_one_that_dies_while_a_busy_worker_leaves_there_is_finished_by_its_recovery(self):
		self.bench.queue.enqueue("running", queue="long", seconds=200)
		run = Run(self.bench, Options(Strategy.NO_WAIT_WORKERS))
		run.when(events.HandedOver, self.die)
		with self.assertRaises(MemoryError):
			run.go()
		while not isinstance(run.facts[-1], events.HandedOver):
			run.facts.pop()
		report = run.recovery(self.bench).run()
		self.assertEqual(report.outcome, Phase.RECOVERED)
		now = {process.name: process.pid for process in self.there.list()}
		self.assertNotIn(now["long"], (None, self.pids["long"]))

	def die(self) -> None:
		raise MemoryError


class TestHostsWithoutManager(unittest.TestCase):
	"""Workers of a host that no manager reaches: those of this app restart themselves, others are named."""

	def setUp(self):
		self.bench = InMemoryBench({"short": ("short", "default")})
		about = {"host": "host-3", "is_unseen": True}
		self.ours = self.bench.queue.add_worker("ours@7", 7, ("short",), is_lossless=True, **about)
		self.stock = self.bench.queue.add_worker("stock@8", 8, ("long",), **about)

	def test_ours_reload_in_place_while_no_job_runs_and_the_others_are_named(self):
		run = Run(self.bench)
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		(reloaded,) = run.of(events.WorkerReloaded)
		self.assertEqual(reloaded.name, "pid 7 on host-3 (short)")
		self.assertEqual(report.unreached, ["pid 8 on host-3 (long)"])
		told = [fact for fact in run.facts if isinstance(fact, events.WorkerReloaded | events.PhaseEntered)]
		self.assertLess(told.index(reloaded), told.index(events.PhaseEntered(Phase.LIFT)))

	def test_one_that_refuses_the_new_code_is_a_failure_and_all_others_are_new(self):
		self.bench.queue.refusals["ours@7"] = "SyntaxError"
		run = Run(self.bench)
		with self.assertRaisesRegex(ProcessFault, "pid 7 on host-3.*SyntaxError"):
			run.go()
		self.assertEqual({fact.name for fact in run.of(events.ProcessUp)}, {"web", "short"})

	def test_a_host_of_such_workers_has_a_name_and_stock_ones_alone_have_none(self):
		plan = plan_of(self.bench.port(), Options(hosts=HostOptions(("host-3",))))
		self.assertEqual([process.name for process in plan.replaced], ["pid 7 on host-3 (short)"])
		self.bench.queue.stop_worker("ours@7")
		with self.assertRaisesRegex(WrongEnvironment, "host-3"):
			plan_of(self.bench.port(), Options(hosts=HostOptions(("host-3",))))
