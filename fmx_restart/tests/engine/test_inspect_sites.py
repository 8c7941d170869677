from __future__ import annotations

from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions, Result
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.tests.engine.support import Run
from fmx_restart.tests.engine.test_migrate import SITES, MigrationTest


class TestFindings(MigrationTest):
	def find(self, gravity: Gravity, text: str = "it is locked"):
		self.bench.migrations.findings = [Finding("a.localhost", gravity, text, "Do this.")]

	def test_what_blocks_is_not_overruled_by_force(self):
		self.find(Gravity.BLOCKS)
		error = self.fail(self.run_with(force=True), WrongEnvironment)
		self.assertRegex(str(error), "a.localhost: it is locked. Nothing was changed")
		self.assertEqual(error.hint, "Do this.")
		self.assertEqual(self.bench.processes.orders, [])

	def test_what_is_doubtful_is_refused_unless_forced(self):
		self.find(Gravity.DOUBTFUL)
		self.fail(self.run_with(), WrongEnvironment)
		run = self.run_with(force=True)
		run.go()
		told = [fact.finding.gravity for fact in run.of(events.MigrationFinding)]
		self.assertEqual(told.count(Gravity.DOUBTFUL), 1)

	def test_sites_that_stay_open_for_old_web_are_told_and_closed_ones_are_not(self):
		for phases, is_told in (((), True), ((Phase.DRAIN,), True), ((Phase.MIGRATE,), False)):
			self.setUp()
			self.bench.settings.files = {site: {} for site in SITES}
			maintenance = frozenset(phases)
			options = Options(
				strategy=Strategy.WAIT_WORKERS,
				sites=SITES,
				migration=MigrationOptions(),
				maintenance=maintenance,
			)
			run = Run(self.bench, options)
			run.go()
			texts = [fact.finding.text for fact in run.of(events.MigrationFinding)]
			self.assertEqual(any("leaves the sites open" in text for text in texts), is_told, phases)

	def test_a_transaction_that_ends_with_its_job_is_told_and_does_not_refuse(self):
		self.find(Gravity.TRANSIENT)
		self.bench.queue.enqueue("running", queue="short", seconds=10)
		self.bench.clock.at(9, self.bench.migrations.findings.clear)
		self.assertEqual(self.run_with().go().outcome, Phase.DONE)

	def test_one_that_is_still_there_after_the_drain_undoes_all(self):
		self.find(Gravity.TRANSIENT, "a transaction of 90 s")
		run = self.run_with()
		error = self.fail(run, WrongEnvironment)
		self.assertRegex(str(error), "a transaction of 90 s. Nothing was restarted; the queue keeps running")
		self.assertEqual(run.operation.report.outcome, Phase.ABORTED)
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_a_worker_of_another_machine_would_meet_the_new_schema(self):
		self.bench.queue.add_worker("elsewhere", 7, ("default",), host="host-2")
		error = self.fail(self.run_with(), WrongEnvironment)
		self.assertRegex(str(error), "pid 7 on host-2")

	def test_so_would_one_that_somebody_started_by_hand(self):
		self.bench.host.add(77)
		self.bench.queue.add_worker("by-hand", 77, ("default",))
		self.assertRegex(str(self.fail(self.run_with(), WrongEnvironment)), "pid 77 on host-1")

	def test_strategies_that_leave_old_processes_at_work_are_refused_unless_forced(self):
		for strategy in (Strategy.NO_WAIT_WORKERS, Strategy.SUSPEND_RQ):
			with self.subTest(strategy=strategy):
				error = self.fail(self.run_with(strategy=strategy), WrongEnvironment)
				self.assertRegex(str(error), "does not wait for running jobs")
				self.assertIn("--force", error.hint)
				self.assertEqual(self.bench.migrations.runs, {})
				run = self.run_with(strategy=strategy, force=True)
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual(self.results(run), [Result.DONE] * 3)
				self.bench.migrations.runs.clear()

	def test_rolling_has_no_moment_to_migrate_in(self):
		error = self.fail(self.run_with(strategy=Strategy.ROLLING, force=True), WrongEnvironment)
		self.assertRegex(str(error), "side by side")

	def test_leaving_out_web_or_workers_is_refused(self):
		self.assertRegex(str(self.fail(self.run_with(web=False), WrongEnvironment)), "--no-web")
		self.assertRegex(str(self.fail(self.run_with(workers=False), WrongEnvironment)), "does not replace")

	def test_without_a_site_nothing_is_changed(self):
		self.assertIn("--site", self.fail(self.run_with(sites=()), WrongEnvironment).hint)
