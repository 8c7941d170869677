"""--update-config: a group is taken over when nothing of it runs, as a whole or not at all; whatever fails, nothing stays down."""

from __future__ import annotations

import unittest

from fmx_restart.console.sentences import plan_warnings, sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import MigrationFailed, OperationError, ProcessFault, WrongEnvironment
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import InvalidOptions, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Change, ProcessKind, ProcessState
from fmx_restart.engine.report import GroupResult, UpdateResult
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import Script
from fmx_restart.testing.processes import Program
from fmx_restart.tests.engine.actors import HandedClock
from fmx_restart.tests.engine.killed import KilledOperations
from fmx_restart.tests.engine.support import Run

STOPPING = (Strategy.FAST, Strategy.WAIT_WORKERS, Strategy.SUSPEND_RQ)


class UpdateCase(unittest.TestCase):
	def setUp(self) -> None:
		self.bench = InMemoryBench({"short": ("short",), "long": ("long",)})
		self.processes = self.bench.processes
		self.configuration = self.processes.configuration

	def worker(self, name: str, group: str = "") -> Program:
		return self.bench.as_worker(
			Program(name, ProcessKind.WORKER, group=group, start_takes=0.5), ("short",)
		)

	def run_with(self, strategy: Strategy = Strategy.WAIT_WORKERS, **options: object) -> Run:
		return Run(self.bench, Options(strategy, **{"update_config": True, **options}))

	def results(self, run: Run) -> dict[str, UpdateResult]:
		return {update.group: update.result for update in run.operation.report.configuration}

	def names(self) -> set[str]:
		return {process.name for process in self.processes.list()}

	def down(self) -> list[str]:
		return [it.name for it in self.processes.list() if it.state is not ProcessState.RUNNING]

	def refuse_updates(self) -> None:
		def refuse(change):
			raise ProcessFault("it cannot be read")

		self.configuration.update = refuse

	def fails(self, run: Run, kind: type[OperationError]) -> OperationError:
		with self.assertRaises(kind) as raised:
			run.go()
		return raised.exception


class TestUpdates(UpdateCase):
	def test_with_every_strategy_that_stops_programs_each_group_is_updated_in_restart(self):
		for strategy in STOPPING:
			with self.subTest(strategy=strategy):
				self.setUp()
				changed = (self.worker("short-0", "short"), self.worker("short-1", "short"))
				self.configuration.write("short", Change.CHANGED, *changed)
				self.configuration.write("long", Change.REMOVED)
				self.configuration.write("new", Change.ADDED, self.worker("new"))
				run, seen = self.run_with(strategy), []
				run.when(events.GroupUpdating, lambda run=run, seen=seen: seen.append(run.operation.phase))
				report = run.go()
				self.assertEqual((report.outcome, seen), (Phase.DONE, [Phase.RESTART]))
				self.assertEqual(self.names(), {"web", "short-0", "short-1", "new"})
				self.assertEqual(self.down(), [])
				self.assertEqual(set(self.results(run).values()), {UpdateResult.UPDATED})
				self.assertEqual(self.configuration.updates[-1], "new")  # when all others are done
				removed = {change.name: change.is_removed for change in report.processes}
				self.assertEqual(
					{name for name, is_removed in removed.items() if is_removed}, {"short", "long"}
				)
				new = {change.name: change.new_pid for change in report.processes}
				self.assertTrue(all(new[name] for name in ("web", "short-0", "short-1", "new")))

	def test_a_program_that_stays_is_stopped_once_and_started_by_its_new_configuration(self):
		old = self.processes["web"].pid
		web = Program("web", ProcessKind.WEB, start_takes=0.5)
		self.configuration.write("web", Change.CHANGED, web)
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertIs(self.processes["web"], web)
		self.assertNotEqual(web.pid, old)
		self.assertEqual(self.processes.orders.count(("stop", "web")), 1)

	def test_without_workers_only_groups_of_web_are_updated(self):
		self.configuration.write("web", Change.CHANGED, Program("web", ProcessKind.WEB))
		self.configuration.write("long", Change.REMOVED)
		self.configuration.write("new", Change.ADDED, self.worker("new"))
		run = self.run_with(Strategy.FAST, workers=False)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.configuration.updates, ["web"])
		left = {update.group: update.reason for update in run.operation.report.configuration}
		self.assertEqual(left["long"], "this restart leaves long alone")
		self.assertEqual(left["new"], "it has programs that this restart leaves alone")

	def test_others_groups_and_those_with_a_program_that_someone_stopped_are_named_and_not_touched(self):
		self.configuration.write("other", Change.ADDED, self.worker("other"), is_ours=False)
		self.processes.end("long")
		self.configuration.write("long", Change.CHANGED, self.worker("long"))
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.configuration.updates, [])
		(told,) = run.of(events.ConfigurationChanged)
		self.assertIn("other (added; it is not of this bench)", sentence(told))
		self.assertIn("By hand: in-memory update other long. That stops long at once", sentence(told))
		self.assertIn("a job that outlasts their stop time is killed", sentence(told))
		self.assertIn("stopped on purpose", told.plan.left["long"])
		self.assertIs(self.processes["long"].state, ProcessState.STOPPED)

	def test_a_configuration_that_changes_during_the_drain_is_the_one_that_counts(self):
		run = self.run_with()
		run.when(Phase.DRAIN, lambda: self.configuration.write("long", Change.REMOVED))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.names(), {"web", "short"})
		self.assertEqual(len(run.of(events.ConfigurationChanged)), 1)


class TestTold(UpdateCase):
	def test_without_the_option_it_is_named_with_what_to_type_and_nothing_is_read(self):
		self.configuration.write("long", Change.REMOVED)
		run = self.run_with(update_config=False)
		self.assertEqual(run.go().outcome, Phase.DONE)
		(told,) = run.of(events.ConfigurationChanged)
		self.assertIn("long (removed)", sentence(told))
		self.assertIn("type: bench safe-restart --wait-workers --update-config", sentence(told))
		self.assertNotIn("By hand", sentence(told))  # which would kill a running job
		self.assertEqual((self.configuration.reads, self.configuration.updates), (0, []))
		self.assertEqual(self.results(run), {"long": UpdateResult.LEFT})

	def test_what_a_person_may_type_for_others_says_that_it_kills_jobs_where_something_runs(self):
		self.configuration.write("more", Change.ADDED, self.worker("more"), is_ours=False)
		(line,) = plan_warnings(plan_of(self.bench.port(), Options()))
		self.assertTrue(line.endswith("By hand: in-memory update more."), line)
		self.configuration.write("long", Change.CHANGED, self.worker("long"), is_ours=False)
		(line,) = plan_warnings(plan_of(self.bench.port(), Options()))
		self.assertIn("By hand: in-memory update more long. That stops long at once, with all programs", line)
		self.assertIn(
			"a job that outlasts their stop time is killed. In the bench whose programs they are", line
		)

	def test_a_plan_names_it_and_reads_nothing(self):
		self.configuration.write("long", Change.REMOVED)
		plan = plan_of(self.bench.port(), Options(update_config=True))
		(line,) = plan_warnings(plan)
		self.assertIn("long (removed). Each group is updated when its programs are down.", line)
		self.assertEqual(self.configuration.reads, 0)

	def test_where_nothing_changed_nothing_is_said(self):
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((run.of(events.ConfigurationChanged), self.configuration.reads), ([], 1))

	def test_a_broken_one_ends_it_before_anything_is_touched_and_is_a_warning_without_the_option(self):
		self.configuration.fault = "no command in section 'program:x'"
		error = self.fails(self.run_with(), WrongEnvironment)
		self.assertIn("no command in section 'program:x'. Nothing was changed.", str(error))
		self.assertEqual((self.processes.orders, self.configuration.reads), ([], 0))
		with self.assertRaises(WrongEnvironment):
			plan_of(self.bench.port(), Options(update_config=True))
		run = self.run_with(update_config=False)
		self.assertEqual(run.go().outcome, Phase.DONE)
		(told,) = run.of(events.ConfigurationChanged)
		self.assertIs(told.level, events.Level.WARNING)

	def test_one_that_is_broken_during_the_drain_ends_it_with_the_bench_as_it_was(self):
		run = self.run_with()
		run.when(Phase.DRAIN, lambda: setattr(self.configuration, "fault", "it is broken"))
		error = self.fails(run, WrongEnvironment)
		self.assertEqual((error.exit_code, run.operation.report.outcome), (7, Phase.ABORTED))
		self.assertEqual(self.processes.orders, [])
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_strategies_that_keep_workers_in_service_refuse_it(self):
		for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
			with self.assertRaisesRegex(InvalidOptions, "Use --wait-workers"):
				Options(strategy, update_config=True).checked()

	def test_a_manager_that_would_not_let_us_ends_it_before_anything_is_touched_and_only_with_the_option(
		self,
	):
		self.configuration.refusal = "sudo does not allow it"
		error = self.fails(self.run_with(), WrongEnvironment)
		self.assertEqual(
			(str(error), error.hint), ("sudo does not allow it. Nothing was changed.", "Let it.")
		)
		with self.assertRaises(WrongEnvironment):
			plan_of(self.bench.port(), Options(update_config=True))
		self.assertEqual((self.processes.orders, self.configuration.reads), ([], 0))
		self.assertEqual(self.run_with(update_config=False).go().outcome, Phase.DONE)

	def test_a_bench_whose_managers_have_none_refuses_it(self):
		self.processes.configuration = None
		self.assertIn("No process manager", str(self.fails(self.run_with(), WrongEnvironment)))


class TestFailures(UpdateCase):
	def test_an_update_that_fails_at_first_is_tried_again(self):
		self.configuration.write("long", Change.CHANGED, self.worker("long"))
		self.configuration.fails = 2
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((self.down(), self.names()), ([], {"web", "short", "long"}))

	def test_a_group_that_the_manager_refuses_goes_on_by_its_former_configuration(self):
		self.configuration.write("long", Change.CHANGED, self.worker("long"))
		old = self.processes["long"]
		self.refuse_updates()
		error = self.fails(run := self.run_with(), ProcessFault)
		self.assertIn("long (it cannot be read)", str(error))
		self.assertIn("in-memory update long. That stops long at once, with all programs: a job", error.hint)
		self.assertEqual((self.down(), self.processes["long"]), ([], old))
		self.assertEqual(self.results(run), {"long": UpdateResult.FAILED})
		self.assertEqual(run.operation.report.outcome, Phase.FAILED)

	def test_where_a_program_of_it_does_not_stop_the_group_stays_as_it_is(self):
		self.configuration.write("long", Change.CHANGED, self.worker("long"))
		self.processes["long"].refuses_to_stop = True
		self.bench.host.when_killed = lambda pid: None  # nor does it heed a KILL
		run = self.run_with()
		self.fails(run, ProcessFault)
		self.assertEqual(self.configuration.updates, [])
		self.assertEqual(self.results(run), {"long": UpdateResult.FAILED})


class TestMigration(UpdateCase):
	"""Workers are down for the migration already, and may not start by their former configuration after it."""

	def setUp(self) -> None:
		super().setUp()
		new = Program("long", ProcessKind.WORKER, group="long", start_takes=0.5)
		self.configuration.write("long", Change.CHANGED, self.bench.as_worker(new, ("long",)))
		self.configuration.write("web", Change.CHANGED, Program("web", ProcessKind.WEB, start_takes=0.5))
		self.new = new

	def run_with(self, **options: object) -> Run:
		return super().run_with(migration=MigrationOptions(**options), sites=("a.localhost",))

	def test_each_group_is_updated_after_the_migration_and_starts_by_the_new_one(self):
		for options in ({}, {"hold_web": True}):
			with self.subTest(options):
				self.setUp()
				run, seen = self.run_with(**options), []
				run.when(events.MigrationEnded, lambda seen=seen: seen.append(self.configuration.updates[:]))
				began = self.bench.clock.now()
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertLess(self.bench.clock.now() - began, 30)
				self.assertEqual((seen, set(self.configuration.updates)), ([[]], {"long", "web"}))
				self.assertIs(self.processes["long"], self.new)
				self.assertEqual((self.down(), self.names()), ([], {"web", "short", "long"}))

	def test_where_the_migration_fails_everything_is_restarted_and_updated_nevertheless(self):
		self.bench.migrations.scripts["a.localhost"] = Script(exit_code=1)
		error = self.fails(self.run_with(), MigrationFailed)
		self.assertEqual(error.exit_code, 6)
		self.assertEqual((self.down(), self.names()), ([], {"web", "short", "long"}))
		self.assertIsNone(self.bench.queue.look().suspension)


class TestHosts(UpdateCase):
	"""Each host takes over what changed for its own manager, in its own turn."""

	def setUp(self) -> None:
		super().setUp()
		self.bench.add_host("host-2", {"short": ("short",)})
		self.there = self.bench.managers["host-2"].configuration
		self.there.write("new", Change.ADDED, self.program("new"))
		self.configuration.write("long", Change.REMOVED)

	def program(self, name: str) -> Program:
		return Program(name, ProcessKind.OTHER, start_takes=0.5)

	def reads(self) -> tuple[int, int]:
		return self.configuration.reads, self.there.reads

	def test_a_group_is_updated_when_the_turn_of_its_host_comes_and_its_manager_is_not_asked_before(self):
		run, seen = self.run_with(hosts=HostOptions(("host-2", "host-1"), batch=1)), []
		run.when(events.HostsDone, lambda: seen.append((self.there.updates[:], self.reads())))
		run.when(events.GroupUpdating, lambda: seen.append(run.operation.phase))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(seen, [Phase.RESTART, (["new"], (0, 1))])
		self.assertEqual(self.reads(), (1, 1))
		self.assertEqual(self.configuration.updates, ["long"])
		done = {"host-2/new": UpdateResult.UPDATED, "host-1/long": UpdateResult.UPDATED}
		self.assertEqual(self.results(run), done)

	def test_a_group_that_is_new_comes_last_also_in_a_later_turn(self):
		self.there.write("short", Change.REMOVED)
		self.configuration.write("more", Change.ADDED, self.program("more"))
		run = self.run_with(hosts=HostOptions(batch=1))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.configuration.updates, ["long", "more"])
		self.assertEqual(self.there.updates, ["short", "new"])

	def test_a_host_that_was_not_chosen_is_neither_asked_nor_updated(self):
		run = self.run_with(hosts=HostOptions(("host-1",)))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((self.reads(), self.there.updates), ((1, 0), []))
		left = {it.group: it.reason for it in run.operation.report.configuration}
		self.assertEqual(left, {"host-2/new": "this restart leaves its host alone", "host-1/long": ""})

	def test_where_a_manager_refuses_its_own_the_hosts_before_are_new_and_those_after_as_they_were(self):
		self.bench.add_host("host-3", {"short": ("short",)})
		run = self.run_with(hosts=HostOptions(batch=1))
		run.when(events.HostsDone, lambda: setattr(self.there, "fault", "it is broken"))
		before = self.bench.managers["host-3"]["short"].pid
		error = self.fails(run, ProcessFault)
		self.assertIn("it is broken. Restarted before: host-1", str(error))
		self.assertIn("in service with the old code: host-2, host-3", str(error))
		self.assertEqual(self.bench.managers["host-3"]["short"].pid, before)
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_a_group_that_is_not_taken_over_keeps_the_next_hosts_as_they_are(self):
		self.refuse_updates()
		error = self.fails(run := self.run_with(hosts=HostOptions(batch=1)), ProcessFault)
		self.assertIn("host-1/long (host-1: it cannot be read)", str(error))
		self.assertIn("in service with the old code: host-2/short", str(error))
		self.assertIn("in-memory update long", error.hint)
		self.assertEqual((self.there.reads, self.there.updates), (0, []))
		results = [group.result for group in run.operation.report.hosts]
		self.assertEqual(results, [GroupResult.FAILED, GroupResult.UNTOUCHED])


class TestKilled(KilledOperations):
	def setUp(self) -> None:
		self.clock = HandedClock()
		self.bench = InMemoryBench({"short": ("short",), "long": ("long",)}, clock=self.clock)
		for name in ("web", "short", "long"):
			self.bench.processes[name].stop_takes = 0.5

	def test_wherever_it_dies_no_group_is_removed_and_not_added_and_nothing_stays_down(self):
		options = Options(Strategy.WAIT_WORKERS, update_config=True)
		for steps in range(0, 260, 7):
			for fails in (0, 2):
				with self.subTest(steps=steps, fails=fails):
					self.setUp()
					configuration = self.bench.processes.configuration
					new = Program("long", ProcessKind.WORKER, group="long", start_takes=0.5)
					configuration.write("long", Change.CHANGED, self.bench.as_worker(new, ("long",)))
					configuration.fails = fails
					self.kill_and_recover(options, steps)
					self.clock.sleep(10)
					states = {it.name: it.state for it in self.bench.processes.list()}
					self.assertEqual(states, dict.fromkeys(("web", "short", "long"), ProcessState.RUNNING))

	def test_a_group_that_its_manager_does_not_take_back_keeps_nothing_else_down(self):
		configuration = self.bench.processes.configuration
		new = Program("long", ProcessKind.WORKER, group="long")
		configuration.write("long", Change.CHANGED, self.bench.as_worker(new, ("long",)))
		configuration.fails = 1_000_000
		options = Options(Strategy.WAIT_WORKERS, update_config=True)

		def is_removed(_actor: object) -> bool:
			return "long" not in {process.name for process in self.bench.processes.list()}

		report = self.recover(self.crash(options, is_removed))
		states = {it.name: it.state for it in self.bench.processes.list()}
		self.assertEqual(states, dict.fromkeys(("web", "short"), ProcessState.RUNNING))
		self.assertEqual(report.outcome, Phase.FAILED)
		self.assertIn("not up: long", report.failure.message)
		self.assertIsNone(self.bench.queue.look().suspension)
