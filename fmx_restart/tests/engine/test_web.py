"""Who answers after a restart, for which sites, and how long users got no answer."""

from __future__ import annotations

import unittest

from fmx_restart.console.sentences import sentence
from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.engine.web_answers import WebAnswers
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}


class WebCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.clock, self.web = self.bench.clock, self.bench.web

	def fails(self, run: Run) -> ProcessFault:
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 4)
		return raised.exception


class TestAnOrphanHasTheAddress(WebCase):
	def setUp(self):
		super().setUp()
		self.web.orphan = self.bench.host.add(77)

	def crash_loop(self) -> None:
		"""As gunicorn ends when its address is in use, and supervisor starts the next one, every other second."""
		web = self.bench.processes["web"]
		web.on_start = lambda: self.clock.after(1.5, lambda: self.end(web.pid))

	def end(self, pid: int | None) -> None:
		if self.bench.processes["web"].pid == pid:
			self.bench.processes.end("web", ProcessState.FAILED, "exit 1")
			self.bench.processes.start("web")

	def test_its_good_answer_is_no_success_with_any_strategy(self):
		for strategy in Strategy:
			with self.subTest(strategy=strategy):
				error = self.fails(Run(self.bench, Options(strategy)))
				self.assertIn("pid 77, a web server of this bench that no process manager runs", str(error))
				self.assertIn("kill 77", error.hint)

	def test_it_is_named_within_seconds_and_not_after_all_patience(self):
		run = Run(self.bench)
		self.fails(run)
		self.assertLess(run.operation.report.seconds, 15)

	def test_a_new_web_that_ends_again_and_again_is_explained_by_it(self):
		self.crash_loop()
		error = self.fails(Run(self.bench))
		self.assertIn("pid 77", str(error))
		self.assertIn("kill 77", error.hint)

	def test_it_is_told_before_anything_is_touched_and_the_rest_is_restarted(self):
		run = Run(self.bench)
		self.fails(run)
		kinds = [type(fact) for fact in run.facts]
		self.assertLess(kinds.index(events.WebTaken), kinds.index(events.PhaseEntered))
		told = sentence(run.of(events.WebTaken)[0])
		self.assertTrue(told.startswith("Warning: web cannot come up at 127.0.0.1:8000: pid 77"), told)
		self.assertIn("kill 77", told)
		ups = {fact.name for fact in run.of(events.ProcessUp)}
		self.assertEqual(ups & WORKERS.keys(), WORKERS.keys())

	def test_the_dry_run_knows_it(self):
		plan = plan_of(self.bench.port(), Options())
		self.assertEqual(plan.web_taken.holder.pid, 77)
		self.assertIsNone(plan_of(self.bench.port(), Options(web=False)).web_taken)

	def test_a_migration_is_refused_unless_forced(self):
		# Given an old web server that nobody would restart
		options = Options(migration=MigrationOptions(), sites=("one.localhost",))
		# When a site is to be migrated, then nothing is touched
		with self.assertRaisesRegex(
			WrongEnvironment, "old code on the new schema.*pid 77.*Nothing was changed"
		):
			Run(self.bench, options).go()
		self.assertEqual(self.bench.processes.orders, [])

	def test_a_rolling_restart_ends_before_the_first_worker(self):
		run = Run(self.bench, Options(Strategy.ROLLING))
		self.fails(run)
		self.assertEqual({name for _, name in self.bench.processes.orders}, {"web"})
		self.assertEqual(run.operation.report.not_replaced, list(WORKERS))

	def test_one_that_ends_by_itself_meanwhile_is_no_fault(self):
		self.clock.at(3.0, lambda: setattr(self.web, "orphan", None))
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)


class TestStaysUp(WebCase):
	def test_web_that_answers_and_ends_a_moment_later_is_a_fault(self):
		# Given a web program that crashes soon after it has answered for the first time
		web = self.bench.processes["web"]
		web.on_start = lambda: self.clock.after(
			1.0, lambda: self.bench.processes.end("web", ProcessState.FAILED)
		)
		self.assertIn("web", str(self.fails(Run(self.bench))))

	def test_another_program_that_cannot_be_asked_has_to_stay_up_too(self):
		program = self.bench.processes["web"]
		program.kind = ProcessKind.SOCKETIO
		program.on_start = lambda: self.clock.after(
			1.0, lambda: self.bench.processes.end("web", ProcessState.FAILED)
		)
		self.assertIn("web", str(self.fails(Run(self.bench, Options(workers=False)))))


class TestWhoAnswersIsUnknown(WebCase):
	def test_the_answer_counts_and_that_is_told(self):
		self.web.hidden = "this user may not look at the sockets of pid 12"
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		(fact,) = run.of(events.WebUnproved)
		self.assertIn("it is unknown whether the new process answers: this user may not look", sentence(fact))


class TestSites(WebCase):
	def setUp(self):
		super().setUp()
		self.web.sites = {"a-copy.localhost": "HTTP 404", "erp.localhost": None, "shop.localhost": None}

	def test_a_dead_copy_that_comes_first_does_not_decide(self):
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)

	def test_a_site_that_answered_before_and_no_longer_does_is_named_with_its_address(self):
		# Given code that breaks one site
		self.bench.processes["web"].on_stop = lambda: self.web.sites.update({"shop.localhost": "HTTP 500"})
		run = Run(self.bench)
		# When web is restarted
		error = self.fails(run)
		# Then that one is named and no other one
		self.assertIn("127.0.0.1:8000 (site shop.localhost): HTTP 500", str(error))
		self.assertNotIn("erp.localhost", str(error))
		self.assertNotIn("a-copy.localhost", str(error))
		self.assertLess(run.operation.report.seconds, 30)

	def test_one_that_errs_for_a_moment_is_fine(self):
		self.bench.processes["web"].on_stop = lambda: self.web.sites.update({"shop.localhost": "HTTP 500"})
		self.clock.at(12, lambda: self.web.sites.update({"shop.localhost": None}))
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)

	def test_a_named_site_must_answer_though_it_did_not_before(self):
		self.web.named = ("a-copy.localhost",)
		self.assertIn("(site a-copy.localhost): HTTP 404", str(self.fails(Run(self.bench))))

	def test_where_none_answered_before_one_is_named_with_its_address(self):
		self.web.sites = dict.fromkeys(self.web.sites, "HTTP 500")
		error = self.fails(Run(self.bench))
		self.assertIn(
			"web does not answer as it should at 127.0.0.1:8000 (site a-copy.localhost): HTTP 500", str(error)
		)


class TestWhatUsersSee(WebCase):
	def seen(self, run: Run) -> WebAnswers:
		(answers,) = run.operation.report.web
		return answers

	def test_it_is_what_users_saw_and_not_how_long_the_process_was_down(self):
		# Given a web server that takes 2 s to stop and 4 s to boot
		web = self.bench.processes["web"]
		web.stop_takes, web.start_takes = 2.0, 4.0
		run = Run(self.bench)
		(change,) = [change for change in run.go().processes if change.name == "web"]
		seen = self.seen(run)
		self.assertAlmostEqual(seen.unanswered, 6.0, delta=0.2)
		self.assertEqual((seen.reason, seen.answers_now), ("connection refused", True))
		self.assertAlmostEqual(change.seconds_down, 4.0, delta=0.2)

	def test_a_silence_is_told_while_it_lasts_and_so_is_its_end(self):
		web = self.bench.processes["web"]
		web.stop_takes, web.start_takes = 2.0, 4.0
		run = Run(self.bench)
		at: dict[type, float] = {}
		run.operation.listen(lambda fact: at.setdefault(type(fact), self.clock.now()))
		run.go()
		((silent,), (again,)) = run.of(events.WebSilent), run.of(events.WebAnswersAgain)
		self.assertEqual(sentence(silent), "Note: Web at 127.0.0.1:8000 gives no answer: connection refused")
		self.assertAlmostEqual(again.seconds, 6.0, delta=0.2)
		self.assertAlmostEqual(at[events.WebAnswersAgain] - at[events.WebSilent], 5.0, delta=0.5)

	def test_one_that_erred_before_the_restart_is_told_as_that(self):
		self.web.broken = "HTTP 500"
		run = Run(self.bench)
		self.fails(run)
		seen = self.seen(run)
		self.assertEqual((seen.before, seen.unanswered, seen.answers_now), ("HTTP 500", 0, False))

	def test_one_that_begins_to_err_in_the_drain_did_not_answer_before_either(self):
		# Given a job that is waited for, and a site that errs before anything is stopped
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		self.clock.at(5, lambda: setattr(self.web, "broken", "HTTP 500"))
		self.bench.processes["web"].on_start = lambda: setattr(self.web, "broken", None)
		run = Run(self.bench)
		run.go()
		# Then no second of it is the restart's
		seen = self.seen(run)
		self.assertEqual((seen.before, seen.unanswered, seen.answers_now), ("HTTP 500", 0, True))

	def test_the_maintenance_mode_that_the_operation_orders_is_told_as_that(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		options = Options(sites=("one.localhost",), maintenance=frozenset({Phase.DRAIN}))
		run = Run(self.bench, options)
		run.go()
		self.assertAlmostEqual(self.seen(run).closed, 20, delta=0.5)
		self.assertAlmostEqual(self.seen(run).unanswered, 1.5, delta=0.2)

	def test_a_maintenance_mode_of_somebody_else_is_none_of_ours(self):
		self.bench.settings.files["one.localhost"]["maintenance_mode"] = 1
		run = Run(self.bench)
		run.go()
		self.assertEqual((self.seen(run).before, self.seen(run).closed), ("HTTP 503", 0))

	def test_an_operation_that_is_stopped_tells_it_too_and_measures_no_longer(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		run = Run(self.bench)
		self.clock.at(5, run.operation.stop_requested.set)
		with self.assertRaises(Interrupted):
			run.go()
		self.assertTrue(self.seen(run).is_flawless)
		self.assertEqual(self.web.answers(), ())

	def test_without_web_there_is_none(self):
		self.assertEqual(Run(self.bench, Options(web=False)).go().web, [])


class TestVerifyIsNotSilent(WebCase):
	def told(self, run: Run) -> list[str]:
		return [sentence(fact) for fact in run.of(events.StillVerifying)]

	def test_what_it_waits_for_is_told_and_told_again_when_it_changes(self):
		# Given a worker that takes 5 s to register, and a web server that needs 10 s more
		self.bench.processes["web"].start_takes = 0.0
		self.web.broken = "HTTP 500"
		register = self.bench.processes["long"].on_start
		self.bench.processes["long"].on_start = lambda: self.clock.after(5.0, register)
		self.clock.at(12, lambda: setattr(self.web, "broken", None))
		run = Run(self.bench)
		run.go()
		# Then each is named once
		self.assertEqual(
			self.told(run),
			[
				"Waiting for 1 worker to register with Redis: long",
				"Waiting for web to answer at 127.0.0.1:8000 (site one.localhost): HTTP 500",
			],
		)

	def test_never_is_it_silent_for_more_than_two_seconds_before_it_says_so(self):
		self.bench.processes["web"].start_takes = 20
		moments: list[float] = []
		run = Run(self.bench)

		def note(fact):
			if isinstance(fact, events.StillVerifying) or fact == events.PhaseEntered(Phase.VERIFY):
				moments.append(self.clock.now())

		run.operation.listen(note)
		run.go()
		self.assertLess(moments[1] - moments[0], 2.5)
		self.assertIn("Waiting for web to be up", self.told(run)[0])

	def test_a_quick_restart_says_nothing_about_it(self):
		for program in ("web", *WORKERS):
			self.bench.processes[program].start_takes = 0.0
		run = Run(self.bench)
		run.go()
		self.assertEqual(self.told(run), [])


class TestAStrangerHasTheAddress(WebCase):
	def test_a_migration_is_not_refused_for_it_as_it_runs_no_code_of_the_bench(self):
		self.web.orphan, self.web.is_stray = self.bench.host.add(78), False
		options = Options(migration=MigrationOptions(), sites=("one.localhost",))
		run = Run(self.bench, options)
		self.assertIn("pid 78", str(self.fails(run)))
		self.assertEqual([fact.migration.site for fact in run.of(events.MigrationEnded)], ["one.localhost"])
