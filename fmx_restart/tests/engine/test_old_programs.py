"""No old worker is alive while a schema changes, whatever happens to the operation meanwhile."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import FenceFault, MigrationFailed, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.testing.bench import InMemoryBench, worker_name
from fmx_restart.testing.migrations import Script
from fmx_restart.testing.processes import Program
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITES = ("a.localhost", "b.localhost")


class OldProgramsTest(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.add_program("schedule", ProcessKind.SCHEDULER)
		self.pids = {process.name: process.pid for process in self.bench.processes.list()}
		self.alive: list[list[str]] = []  # programs whose old process lives, at the start of each migration
		for site in SITES:
			self.bench.migrations.scripts[site] = Script(on_start=self.look)

	def add_program(self, name: str, kind: ProcessKind) -> None:
		program = self.bench.processes._programs[name] = Program(name, kind)
		self.bench.processes._spawn(program)

	def look(self) -> None:
		process = self.bench.host.process
		self.alive.append([name for name, pid in self.pids.items() if process(pid) is not None])

	def run_with(self, strategy: Strategy = Strategy.WAIT_WORKERS, force: bool = False, **options) -> Run:
		migration = MigrationOptions(force=force, **options)
		return Run(self.bench, Options(strategy, sites=SITES, migration=migration))

	def assert_up(self, *names: str, is_new: bool = True) -> None:
		self.bench.clock.sleep(10)
		for process in self.bench.processes.list():
			if process.name in names:
				self.assertIs(process.state, ProcessState.RUNNING, process)
				self.assertEqual(process.pid != self.pids[process.name], is_new, process)


class TestStopped(OldProgramsTest):
	def test_workers_and_scheduler_are_gone_before_the_first_schema_change_and_web_serves_on(self):
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.alive, [["web"], ["web"]])
		self.assert_up("web", "short", "long", "schedule")
		self.assertEqual(len(run.operation.report.processes), 4)

	def test_they_start_in_restart_and_not_before(self):
		run = self.run_with()
		run.go()
		starts = [index for index, fact in enumerate(run.facts) if isinstance(fact, events.ProcessUp)]
		self.assertGreater(min(starts), run.facts.index(events.PhaseEntered(Phase.RESTART)))

	def test_one_that_takes_no_notice_of_the_order_while_it_is_parked_is_ended(self):
		self.bench.processes["long"].refuses_to_stop = True
		self.bench.host.when_killed = lambda pid: self.bench.processes.end("long")
		self.assertEqual(self.run_with().go().outcome, Phase.DONE)
		self.assertEqual(self.alive[0], ["web"])
		self.assertEqual(self.bench.host.killed, [self.pids["long"]])

	def test_a_process_that_the_manager_lost_sight_of_is_ended(self):
		"""Its program counts as stopped, and it is still there."""
		self.bench.host.add(77, parent=self.pids["long"])
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertIn(77, self.bench.host.killed)

	def test_one_that_its_manager_brings_back_is_stopped_again(self):
		# Given a worker that is killed when it is about to be stopped, so that its manager starts it again
		run = self.run_with()

		def kill():
			self.bench.queue.kill_worker(worker_name(self.bench.processes["long"]))
			self.bench.processes.end("long", ProcessState.FAILED, "killed")
			self.bench.clock.after(1.0, lambda: self.bench.processes.start("long"))

		run.when(Phase.MIGRATE, kill)
		states: list = []
		self.bench.migrations.scripts[SITES[0]] = Script(
			on_start=lambda: states.append(self.bench.processes["long"].state)
		)
		# Then it is down all the same when the schema changes, and up afterwards
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(states, [ProcessState.STOPPED])
		self.assert_up("long")

	def test_one_that_somebody_starts_between_two_sites_is_stopped_again(self):
		run = self.run_with()
		run.when(events.MigrationStarted, lambda: self.bench.processes.start("long"))
		states: list = []
		self.bench.migrations.scripts[SITES[1]] = Script(
			on_start=lambda: states.append(self.bench.processes["long"].state)
		)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(states, [ProcessState.STOPPED])

	def test_one_that_was_stopped_before_stays_so(self):
		self.bench.processes.end("long")
		run = self.run_with()
		run.go()
		self.assertIs(self.bench.processes["long"].state, ProcessState.STOPPED)
		self.assertEqual(run.operation.report.left_alone, ["long"])

	def test_with_force_and_running_jobs_only_those_at_work_go_on(self):
		for strategy in (Strategy.SUSPEND_RQ, Strategy.NO_WAIT_WORKERS):
			with self.subTest(strategy=strategy):
				self.setUp()
				self.bench.queue.enqueue("running", queue="long", seconds=8)
				run = self.run_with(strategy, force=True)
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual(self.alive[0], ["web", "long"])
				self.assertEqual(run.operation.report.old_workers, [f"pid {self.pids['long']} on host-1"])
				self.assert_up("web", "short", "long", "schedule")


class TestStalls(OldProgramsTest):
	def test_in_the_middle_of_a_migration_no_old_worker_runs_a_job(self):
		# Given jobs that wait, and an operation that is stopped for a minute while a site is migrated
		run = self.run_with()
		run.stalls(events.MigrationStarted, seconds=60)
		run.when(Phase.MIGRATE, lambda: self.bench.queue.enqueue("waiting", queue="long"))
		ended: list[float] = []
		run.when(Phase.RESTART, lambda: ended.append(self.bench.clock.time()))
		# When it goes on
		with self.assertRaises(FenceFault) as raised:
			run.go()
		# Then the job ran once, after the migration, and everything is new
		self.bench.clock.sleep(60)
		task = self.bench.queue.tasks["waiting"]
		self.assertEqual((task.status, task.runs), ("finished", 1))
		self.assertGreater(task.started, ended[0])
		self.assert_up("web", "short", "long", "schedule")
		# And it is not called Done
		self.assertIn("No worker with old code was alive", str(raised.exception))
		self.assertNotIn("Look at the jobs", raised.exception.hint)  # there are none of that time
		self.assertEqual(raised.exception.exit_code, 4)

	def test_while_old_workers_are_being_stopped_a_job_that_starts_ends_before_the_schema_changes(self):
		run = self.run_with()
		run.when(Phase.MIGRATE, lambda: self.bench.queue.enqueue("slips-through", queue="long", seconds=50))
		run.stalls(Phase.MIGRATE)
		statuses: list = []
		run.when(
			events.MigrationsPlanned,
			lambda: statuses.append(self.bench.queue.tasks["slips-through"].status),
		)
		with self.assertRaises(FenceFault):
			run.go()
		self.assertEqual(statuses, ["finished"])
		self.assertEqual(self.alive[0], ["web"])

	def test_where_an_old_worker_was_left_on_purpose_it_is_named(self):
		self.bench.queue.add_worker("by-hand", 500, ("default",))
		self.bench.host.add(500)
		run = self.run_with(force=True)
		run.stalls(events.MigrationStarted)
		with self.assertRaisesRegex(FenceFault, "may have run jobs: pid 500 on host-1"):
			run.go()


class TestNotOursToStop(OldProgramsTest):
	def start_by_hand(self) -> None:
		self.bench.host.add(500)
		self.bench.queue.add_worker("by-hand", 500, ("default",))

	def test_a_worker_that_no_manager_stops_is_refused_before_anything_is_changed(self):
		self.start_by_hand()
		run = self.run_with()
		with self.assertRaisesRegex(WrongEnvironment, "pid 500 on host-1.*Nothing was changed") as raised:
			run.go()
		self.assertEqual((raised.exception.exit_code, run.phases), (7, [Phase.PREFLIGHT]))

	def test_with_force_the_report_names_it(self):
		self.start_by_hand()
		report = self.run_with(force=True).go()
		self.assertEqual(report.old_workers, ["pid 500 on host-1"])

	def test_one_that_is_started_after_the_drain_keeps_the_migration_from_beginning(self):
		run = self.run_with()
		run.when(Phase.MIGRATE, self.start_by_hand)
		with self.assertRaises(WrongEnvironment) as raised:
			run.go()
		self.assertRegex(
			str(raised.exception), "pid 500 on host-1.*No schema was changed, and web was not restarted"
		)
		self.assertRegex(str(raised.exception), "Started again.*: short, long, schedule")
		self.assertEqual((raised.exception.exit_code, self.bench.migrations.runs), (7, {}))
		self.assert_up("short", "long", "schedule")
		self.assert_up("web", is_new=False)
		self.assertIsNone(self.bench.queue.look().suspension)


class TestDoesNotStop(OldProgramsTest):
	def test_the_others_are_started_again_and_no_schema_was_changed(self):
		# Given a scheduler that neither its manager nor we can end
		self.bench.processes["schedule"].refuses_to_stop = True
		self.bench.host.end = lambda processes: None
		run = self.run_with()
		# Then it says what was and what was not changed
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		error = raised.exception
		self.assertRegex(
			str(error), "^Not migrated: .*schedule.*No schema was changed, and web was not restarted"
		)
		self.assertRegex(
			str(error), "Started again, with the code that is on the disk now: short, long. Not up: schedule"
		)
		self.assertEqual((error.exit_code, self.bench.migrations.runs), (4, {}))
		self.assertEqual(run.operation.report.outcome, Phase.FAILED)
		self.assert_up("short", "long")
		self.assert_up("web", is_new=False)

	def test_an_error_of_ours_starts_them_again(self):
		run = self.run_with()

		def break_down():
			raise RuntimeError("a bug")

		run.when(events.ProcessDown, break_down)
		with self.assertRaises(RuntimeError):
			run.go()
		self.assert_up("short", "long", "schedule")

	def test_one_that_comes_back_and_cannot_be_stopped_ends_the_row_of_sites(self):
		run = self.run_with()

		def come_back():
			self.bench.processes["schedule"].refuses_to_stop = True
			self.bench.host.end = lambda processes: None
			self.bench.processes.start("schedule")

		run.when(events.MigrationStarted, come_back)
		with self.assertRaisesRegex(MigrationFailed, "b.localhost failed.*Done: a.localhost") as raised:
			run.go()
		self.assertIn("old code would meet the new schema: schedule", raised.exception.hint)


if __name__ == "__main__":
	unittest.main()
