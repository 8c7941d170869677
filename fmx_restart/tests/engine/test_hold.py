"""Web whose requests wait while it is stopped and started: for a restart, and for a whole migration."""

from __future__ import annotations

import unittest

from fmx_restart.console.plan import plan_sentence
from fmx_restart.console.sentences import plan_warnings, sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions, Result
from fmx_restart.engine.options import InvalidOptions, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState, WebMethod, WebWay
from fmx_restart.engine.request_hold import LAST_REQUESTS, TAKES_OVER
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import Script
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITES = ("a.localhost", "b.localhost")
WAITS = WebWay(
	WebMethod.HOLD, "it was started before it was set up to linger", "This restart makes it active."
)
BOOT = 1.5  # seconds, of the twin's web


class HoldCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS, boot=BOOT)
		self.clock, self.web = self.bench.clock, self.bench.web
		self.web.web_way = WAITS

	def run_with(self, strategy: Strategy = Strategy.WAIT_WORKERS, **options: object) -> Run:
		return Run(self.bench, Options(strategy=strategy, **options))


class TestARestart(HoldCase):
	def test_with_every_strategy_requests_wait_for_a_boot_and_none_fails(self):
		for strategy in Strategy:
			with self.subTest(strategy=strategy):
				self.setUp()
				run = self.run_with(strategy)
				report = run.go()
				self.assertEqual(report.outcome, Phase.DONE)
				(answers,) = report.web
				self.assertTrue(answers.is_flawless, answers)
				self.assertGreaterEqual(answers.slowest, BOOT)
				self.assertLess(answers.slowest, BOOT + 1.5)
				told = [type(fact) for fact in run.facts]
				self.assertLess(told.index(events.WebRequestsWait), told.index(events.ProcessStopping))
				(served,) = run.of(events.WebRequestsServed)
				self.assertIn(f"{served.seconds:.1f} s at most", sentence(served))
				self.assertEqual(self.web.held, [])

	def test_it_is_told_before_with_the_reason(self):
		plan = plan_of(self.bench.port(), Options())
		self.assertIn("Web requests wait for some seconds", plan_sentence(plan))
		(warning,) = plan_warnings(plan)
		self.assertIn("requests wait while web restarts, as it was started before", warning)

	def test_where_the_system_refuses_in_the_end_that_is_told_and_requests_fail_as_always(self):
		self.web.hold_fault = "Operation not permitted"
		run = self.run_with()
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertIn("Operation not permitted", " ".join(map(sentence, run.of(events.WebCannotLinger))))
		self.assertGreater(report.web[0].unanswered, 0)

	def test_requests_that_old_workers_have_begun_are_waited_for_and_not_for_long(self):
		def one_worker_stays() -> None:
			self.worker = self.bench.host.add(4711, parent=self.bench.processes["web"].pid)

		run = self.run_with()
		run.when(events.WebRequestsWait, one_worker_stays)
		run.when(events.WebRequestsServed, lambda: self.bench.host.end([self.worker]))
		report = run.go()
		(down,) = [fact for fact in run.of(events.ProcessUp) if fact.name == "web"]
		self.assertAlmostEqual(down.seconds, LAST_REQUESTS + BOOT, delta=1)
		self.assertEqual(report.outcome, Phase.DONE)

	def test_old_workers_that_hand_nothing_over_do_not_keep_web_down(self):
		self.web.hands_over = False
		run = self.run_with()
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		(told,) = run.of(events.WebRequestsFail)
		self.assertIn("no old worker", sentence(told))
		self.assertLess(report.web[0].unanswered, TAKES_OVER + BOOT + 2)

	def test_new_code_that_does_not_start_lets_the_requests_go(self):
		run = self.run_with()
		run.when(Phase.RESTART, lambda: setattr(self.bench.processes["web"], "crashes_at_start", True))
		with self.assertRaises(ProcessFault):
			run.go()
		(told,) = run.of(events.WebRequestsFail)
		self.assertIn("does not come up", told.reason)
		self.assertEqual(self.web.held, [])


class TestAMigration(HoldCase):
	def setUp(self):
		super().setUp()
		self.scripts = self.bench.migrations.scripts

	def migrate(self, **options: object) -> Run:
		migration = MigrationOptions(hold_web=True)
		return self.run_with(sites=SITES, migration=migration, **options)

	def test_requests_wait_until_new_code_answers_and_none_fails_or_is_turned_away(self):
		self.scripts["a.localhost"] = Script(seconds=100.0)  # longer than any start
		up: list[bool] = []
		self.scripts["b.localhost"] = Script(on_start=lambda: up.append(self.is_up()))
		run = self.migrate()
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		(answers,) = report.web
		self.assertTrue(answers.is_flawless, answers)
		self.assertGreater(answers.slowest, 100)
		self.assertEqual(up, [False])
		(served,) = run.of(events.WebRequestsServed)
		self.assertGreater(served.seconds, 100)
		self.assertEqual(run.of(events.WebRequestsFail), [])

	def is_up(self) -> bool:
		return self.bench.processes["web"].state is ProcessState.RUNNING

	def test_web_is_down_before_the_first_schema_changes(self):
		seen: list[ProcessState] = []
		self.scripts["a.localhost"] = Script(on_start=lambda: seen.append(self.bench.processes["web"].state))
		self.migrate().go()
		self.assertEqual(seen, [ProcessState.STOPPED])

	def test_web_that_someone_starts_meanwhile_is_stopped_again_before_the_next_site(self):
		seen: list[bool] = []
		self.scripts["a.localhost"] = Script(
			on_start=lambda: self.clock.after(1.0, lambda: self.bench.processes.start("web"))
		)
		self.scripts["b.localhost"] = Script(on_start=lambda: seen.append(self.is_up()))
		report = self.migrate().go()
		self.assertEqual((seen, report.outcome), ([False], Phase.DONE))

	def test_an_old_process_that_may_still_answer_ends_it_before_a_schema_changes(self):
		self.web.leftovers = [4711]
		run = self.migrate()
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertIn("pid 4711", str(raised.exception))
		self.assertIn("No schema was changed.", str(raised.exception))
		self.assertIn("kill 4711", raised.exception.hint)
		self.assertEqual(self.bench.migrations.runs, {})
		self.assertTrue(self.is_up())
		self.assertEqual(self.web.held, [])

	def test_old_workers_that_hand_nothing_over_end_it_before_a_schema_changes(self):
		self.web.hands_over = False
		run = self.migrate()
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertIn("Requests cannot wait for web", str(raised.exception))
		self.assertEqual(self.bench.migrations.runs, {})
		self.assertTrue(self.is_up())

	def test_where_requests_cannot_wait_it_is_refused_in_the_preflight(self):
		self.web.hold_fault = "its old workers are not set up"
		with self.assertRaises(WrongEnvironment) as raised:
			self.migrate().go()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertIn("requests cannot wait for web (--hold-web): its old workers", str(raised.exception))
		self.assertIn("Nothing was changed.", str(raised.exception))
		self.assertIn("Leave --hold-web out", raised.exception.hint)
		self.assertEqual(self.bench.processes.orders, [])

	def test_where_a_migration_fails_new_web_answers_what_has_waited(self):
		self.scripts["a.localhost"] = Script(exit_code=1)
		run = self.migrate()
		with self.assertRaises(Exception) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 6)
		self.assertEqual(run.operation.report.migrations[0].result, Result.FAILED)
		self.assertTrue(run.operation.report.web[0].is_flawless)

	def test_when_its_process_dies_web_stays_down_until_the_migration_has_ended_and_is_started_then(self):
		twin = InMemoryBench(WORKERS, boot=BOOT)
		twin.web.web_way = WAITS
		run = Run(twin, self.migrate().operation.options)
		run.go()
		last = next(n for n, fact in enumerate(run.facts) if isinstance(fact, events.MigrationStarted))
		run.facts[last + 1 :] = []
		for name in ("web", *WORKERS):
			self.bench.processes.end(name, ProcessState.STOPPED, "")
		migration = self.bench.migrations.start(SITES[0], MigrationOptions())
		ended: list[bool] = []
		self.bench.processes["web"].on_start = lambda: ended.append(migration.is_gone())
		self.assertEqual(run.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertEqual((ended, self.is_up()), ([True], True))

	def test_the_plan_says_it(self):
		plan = plan_of(self.bench.port(), Options(sites=SITES, migration=MigrationOptions(hold_web=True)))
		self.assertIn("Web requests wait until the sites are migrated", plan_sentence(plan))
		self.assertEqual(plan_warnings(plan), [])


class TestItsOptions(unittest.TestCase):
	def refused(self, **options: object) -> str:
		with self.assertRaises(InvalidOptions) as raised:
			Options(
				strategy=Strategy.WAIT_WORKERS,
				sites=SITES,
				migration=MigrationOptions(hold_web=True),
				**options,
			).checked()
		return str(raised.exception)

	def test_requests_that_wait_cannot_be_turned_away(self):
		for phase in (Phase.MIGRATE, Phase.RESTART):
			text = self.refused(maintenance=frozenset({phase}))
			self.assertIn("--hold-web lets requests wait", text)

	def test_there_must_be_web_to_hold(self):
		self.assertIn("--no-web", self.refused(web=False))
