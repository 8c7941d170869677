"""Web whose old workers serve until new ones answer: it is first, and where it fails nothing else is touched."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.console.plan import plan_sentence
from fmx_restart.console.sentences import plan_warnings, sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import FenceFault, ProcessFault, QueueUnreachable
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import NoOtherOperations, ProcessState, WebMethod, WebWay
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
LINGERS = WebWay(WebMethod.LINGER)


class LingerCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.clock, self.web = self.bench.clock, self.bench.web
		self.web.web_way = LINGERS

	def run_with(self, strategy: Strategy = Strategy.WAIT_WORKERS, **options: object) -> Run:
		return Run(self.bench, Options(strategy=strategy, **options))


class TestWebIsFirst(LingerCase):
	def test_with_every_strategy_nothing_else_is_stopped_before_new_code_answers_and_no_second_is_without_web(
		self,
	):
		for strategy in Strategy:
			with self.subTest(strategy=strategy):
				self.setUp()
				run = self.run_with(strategy)
				report = run.go()
				kinds = [
					(type(fact), getattr(fact, "name", ""))
					for fact in run.facts
					if isinstance(fact, events.ProcessStopping | events.NewWebAnswers)
				]
				self.assertEqual(kinds[0], (events.ProcessStopping, "web"))
				self.assertEqual(kinds[1][0], events.NewWebAnswers)
				self.assertEqual(report.outcome, Phase.DONE)
				(answers,) = report.web
				self.assertTrue(answers.is_flawless, answers)

	def test_where_it_cannot_linger_all_is_restarted_together_and_why_is_told(self):
		self.web.web_way = WebWay(
			reason="its old workers are not set up", remedy="To change that: bench safe-restart setup web"
		)
		run = self.run_with()
		run.go()
		(told,) = run.of(events.WebCannotLinger)
		self.assertIn("bench safe-restart setup web", sentence(told))
		self.assertEqual(run.of(events.NewWebAnswers), [])

	def test_where_its_manager_ends_old_workers_requests_wait_and_why_is_told(self):
		self.bench.processes["web"].ends_leftovers = True
		run = self.run_with()
		report = run.go()
		self.assertEqual((report.outcome, run.of(events.NewWebAnswers)), (Phase.DONE, []))
		(told,) = run.of(events.WebCannotLinger)
		self.assertEqual((told.waits, told.reason), (True, "its manager ends it"))
		self.assertEqual(len(run.of(events.WebRequestsWait)), 1)

	def test_where_its_manager_listens_meanwhile_nobody_else_has_to_and_no_schema_may_change(self):
		self.bench.processes["web"].keeps_sockets = True
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		(told,) = run.of(events.WebCannotLinger)
		self.assertEqual((told.waits, run.of(events.WebRequestsWait)), (True, []))
		migration = MigrationOptions(hold_web=True)
		plan = plan_of(self.bench.port(), Options(Strategy.WAIT_WORKERS, migration=migration))
		self.assertTrue(
			any("start it for the next connection" in it.text for it in plan.findings), plan.findings
		)

	def test_pages_of_desk_are_told_of_a_pause_only_where_there_is_one(self):
		for strategy in Strategy:
			self.setUp()
			self.run_with(strategy).go()
			self.assertEqual(self.bench.notices.told, [])
			self.setUp()
			self.web.web_way = WebWay(WebMethod.HOLD)
			self.run_with(strategy).go()
			self.assertEqual(self.bench.notices.told, [])
			# Given web that is restarted the plain way, they are told while it still runs, and that Redis refuses is told
			self.setUp()
			self.web.web_way = WebWay()
			self.bench.notices.refusal = "Redis refuses PUBLISH"
			run = self.run_with(strategy)
			run.go()
			self.assertEqual(self.bench.notices.told[:1], [("pause", True)], strategy)
			(fact,) = run.of(events.PauseNotAnnounced)
			self.assertIn("because Redis refuses PUBLISH", sentence(fact))
		self.setUp()
		self.web.web_way = WebWay()
		self.run_with(web=False).go()
		self.assertEqual(self.bench.notices.told, [])

	def test_a_program_that_ends_while_it_still_starts_is_never_stopped_as_old_workers_serve_in_its_place(
		self,
	):
		self.web.web_way = WebWay(reason="it is still starting", is_coming=True)
		run = self.run_with()

		def crash() -> None:
			self.bench.processes.end("web", ProcessState.FAILED, "exit 3")
			self.web.ordered = [self.bench.host.add(77)]

		run.when(Phase.RESTART, lambda: self.clock.after(0.5, crash))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertNotIn(("stop", "web"), self.bench.processes.orders)
		self.assertIn(("start", "web"), self.bench.processes.orders)

	def test_an_order_that_cannot_be_written_is_told_and_web_restarts_as_always(self):
		self.web.refuses_order = "No space left on device"
		run = self.run_with()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertIn("No space left", sentence(run.of(events.WebCannotLinger)[0]))

	def test_old_workers_whose_place_the_next_web_would_not_take_leave_so_that_it_can_listen(self):
		self.web.is_set_up = False  # the lines were removed
		self.web.web_way = WebWay(reason="the lines were removed")
		for state in (ProcessState.FAILED, ProcessState.RETRYING, ProcessState.STARTING):
			self.web.ordered = [self.bench.host.add(70)]
			self.bench.processes.end("web", state, "exit 1")
			self.assertTrue(self.web.lingering())
			self.run_with().go()
			self.assertEqual(self.web.ordered, [], state)

	def test_a_migration_lets_no_old_web_worker_stay(self):
		self.web.ordered = [self.bench.host.process(self.bench.processes["web"].pid)]
		self.web.new_fault = "x"  # an earlier restart has left old workers in service
		run = self.run_with(sites=("site1.local",), migration=MigrationOptions())
		seen: list[bool] = []
		run.when(events.MigrationStarted, lambda: seen.append(self.web.lingering()))
		run.go()
		self.assertEqual(seen, [False])
		self.assertEqual(run.of(events.NewWebAnswers), [])


class TestTheWayIsTold(LingerCase):
	"""In the plan, which the preflight, the dry run and Desk show, and again where it changes."""

	def plan(self, **options: object) -> Plan:
		return plan_of(self.bench.port(), Options(**options))

	def test_where_it_lingers_the_plan_says_that_no_request_fails(self):
		plan = self.plan()
		self.assertIn("No web request fails", plan_sentence(plan))
		self.assertEqual(plan_warnings(plan), [])

	def test_what_keeps_it_from_lingering_is_said_with_what_to_type(self):
		for way in (
			WebWay(
				reason="its workers are not set up", remedy="To change that: bench safe-restart setup web"
			),
			WebWay(reason="it was started before", remedy="This restart makes it active."),
			WebWay(reason="they do not fit into memory together"),
		):
			self.web.web_way = way
			plan = self.plan()
			self.assertIn("Web requests fail for a moment.", plan_sentence(plan))
			(warning,) = plan_warnings(plan)
			self.assertIn(way.reason, warning)
			self.assertIn(way.remedy, warning)

	def test_a_migration_is_the_reason_where_there_is_one(self):
		(warning,) = plan_warnings(self.plan(sites=("site1.local",), migration=MigrationOptions()))
		self.assertIn("a schema changes", warning)

	def test_without_web_nothing_is_said_about_it(self):
		self.web.web_way = WebWay(reason="its workers are not set up")
		plan = self.plan(web=False)
		self.assertNotIn("request", plan_sentence(plan))
		self.assertEqual(plan_warnings(plan), [])

	def test_what_users_got_in_the_last_restart_is_said(self):
		self.assertNotIn("last time", plan_sentence(self.plan()))
		served, silent = (replace(self.bench.port(), others=Measured(seconds)) for seconds in (0.0, 0.8))
		self.assertIn("new ones answer (last time 0 s).", plan_sentence(plan_of(served, Options())))
		self.web.web_way = WebWay(reason="its workers are not set up")
		text = "for a moment (last time 0.8 s without an answer)."
		self.assertIn(text, plan_sentence(plan_of(silent, Options())))
		self.assertNotIn("last time", plan_sentence(plan_of(silent, Options(web=False))))

	def test_one_that_could_linger_and_no_longer_can_is_told_before_it_is_stopped(self):
		run = self.run_with()

		def change() -> None:
			self.web.web_way = WebWay(reason="they do not fit into memory together")

		run.when(Phase.RESTART, change)
		self.assertEqual(run.go().outcome, Phase.DONE)
		(told,) = run.of(events.WebCannotLinger)
		self.assertLess(run.facts.index(told), run.facts.index(run.of(events.ProcessStopping)[0]))

	def test_one_that_starts_for_too_long_is_told_before_it_is_stopped(self):
		self.web.web_way = WebWay(reason="it is still starting", is_coming=True)
		self.assertEqual(plan_warnings(self.plan()), [])
		self.assertIn("Web is still starting", plan_sentence(self.plan()))
		run = self.run_with()
		run.go()
		(told,) = run.of(events.WebCannotLinger)
		self.assertIn("still starting after 60 s", told.reason)


class Measured(NoOtherOperations):
	def __init__(self, seconds: float) -> None:
		self.seconds = seconds

	def last_web_outage(self) -> float:
		return self.seconds


class TestNewCodeDoesNotAnswer(LingerCase):
	def setUp(self):
		super().setUp()
		self.web.new_fault = "site1.local: HTTP 500"

	def test_with_every_strategy_all_others_keep_running_with_old_code(self):
		for strategy in Strategy:
			with self.subTest(strategy=strategy):
				self.setUp()
				before = {name: self.bench.processes[name].pid for name in WORKERS}
				run = self.run_with(strategy)
				with self.assertRaises(ProcessFault) as raised:
					run.go()
				after = {name: self.bench.processes[name].pid for name in WORKERS}
				self.assertEqual(after, before)
				self.assertIn("site1.local: HTTP 500", str(raised.exception))
				self.assertEqual(raised.exception.exit_code, 4)
				self.assertIsNone(self.bench.queue.look().suspension)

	def test_the_end_of_its_log_and_what_to_type_are_told(self):
		self.bench.processes["web"].log = "ImportError: no module named gone\n"
		run = self.run_with()
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		(failed,) = [fact for fact in run.of(events.ProcessFailed) if fact.name == "web"]
		self.assertIn("no module named gone", sentence(failed))
		self.assertIn("Repair the code, then type the same command again.", raised.exception.hint)
		(told,) = run.of(events.OldWebServes)
		self.assertRegex(sentence(told), r"web runs the old code until \d\d:\d\d: .*HTTP 500")

	def test_until_when_old_code_runs_and_what_was_left_is_told(self):
		run = self.run_with(old_web_timeout=600.0)
		with self.assertRaises(ProcessFault):
			run.go()
		(told,) = run.of(events.OldWebServes)
		self.assertAlmostEqual(told.until, self.clock.time() + 600, delta=120)
		self.assertLessEqual(set(WORKERS), set(told.not_replaced))


class TestTheFenceLapses(LingerCase):
	def test_while_web_boots_workers_are_not_stopped(self):
		run = self.run_with()
		run.stalls(events.NewWebAnswers)
		with self.assertRaises(FenceFault):
			run.go()
		self.assertEqual([fact.name for fact in run.of(events.ProcessStopping)], ["web"])


class TestRedisIsAway(LingerCase):
	"""When new web answers, and the fence is to be asked for before workers are stopped."""

	def away_for(self, seconds: float) -> Run:
		run = self.run_with()

		def note(fact: events.Event) -> None:
			if isinstance(fact, events.NewWebAnswers):
				self.bench.queue.is_away = True
				self.clock.after(seconds, lambda: setattr(self.bench.queue, "is_away", False))

		run.operation.listen(note)
		return run

	def test_for_a_moment_it_is_waited_for_and_all_is_restarted(self):
		report = self.away_for(10.0).go()
		self.assertEqual(report.outcome, Phase.DONE)

	def test_for_long_workers_are_left_alone_and_the_person_learns_what_was_restarted(self):
		run = self.away_for(600.0)
		with self.assertRaises(QueueUnreachable) as raised:
			run.go()
		self.assertIn(
			"Web was restarted. Then Redis did not answer for 60 s: workers were not", str(raised.exception)
		)
		self.assertEqual([fact.name for fact in run.of(events.ProcessStopping)], ["web"])


class TestItsProcessDies(LingerCase):
	"""kill -9 of the operation when the old master was told to end: what the recovery does and says."""

	def killed_after(self, kind: type) -> Run:
		"""An operation of which its journal tells no more than this event; web went as far, and nothing else was touched."""
		twin = InMemoryBench(WORKERS)
		twin.web.web_way = LINGERS
		run = Run(twin, Options(strategy=Strategy.WAIT_WORKERS, old_web_timeout=600.0))
		run.go()
		last = next(n for n, fact in enumerate(run.facts) if type(fact) is kind)
		run.facts[last + 1 :] = []
		self.web.order_to_linger(
			self.bench.host.family(self.bench.processes["web"].pid), seconds=600.0, logs=("", "")
		)
		return run

	def replace_web(self) -> None:
		self.bench.processes.end("web", ProcessState.STOPPED, "")
		self.bench.processes.start("web")

	def test_new_code_that_answers_ends_well_and_nothing_else_is_stopped(self):
		run = self.killed_after(events.ProcessStopping)
		self.replace_web()
		orders = list(self.bench.processes.orders)
		self.assertEqual(run.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertEqual(self.bench.processes.orders, orders)
		self.assertEqual(run.of(events.OldWebServes), [])
		self.assertIn("Not restarted: short, long", run.facts[-1].report.failure.message)
		self.assertFalse(self.web.lingering())

	def test_a_master_that_is_down_is_started(self):
		run = self.killed_after(events.ProcessStopping)
		self.bench.processes.end("web", ProcessState.FAILED, "exit 3")
		self.assertEqual(run.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertIn(("start", "web"), self.bench.processes.orders)
		self.assertNotIn("stop", [order for order, _ in self.bench.processes.orders])

	def test_new_code_that_errs_leaves_old_workers_in_service_and_says_until_when(self):
		run = self.killed_after(events.ProcessStopping)
		self.web.new_fault = "site1.local: HTTP 500"
		began = self.clock.time()
		self.replace_web()
		with self.assertRaises(ProcessFault) as raised:
			run.recovery(self.bench).run()
		self.assertIn("Old web workers go on serving", str(raised.exception))
		self.assertIn("Repair the code", raised.exception.hint)
		self.assertEqual(raised.exception.exit_code, 4)
		(told,) = run.of(events.OldWebServes)
		self.assertAlmostEqual(told.until, began + 600, delta=60)
		self.assertTrue(self.web.lingering())
		self.assertNotIn("stop", [order for order, _ in self.bench.processes.orders])

	def test_an_order_that_nobody_followed_is_withdrawn(self):
		run = self.killed_after(events.ProcessStopping)
		pid = self.bench.processes["web"].pid
		self.assertEqual(run.recovery(self.bench).run().outcome, Phase.RECOVERED)
		self.assertEqual((self.bench.processes["web"].pid, self.web.ordered), (pid, []))
