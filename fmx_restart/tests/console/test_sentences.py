from __future__ import annotations

import contextlib
import io
import json
import re
import unittest
from dataclasses import replace

from fmx_restart.console.listeners import PlainLines
from fmx_restart.console.plan import plan_sentence, story
from fmx_restart.console.sentences import (
	PHASES,
	PREFIXES,
	SENTENCES,
	Reasons,
	details,
	on_ctrl_c,
	sentence,
	shown_otherwise,
)
from fmx_restart.engine import events
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.events import Level
from fmx_restart.engine.format import count, span
from fmx_restart.engine.migration import Finding, Gravity, Result, SiteMigration
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.tests.console.samples import event_types, sample


class TestSentences(unittest.TestCase):
	def test_the_table_has_every_event_and_no_other(self):
		self.assertEqual(SENTENCES.keys(), set(event_types()))

	def test_every_event_has_a_sentence_or_is_shown_otherwise(self):
		for kind in event_types():
			with self.subTest(kind=kind.__name__):
				self.assertEqual(bool(sentence(sample(kind))), SENTENCES[kind] is not shown_otherwise)

	def test_those_shown_otherwise_are_the_report_and_what_another_event_follows(self):
		shown = {kind for kind, words in SENTENCES.items() if words is shown_otherwise}
		self.assertEqual(
			shown, {events.Ended, events.GroupUpdating, events.ProcessStopping, events.ReloadAsked}
		)

	def test_a_sentence_shows_no_inside_of_ours(self):
		for kind in event_types():
			text = sentence(sample(kind))
			self.assertNotRegex(text, r"[A-Z]\w+\(|<|None|\[/?[a-z]|Phase\.|State\.", kind)

	def test_every_phase_that_is_entered_says_what_it_does(self):
		entered = {phase for phase in Phase if not phase.is_final} - {Phase.PREFLIGHT}
		self.assertEqual(PHASES.keys(), entered)
		for phase in entered:
			self.assertTrue(sentence(events.PhaseEntered(phase)).startswith(f"{phase.value}: "))

	def test_the_level_is_in_front_and_in_no_sentence_itself(self):
		for kind in event_types():
			if text := sentence(sample(kind)):
				before = PREFIXES[sample(kind).level]
				with self.subTest(kind=kind.__name__):
					self.assertTrue(text.startswith(before))
					self.assertNotRegex(text[len(before) :], "^(Note|Warning|Error)")

	def test_a_level_that_depends_on_the_event_follows_it(self):
		undone = {Phase.DRAIN: Level.WARNING, Phase.RESTART: Level.ERROR}
		self.assertEqual({phase: events.FenceLapsed(phase).level for phase in undone}, undone)
		ended = {Result.DONE: Level.INFO, Result.FAILED: Level.ERROR}
		levels = {result: events.MigrationEnded(SiteMigration("a", result)).level for result in ended}
		self.assertEqual(levels, ended)
		weighs = {Gravity.NOTE: Level.NOTE, Gravity.DOUBTFUL: Level.WARNING}
		levels = {gravity: events.MigrationFinding(Finding("a", gravity, "")).level for gravity in weighs}
		self.assertEqual(levels, weighs)

	def test_no_journal_holds_a_level(self):
		for kind in event_types():
			self.assertNotIn("level", json.loads(json_line(sample(kind))), kind)

	def test_plain_lines_have_a_time_and_a_sentence(self):
		out = io.StringIO()
		with contextlib.redirect_stdout(out):
			PlainLines()(events.Drained(seconds=12.3, jobs=2))
		self.assertRegex(out.getvalue(), r"^\d\d:\d\d:\d\d  Drained in 12 s, waited for 2 jobs\n$")

	def test_plain_lines_can_print_every_fact_and_if_asked_every_worker(self):
		out = io.StringIO()
		with contextlib.redirect_stdout(out):
			for kind in event_types():
				PlainLines(verbose=True)(sample(kind))
		self.assertTrue(re.search(r"^ +text pid 3 started: text$", out.getvalue(), re.MULTILINE))

	def test_a_failure_comes_with_the_end_of_the_log(self):
		text = sentence(events.ProcessFailed("web", "it did not stay up", "ImportError: no module\n"))
		expected = "Error: web: it did not stay up\nThe end of its log:\nImportError: no module"
		self.assertEqual(text, expected)

	def test_without_a_log_nothing_is_said_about_it(self):
		self.assertNotIn("log", sentence(events.ProcessFailed("web", "it did not stay up", " \n")))

	def test_while_nothing_runs_the_drain_says_what_else_it_waits_for(self):
		still = replace(sample(events.StillRunning), jobs=())
		self.assertIn("orphaned job processes: pid 1, 2;", sentence(replace(still, orphans=(1, 2))))
		self.assertIn("a worker to become idle", sentence(replace(still, orphans=())))

	def test_the_time_that_the_jobs_are_likely_to_take_stands_before_the_deadline(self):
		still = replace(sample(events.StillRunning), likely=17.0, left=300.0)
		self.assertTrue(
			sentence(still).startswith("Waiting for 1 job, likely 17 s more; gives up in 5 min: ")
		)
		self.assertTrue(
			sentence(replace(still, likely=None)).startswith("Waiting for 1 job; gives up in 5 min: ")
		)

	def test_nobody_is_said_to_have_waited_where_no_job_was_waited_for(self):
		self.assertEqual(sentence(events.Drained(0.1, 0)), "Drained in 0.1 s")

	def test_a_reason_is_given_once_for_each_program(self):
		reasons = Reasons()
		told = [
			reasons.without_repetition(event, sentence(event))
			for event in (
				events.WebCannotLinger("web", "it is no gunicorn"),
				events.WebRequestsFail("web", "it is no gunicorn"),
				events.WebRequestsFail("web", "its socket is gone"),
				events.WebRequestsFail("other", "it is no gunicorn"),
			)
		]
		self.assertEqual([text.count("it is no gunicorn") for text in told], [1, 0, 0, 1])
		self.assertIn("web: requests fail until it is back.", told[1])
		self.assertIn("its socket is gone", told[2])

	def test_in_each_phase_ctrl_c_is_said_to_do_what_the_engine_does_then(self):
		for phase in Phase:
			if not phase.is_final:
				self.assertEqual("nothing is restarted yet" in on_ctrl_c(phase), phase.can_be_undone, phase)
				# And where other hosts are new already, no phase says so
				self.assertNotIn("nothing is restarted yet", on_ctrl_c(phase, group=2))
				self.assertEqual("nothing is restarted yet" in on_ctrl_c(phase, group=1), phase.can_be_undone)

	def test_a_job_without_a_limit_is_said_to_have_none(self):
		still = sample(events.StillRunning)
		endless = replace(still.jobs[0], most_left=None, elapsed=None)
		self.assertIn("for 0 s, no limit", sentence(replace(still, jobs=(endless,))))


class TestMigrationIsNamed(unittest.TestCase):
	def test_an_operation_that_migrates_is_headed_so(self):
		started = sample(events.OperationStarted)
		self.assertEqual(sentence(started), "Operation text: migrate, text on text")
		without = replace(started, options=replace(started.options, migration=None))
		self.assertEqual(sentence(without), "Operation text: text on text")
		self.assertEqual(sentence(replace(started, options=None)), "Operation text: text on text")

	def test_a_dry_run_says_that_sites_are_migrated(self):
		options = sample(events.OperationStarted).options
		self.assertIn("The sites are migrated before the restart.", story(options))
		self.assertNotIn("migrated", story(replace(options, migration=None)))


class TestPlanSentence(unittest.TestCase):
	def setUp(self):
		self.plan: Plan = sample(Plan)

	def test_it_names_what_would_be_restarted_and_what_is_left_alone(self):
		self.assertIn("1 process to restart: web.", plan_sentence(self.plan))
		self.assertIn("Already stopped, left alone: text.", plan_sentence(self.plan))

	def test_it_names_autoscalers_once_for_each_group(self):
		(web,) = self.plan.restart
		short = replace(web, name="short", group="erp-short", scaled_by="hpa/loads")
		plan = replace(self.plan, restart=(short, replace(short, name="short:2"), replace(web, scaled_by="")))
		told = "An autoscaler sets how many of these run: erp-short (hpa/loads). A change"
		self.assertIn(told, plan_sentence(replace(plan, reloads=())))
		self.assertNotIn("utoscaler", plan_sentence(replace(plan, restart=plan.restart[2:], reloads=())))

	def test_it_says_that_web_stays_down_where_nothing_else_answers_in_its_place(self):
		# Given web among what someone stopped
		web = replace(self.plan.left_alone[0], kind=ProcessKind.WEB)
		other = replace(self.plan.restart[0], kind=ProcessKind.WORKER)
		stopped = replace(self.plan, left_alone=(web,), restart=(other,))
		self.assertIn("left alone: text. Web stays down: the exit code will be 4.", plan_sentence(stopped))
		# Then a web program that is restarted answers for it, and another program is no web
		for plan in (replace(stopped, restart=(web,)), replace(stopped, left_alone=(other,))):
			self.assertNotIn("Web stays down", plan_sentence(plan))

	def test_programs_are_told_by_what_they_are_and_counted(self):
		kinds = [ProcessKind.WEB, ProcessKind.SOCKETIO, *[ProcessKind.WORKER] * 2, ProcessKind.OTHER]
		programs = tuple(
			replace(self.plan.restart[0], name=f"bench:{n}", kind=kind) for n, kind in enumerate(kinds)
		)
		text = plan_sentence(replace(self.plan, restart=programs))
		self.assertIn("5 processes to restart: web, socketio, 2 workers, bench:4.", text)
		(full,) = details(events.Planned(replace(self.plan, restart=programs)))
		self.assertIn("bench:0, bench:1, bench:2, bench:3, bench:4", full)

	def test_nothing_to_restart_is_said_so(self):
		self.assertIn("No process to restart.", plan_sentence(replace(self.plan, restart=(), reloads=())))

	def test_it_says_how_long_running_jobs_can_take_at_most(self):
		self.assertIn("1 job running, at most 4.5 s more, likely 4.5 s.", plan_sentence(self.plan))
		self.assertIn("with no time limit", plan_sentence(replace(self.plan, longest=None)))
		self.assertIn("No job is running.", plan_sentence(replace(self.plan, jobs=())))


class TestWords(unittest.TestCase):
	def test_durations_are_said_as_people_say_them(self):
		said = {
			0: "0 s",
			0.04: "0.04 s",
			0.1: "0.1 s",
			9.94: "9.9 s",
			12.3: "12 s",
			59.4: "59 s",
			5.02: "5 s",
			9.96: "10 s",
			60: "1 min",
			75: "1 min 15 s",
			3599.6: "1 h",
			5400: "1 h 30 min",
			86400 + 3599: "1 d",
			2 * 86400 + 7200: "2 d 2 h",
			None: "no limit",
		}
		self.assertEqual({seconds: span(seconds) for seconds in said}, said)

	def test_one_is_singular_and_everything_else_plural(self):
		self.assertEqual([count(n, "job") for n in (0, 1, 2)], ["0 jobs", "1 job", "2 jobs"])
		self.assertEqual((count(2, "process"), count(1234, "job")), ("2 processes", "1,234 jobs"))
