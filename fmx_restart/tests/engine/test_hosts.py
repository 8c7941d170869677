"""Three hosts, restarted in groups: what is not their turn's serves, and where one fails the rest keeps the old code."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	DrainTimeout,
	FenceFault,
	Interrupted,
	OperationError,
	ProcessFault,
	WrongEnvironment,
)
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.report import GroupResult
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.workers import Task
from fmx_restart.tests.engine.support import Run

ALL = ("host-1", "host-2", "host-3")
QUEUES = {"short": ("short",), "long": ("long",)}
ONE_BY_ONE = HostOptions(batch=1)


def wait_workers(hosts: HostOptions, **others) -> Options:
	return Options(Strategy.WAIT_WORKERS, hosts=hosts, **others)


class TestGroups(unittest.TestCase):
	def test_hosts_come_in_the_order_that_was_named_and_in_groups_as_large_as_wanted(self):
		hosts = ("a", "b", "c", "d", "e")
		for options, groups in (
			(HostOptions(), ["abcde"]),
			(HostOptions(("d", "b")), ["db"]),
			(HostOptions(batch=2), ["ab", "cd", "e"]),
			(HostOptions(batch=9), ["abcde"]),
			(HostOptions(share=0.25), ["a", "b", "c", "d", "e"]),  # at least one
			(HostOptions(share=0.5), ["ab", "cd", "e"]),
			(HostOptions(share=1.0), ["abcde"]),
			(HostOptions(canary=30.0), ["a", "bcde"]),
			(HostOptions(("e", "a", "c"), batch=2, canary=0.0), ["e", "ac"]),
			(HostOptions(("b",), canary=30.0), ["b"]),
		):
			with self.subTest(options):
				self.assertEqual(options.groups(hosts), tuple(map(tuple, groups)))


class HostsCase(unittest.TestCase):
	lossless: tuple[str, ...] = ()

	def setUp(self):
		self.bench = InMemoryBench(QUEUES, lossless=self.lossless)
		for name in ALL[1:]:
			self.bench.add_host(name, QUEUES, lossless=self.lossless)
		self.pids = self.pids_now()

	def pids_now(self) -> dict[str, int | None]:
		return {process.name: process.pid for process in self.bench.port().processes.list()}

	def assert_new(self, *hosts: str) -> None:
		"""All that runs on these hosts, and nothing else."""
		now = self.pids_now()
		new = {name.partition("/")[0] for name, pid in now.items() if pid != self.pids[name]}
		old = {name.partition("/")[0] for name, pid in now.items() if pid == self.pids[name]}
		self.assertEqual((new, old), (set(hosts), set(ALL) - set(hosts)))
		self.assertNotIn(None, now.values())

	def fails(self, run: Run, kind: type[OperationError]) -> OperationError:
		with self.assertRaises(kind) as caught:
			run.go()
		self.assertIs(type(caught.exception), kind)
		self.assertIsNone(self.bench.queue.suspension.value)
		return caught.exception

	def results(self, run: Run) -> list[GroupResult]:
		return [group.result for group in run.operation.report.hosts]

	def enqueue(self, id: str, host: str, queue: str, seconds: float):
		"""A job that a worker of this host takes."""
		name = next(
			name for name in self.bench.queue.workers if self.host_of(name) == host and f"{queue}@" in name
		)
		worker = self.bench.queue.workers[name]
		self.bench.queue.blocked.remove(worker)
		self.bench.queue.blocked.insert(0, worker)
		task = self.bench.queue.enqueue(id, queue=queue, seconds=seconds)
		self.assertEqual(task.worker, name)
		return task

	def host_of(self, worker: str) -> str:
		return self.bench.queue.workers[worker].host


class TestWaitWorkers(HostsCase):
	def test_each_group_is_new_and_well_before_the_next_one_is_touched(self):
		run = Run(self.bench, wait_workers(ONE_BY_ONE))
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assert_new(*ALL)
		begun = [fact.hosts for fact in run.of(events.HostsBegun)]
		self.assertEqual(begun, [("host-1",), ("host-2",), ("host-3",)])
		told = [
			type(fact).__name__
			for fact in run.facts
			if isinstance(fact, events.HostsDone | events.HostsBegun)
		]
		self.assertEqual(told, ["HostsBegun", "HostsDone"] * 3)
		for facts, host in zip(self.between(run), ALL, strict=True):
			touched = {
				fact.name.partition("/")[0] for fact in facts if isinstance(fact, events.ProcessStopping)
			}
			self.assertEqual(touched, {host})
		self.assertEqual(self.results(run), [GroupResult.REPLACED] * 3)
		self.assertEqual(len(report.processes), 7)
		self.assertEqual(report.not_replaced, [])

	def between(self, run: Run) -> list[list[events.Event]]:
		"""Facts of each group."""
		groups: list[list[events.Event]] = []
		for fact in run.facts:
			if isinstance(fact, events.HostsBegun):
				groups.append([])
			elif groups:
				groups[-1].append(fact)
		return groups

	def test_jobs_on_hosts_whose_turn_it_is_not_run_on_and_are_not_waited_for(self):
		elsewhere = self.enqueue("elsewhere", "host-3", "long", seconds=1000)
		here = self.enqueue("here", "host-2", "short", seconds=5)
		run = Run(self.bench, wait_workers(HostOptions(("host-2",)), drain_timeout=20))
		self.assertEqual([job.id for job in plan_of(self.bench.port(), run.operation.options).jobs], ["here"])
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual((here.status, elsewhere.status), ("finished", "started"))
		self.assertEqual([wait.job.id for wait in report.waited_for], ["here"])
		self.assertEqual((report.account.running, report.account.lost), (1, []))
		self.assert_new("host-2")

	def test_the_queue_runs_between_two_groups_and_each_job_runs_once(self):
		run = Run(self.bench, wait_workers(HostOptions(batch=1, pause=60.0)))
		tasks = []
		run.when(
			events.HostsDone,
			lambda: tasks.append(self.bench.queue.enqueue("meanwhile", queue="short", seconds=1)),
		)
		report = run.go()
		self.assertEqual([task.runs for task in tasks], [1])
		self.assertGreater(report.seconds, 2 * 60)
		lifted = [fact.pause for fact in run.of(events.HostsDone)]
		self.assertEqual(lifted, [60.0, 60.0, 0.0])
		self.assertEqual(report.account.arrived, 1)
		self.assertTrue(report.account.is_balanced)

	def test_a_job_that_a_worker_lost_in_any_group_is_put_back(self):
		run = Run(self.bench, wait_workers(ONE_BY_ONE))
		run.when(events.HostsDone, self.lose_one)
		report = run.go()
		self.assertEqual(report.account.lost, [])
		self.assertEqual([fact.ids for fact in run.of(events.JobsPutBack)], [("lost",)])

	def lose_one(self) -> None:
		queue = self.bench.queue
		queue.tasks["lost"] = Task("lost", "short", enqueued=self.bench.clock.time())

	def test_a_canary_that_ends_while_it_is_watched_keeps_the_old_code_everywhere_else(self):
		run = Run(self.bench, wait_workers(HostOptions(("host-2", "host-1", "host-3"), canary=30.0)))
		there = self.bench.managers["host-2"]
		run.when(
			Phase.HANDOVER,
			lambda: self.bench.clock.after(20, lambda: there.end("short", ProcessState.FAILED)),
		)
		error = self.fails(run, ProcessFault)
		self.assertEqual(error.exit_code, 4)
		self.assertIn("host-2/short", str(error))
		self.assertIn("Not touched, in service with the old code: host-1/web, host-1/short", str(error))
		self.assertEqual(self.results(run), [GroupResult.FAILED, GroupResult.UNTOUCHED])
		(stopped,) = run.of(events.HostsStopped)
		self.assertEqual((stopped.failed, stopped.not_replaced), (("host-2",), ("host-1", "host-3")))
		now = self.pids_now()
		self.assertEqual(
			{name for name, pid in now.items() if pid != self.pids[name]}, {"host-2/short", "host-2/long"}
		)

	def test_a_canary_that_stays_well_is_followed_by_the_others(self):
		run = Run(self.bench, wait_workers(HostOptions(canary=30.0)))
		report = run.go()
		self.assert_new(*ALL)
		first, rest = run.of(events.HostsDone)
		self.assertEqual((first.hosts, first.watched, rest.hosts), (("host-1",), 30.0, ("host-2", "host-3")))
		self.assertGreater(report.seconds, 30)

	def test_a_host_that_does_not_come_back_keeps_the_next_ones_as_they_are(self):
		self.bench.managers["host-2"]["long"].crashes_at_start = True
		run = Run(self.bench, wait_workers(ONE_BY_ONE))
		error = self.fails(run, ProcessFault)
		self.assertEqual(self.results(run), [GroupResult.REPLACED, GroupResult.FAILED, GroupResult.UNTOUCHED])
		self.assertIn("host-3/short, host-3/long", str(error))
		self.assertEqual(self.bench.managers["host-3"].orders, [])
		self.assertEqual(run.operation.report.not_replaced, ["host-3/short", "host-3/long"])

	def test_a_drain_that_takes_too_long_in_a_later_group_says_what_is_new(self):
		self.enqueue("long one", "host-2", "long", seconds=1000)
		run = Run(self.bench, wait_workers(ONE_BY_ONE, drain_timeout=20))
		error = self.fails(run, DrainTimeout)
		self.assertIn("Restarted before: host-1.", str(error))
		self.assertIn("in service with the old code: host-2, host-3. The queue keeps running.", str(error))
		self.assertNotIn("Nothing was restarted", str(error))
		self.assertEqual(run.operation.report.outcome, Phase.FAILED)
		self.assert_new("host-1")
		self.assertEqual(len(run.operation.report.not_replaced), 4)

	def test_a_drain_that_takes_too_long_in_the_first_group_changes_nothing(self):
		self.enqueue("long one", "host-1", "long", seconds=1000)
		run = Run(self.bench, wait_workers(ONE_BY_ONE, drain_timeout=20))
		error = self.fails(run, DrainTimeout)
		self.assertIn("Nothing was restarted", str(error))
		self.assertEqual(run.operation.report.outcome, Phase.ABORTED)
		self.assert_new()

	def test_a_manager_that_leaves_between_two_groups_is_a_failure_of_its_host(self):
		run = Run(self.bench, wait_workers(ONE_BY_ONE))
		run.when(events.HostsDone, lambda: setattr(self.bench.managers["host-2"], "is_away", True))
		error = self.fails(run, ProcessFault)
		self.assertIn("host-2", str(error))
		self.assertIn("Restarted before: host-1.", str(error))
		self.assertEqual(self.bench.managers["host-2"].orders + self.bench.managers["host-3"].orders, [])

	def test_a_manager_of_a_host_that_is_done_may_leave(self):
		run = Run(self.bench, wait_workers(HostOptions(("host-2", "host-3"), batch=1)))
		run.when(events.HostsDone, lambda: setattr(self.bench.managers["host-2"], "is_away", True))
		self.assertEqual(run.go().outcome, Phase.DONE)

	def test_it_can_be_stopped_between_two_groups(self):
		run = Run(self.bench, wait_workers(HostOptions(batch=1, pause=60.0)))
		run.when(events.HostsDone, lambda: self.bench.clock.after(10, run.operation.stop_requested.set))
		error = self.fails(run, Interrupted)
		self.assertIn("Restarted before: host-1.", str(error))
		self.assert_new("host-1")
		self.assertLess(run.operation.report.seconds, 60)

	def test_a_fence_that_lapsed_is_a_reason_to_stop(self):
		run = Run(self.bench, wait_workers(ONE_BY_ONE))
		run.stalls(events.ProcessStopping)
		error = self.fails(run, FenceFault)
		self.assertIn("Not restarted, in service with the old code: host-2/short", str(error))
		self.assert_new("host-1")

	def test_web_alone_is_restarted_host_by_host(self):
		run = Run(self.bench, Options(Strategy.FAST, hosts=HostOptions(("host-1",)), workers=False))
		self.assertEqual(run.go().outcome, Phase.DONE)
		now = self.pids_now()
		self.assertEqual({name for name, pid in now.items() if pid != self.pids[name]}, {"host-1/web"})


class TestRefusals(HostsCase):
	def test_a_host_that_nobody_knows_is_refused_and_the_known_ones_are_named(self):
		run = Run(self.bench, wait_workers(HostOptions(("host-2", "host-9"))))
		error = self.fails(run, WrongEnvironment)
		self.assertEqual(error.exit_code, 7)
		self.assertIn("host-9. Nothing was changed.", str(error))
		self.assertIn("host-1, host-2, host-3", error.hint)
		self.assert_new()
		self.assertEqual(run.phases, [Phase.PREFLIGHT])

	def test_the_plan_shows_the_groups(self):
		plan = plan_of(self.bench.port(), wait_workers(HostOptions(batch=2, canary=1.0)))
		self.assertEqual(plan.hosts, (("host-1",), ("host-2", "host-3")))
		self.assertEqual(plan_of(self.bench.port(), Options()).hosts, ())
		plan = plan_of(self.bench.port(), wait_workers(HostOptions(("host-3",))))
		self.assertEqual([process.host for process in plan.restart], ["host-3"] * 2)


class TestRolling(HostsCase):
	lossless = ("short", "long")

	def test_workers_that_reload_in_place_do_so_host_by_host(self):
		run = Run(self.bench, Options(Strategy.ROLLING, hosts=HostOptions(batch=1), web=False))
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		reloaded = [fact.name.partition("/")[0] for fact in run.of(events.WorkerReloaded)]
		self.assertEqual(reloaded, [host for host in ALL for _ in range(2)])
		self.assertEqual(self.results(run), [GroupResult.REPLACED] * 3)

	def test_one_that_refuses_keeps_the_next_hosts_as_they_are(self):
		name = next(name for name in self.bench.queue.workers if name.startswith("host-2/short@"))
		self.bench.queue.refusals[name] = "SyntaxError"
		run = Run(self.bench, Options(Strategy.ROLLING, hosts=HostOptions(batch=1), web=False))
		error = self.fails(run, ProcessFault)
		self.assertEqual(self.results(run), [GroupResult.REPLACED, GroupResult.FAILED, GroupResult.UNTOUCHED])
		self.assertIn("Not touched, in service with the old code: ", str(error))
		self.assertIn("host-3/short, host-3/long", str(error))


class TestDeath(HostsCase):
	def test_one_that_dies_between_two_groups_leaves_nothing_to_clean_up(self):
		run = Run(self.bench, wait_workers(ONE_BY_ONE))
		run.when(Phase.HANDOVER, self.die)
		with self.assertRaises(MemoryError):
			run.go()
		while not isinstance(run.facts[-1], events.HostsDone):
			run.facts.pop()
		self.bench.clock.sleep(60)
		report = run.recovery(self.bench).run()
		self.assertEqual(report.outcome, Phase.RECOVERED)
		self.assertIn("Not restarted: host-2/short, host-2/long, host-3/short", report.failure.message)
		self.assert_new("host-1")

	def die(self) -> None:
		raise MemoryError
