"""What Desk shows of strategies, phases and options is the server's: complete, and nowhere else."""

from __future__ import annotations

import re
import unittest
from dataclasses import replace
from functools import partial
from pathlib import Path

from fmx_restart import hooks
from fmx_restart.desk.start_arguments import KINDS, TIME
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions
from fmx_restart.engine.options import (
	CLOSABLE,
	InvalidOptions,
	OnTimeout,
	Strategy,
	host_options,
	restart_options,
)
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import CodeFault, ProcessKind, WebMethod, WebWay
from fmx_restart.tests.console.samples import sample
from fmx_restart.tests.desk.untranslated import UntranslatedCase

APP = Path(hooks.__file__).parent
SCRIPTS = [*(APP / "public" / "js").rglob("*.*"), *(APP / "fmx_restart").rglob("*.js")]


class TestScripts(unittest.TestCase):
	def test_no_script_names_a_strategy_or_what_becomes_of_jobs_at_the_deadline(self):
		names = [one.value for one in (*Strategy, *OnTimeout)]
		self.assertGreater(len(SCRIPTS), 20)
		for path in SCRIPTS:
			for name in names:
				self.assertNotIn(f'"{name}"', path.read_text(), path.name)

	def test_each_choice_of_the_dialog_is_an_argument_of_start(self):
		"""Any other would be refused, as a misspelt one of a pipeline is."""
		text = (APP / "public" / "js" / "restart" / "choice.js").read_text()
		body = text.partition("export function first_choice() {")[2].partition("};")[0]
		names = set(re.findall(r"^\t\t(\w+):", body, re.MULTILINE))
		self.assertGreater(len(names), 10)
		self.assertEqual(names - {*KINDS, *TIME}, set())


class TestVocabulary(UntranslatedCase):
	def setUp(self):
		super().setUp()
		from fmx_restart.desk import vocabulary

		self.vocabulary = vocabulary
		self.offered = {row["strategy"]: row for row in vocabulary.offered_strategies()}

	def test_choices_that_kill_jobs_are_marked_and_say_after_how_long_and_the_waiting_one_when_it_gives_up(
		self,
	):
		killing = {name for name, row in self.offered.items() if row["kills"]}
		self.assertEqual(killing, {Strategy.FAST.value, Strategy.SUSPEND_RQ.value})
		lines = {name: row["line"] for name, row in self.offered.items()}
		for name in killing:
			self.assertRegex(lines[name], r"killed and listed in the report\. The grace period is 30 s\.$")
		self.assertEqual(len(set(lines.values())), len(Strategy))
		waiting = lines[Strategy.WAIT_WORKERS.value]
		self.assertIn(
			"No new job starts meanwhile. It gives up after 5 min, and nothing is restarted", waiting
		)

	def test_each_strategy_and_each_phase_has_its_words(self):
		self.assertEqual(self.offered.keys(), {strategy.value for strategy in Strategy})
		phases = self.vocabulary.phases()
		self.assertEqual(phases.keys(), {"Queued", "Cancelled", *(phase.value for phase in Phase)})
		self.assertTrue(all(row["label"] and row["text"] for row in phases.values()))

	def test_phases_are_called_as_they_are_in_journals_where_nobody_has_translated_them(self):
		labels = self.vocabulary.phase_labels()
		self.assertEqual(
			labels, {name: name for name in ("Queued", "Cancelled", *(phase.value for phase in Phase))}
		)

	def test_each_ending_of_the_wait_has_its_words(self):
		texts = self.vocabulary.at_deadlines()
		self.assertEqual(texts.keys(), {action.value for action in OnTimeout})
		for action, text in texts.items():
			self.assertTrue(text["label"], action)
			self.assertIn("still running then", text["line"])
			is_run_again = action == OnTimeout.REQUEUE.value
			self.assertEqual("run again from the beginning" in text["if_forced"], is_run_again)

	def test_each_option_of_a_strategy_is_one_that_start_takes(self):
		named = {name for row in self.offered.values() for name in row["options"]}
		self.assertLessEqual({*named, *self.vocabulary.WITH_MIGRATION}, KINDS.keys())

	def test_sites_can_be_closed_in_the_phases_that_the_engine_takes(self):
		for row in self.offered.values():
			strategy = Strategy(row["strategy"])
			for name in row["closable"]:
				migration = MigrationOptions() if name == "migrate" else None
				restart_options(strategy, migration=migration, maintenance=frozenset({Phase(name.title())}))

	def test_only_phases_before_web_is_held_can_close_the_sites_then(self):
		offered = self.vocabulary.closable_while_held()
		for name in CLOSABLE:
			make = partial(
				restart_options,
				migration=MigrationOptions(hold_web=True),
				maintenance=frozenset({CLOSABLE[name]}),
			)
			if name in offered:
				make()
			else:
				self.assertRaises(InvalidOptions, make)

	def test_each_line_is_of_an_option_that_start_takes(self):
		lines = self.vocabulary.option_lines()
		self.assertLessEqual(lines.keys(), KINDS.keys())
		self.assertIn("Requests to all sites wait", lines["hold_web"])


class TestConsequences(UntranslatedCase):
	def setUp(self):
		super().setUp()
		from fmx_restart.desk.consequences import consequences

		self.plan: Plan = replace(sample(Plan), findings=(), code_faults=(), held=())
		self.consequences = consequences

	def of(self, strategy: Strategy, **options) -> str:
		return " ".join(self.consequences(restart_options(strategy, **options), self.plan))

	def test_what_happens_to_running_jobs_follows_the_strategy(self):
		text = self.of(Strategy.WAIT_WORKERS, limit=60)
		self.assertIn("One job is running; at most 1 min", text)
		self.assertIn("If a job is still running then, nothing is restarted", text)
		self.assertIn("are killed and listed in the report", self.of(Strategy.FAST))
		self.assertIn("put back into their queue", self.of(Strategy.FAST, on_timeout=OnTimeout.REQUEUE))
		self.assertIn("jobs that take longer than 30 s are killed", self.of(Strategy.SUSPEND_RQ))
		for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
			self.assertIn("One job is running: its worker is replaced when it ends.", self.of(strategy))

	def test_new_jobs_are_said_to_wait_only_where_the_queue_is_held(self):
		waits, starts = "New jobs wait in their queues", "New jobs keep starting"
		self.assertIn(waits, self.of(Strategy.WAIT_WORKERS))
		self.assertIn(starts, self.of(Strategy.ROLLING))
		worker = replace(self.plan.restart[0], kind=ProcessKind.WORKER)
		self.plan = replace(self.plan, restart=(worker,), reloads=())
		self.assertIn(waits, self.of(Strategy.NO_WAIT_WORKERS))
		# And where no worker has to be stopped, it runs on
		self.plan = replace(
			self.plan, restart=(replace(worker, kind=ProcessKind.WEB, has_workers=False),), reloads=(worker,)
		)
		self.assertIn(starts, self.of(Strategy.NO_WAIT_WORKERS))
		self.assertIn(waits, self.of(Strategy.WAIT_WORKERS))

	def test_rolling_is_refused_while_people_hold_the_queue(self):
		self.plan = replace(self.plan, held=sample(Plan).held)
		self.assertIn(
			"will refuse this, and nothing will be changed: The queue is held", self.of(Strategy.ROLLING)
		)
		self.assertNotIn("will refuse", self.of(Strategy.WAIT_WORKERS))

	def test_workers_that_reload_in_place_are_told_apart_from_processes_that_are_restarted(self):
		self.plan = replace(self.plan, pools={})
		text = self.of(Strategy.ROLLING)
		self.assertIn("One process is restarted. One worker reloads in place: its process stays", text)
		self.plan = replace(self.plan, restart=(), reloads=self.plan.reloads * 3)
		text = self.of(Strategy.ROLLING)
		self.assertIn("3 workers reload in place: their processes stay", text)
		first = replace(self.plan.reloads[0], kind=ProcessKind.SCHEDULER)
		self.plan = replace(self.plan, reloads=(first, *self.plan.reloads))
		self.assertIn(
			"The scheduler reloads in place, between two ticks. 3 workers reload", self.of(Strategy.ROLLING)
		)
		self.plan = replace(self.plan, pools={"a": 4, "b": 2})
		text = self.of(Strategy.ROLLING)
		self.assertIn("One worker reloads in place", text)
		self.assertIn("2 worker-pools reload in place, and replace their workers (6) a few at a time.", text)
		self.assertNotIn("restarted.", text)

	def test_new_jobs_wait_only_where_the_queue_is_stopped(self):
		waiting = {strategy: "New jobs wait" in self.of(strategy) for strategy in Strategy}
		self.assertEqual(waiting, {strategy: strategy is not Strategy.ROLLING for strategy in Strategy})
		self.assertIn("Workers and their jobs are left alone.", self.of(Strategy.FAST, workers=False))

	def test_a_migration_and_its_backup_are_named_with_the_site(self):
		text = self.of(
			Strategy.WAIT_WORKERS, migration=MigrationOptions(backup=True), sites=("erp.example.com",)
		)
		self.assertIn("The database of erp.example.com is backed up. erp.example.com is migrated", text)

	def test_when_the_sites_are_closed_is_said_and_nothing_of_it_where_requests_wait(self):
		migrates = {"migration": MigrationOptions(), "sites": ("erp.example.com",)}
		text = self.of(Strategy.WAIT_WORKERS, **migrates)
		self.assertIn("erp.example.com is in maintenance mode during the migration.", text)
		held = {**migrates, "migration": MigrationOptions(hold_web=True)}
		self.plan = replace(self.plan, web_ways={"web": WebWay(WebMethod.HOLD)}, migrate=held["sites"])
		text = self.of(Strategy.WAIT_WORKERS, **held)
		self.assertNotIn("maintenance mode", text)
		self.assertIn("Requests wait until the sites are migrated", text)

	def test_what_users_got_in_the_last_restart_of_web_is_said(self):
		for seconds, text in (
			(0.0, "In the last restart of web, users always got an answer."),
			(2.4, "users got no answer for 2.4 s."),
		):
			self.plan = replace(self.plan, web_outage=seconds)
			self.assertIn(text, self.of(Strategy.WAIT_WORKERS))
			self.assertNotIn("last restart of web", self.of(Strategy.WAIT_WORKERS, web=False))
		self.plan = replace(self.plan, web_outage=None)
		self.assertNotIn("last restart of web", self.of(Strategy.WAIT_WORKERS))

	def test_what_the_preflight_would_refuse_is_said_instead_of_what_would_happen(self):
		blocks = Finding("", Gravity.BLOCKS, "requests cannot wait for web", "Leave --hold-web out.")
		doubtful = Finding("a.example.com", Gravity.DOUBTFUL, "too little room", "Free some disk space.")
		self.plan = replace(self.plan, findings=(blocks, doubtful))
		said = "The preflight will refuse this, and nothing will be changed: "
		text = self.of(Strategy.WAIT_WORKERS, migration=MigrationOptions())
		self.assertEqual(
			text,
			f"{said}requests cannot wait for web. Leave --hold-web out."
			f" {said}a.example.com: too little room. Free some disk space.",
		)
		broken = (CodeFault("erpnext.hooks", "SyntaxError: line 3", "Traceback …"),)
		self.plan = replace(self.plan, findings=(), code_faults=broken)
		self.assertEqual(
			self.of(Strategy.FAST), f"{said}erpnext.hooks cannot be loaded: SyntaxError: line 3."
		)
		self.assertIn("restarted", self.of(Strategy.FAST, ignore_code_faults=True))
		self.plan = replace(self.plan, findings=(doubtful,), code_faults=())
		forced = self.of(
			Strategy.WAIT_WORKERS, migration=MigrationOptions(force=True), sites=("a.example.com",)
		)
		self.assertIn("a.example.com is migrated", forced)

	def test_which_groups_run_by_a_changed_configuration_is_said_where_it_is_applied(self):
		new = self.plan.configuration
		change = replace(new.changes[0], group="workers")
		self.plan = replace(self.plan, configuration=replace(new, changes=(change,), left={}))
		text = self.of(Strategy.WAIT_WORKERS, update_config=True)
		self.assertIn("The changed configuration of workers is applied when", text)
		self.assertNotIn("configuration", self.of(Strategy.WAIT_WORKERS))
		self.plan = replace(self.plan, configuration=replace(new, changes=(change,), left={"workers": "no"}))
		self.assertIn("No change of this bench", self.of(Strategy.WAIT_WORKERS, update_config=True))

	def test_an_idle_bench_is_said_to_be_idle(self):
		self.plan = replace(self.plan, jobs=())
		self.assertIn("No job is running now.", self.of(Strategy.FAST))
		self.assertNotIn("Desk does not answer", self.of(Strategy.FAST, web=False))


class TestHosts(UntranslatedCase):
	def setUp(self):
		super().setUp()
		from fmx_restart.desk.consequences import of_hosts

		self.plan = replace(sample(Plan), every_host=("app1", "app2", "app3"), hosts=())
		self.of_hosts = of_hosts

	def of(self, *groups: tuple[str, ...], strategy: Strategy = Strategy.WAIT_WORKERS, **asked) -> str:
		options = restart_options(strategy, hosts=host_options(**asked))
		return " ".join(self.of_hosts(options, replace(self.plan, hosts=groups)))

	def test_a_bench_of_one_host_says_nothing_of_hosts(self):
		self.plan = replace(self.plan, every_host=("app1",))
		self.assertEqual(self.of(), "")

	def test_without_a_choice_all_hosts_are_named(self):
		self.assertEqual(self.of(), "3 hosts are restarted together: app1, app2, app3.")

	def test_hosts_that_were_not_chosen_are_named(self):
		self.assertEqual(
			self.of(("app2",), names=("app2",)),
			"Only the host app2 is restarted. app1, app3 are not restarted and keep the old code.",
		)
		text = self.of(("app2", "app3"), names=("app2", "app3"))
		self.assertEqual(
			text, "2 hosts are restarted together: app2, app3. app1 is not restarted and keeps the old code."
		)

	def test_groups_are_told_with_the_pause_the_canary_and_what_a_failure_ends(self):
		groups = (("app1",), ("app2", "app3"))
		text = self.of(*groups, batch="2", pause="60s", canary="30s")
		self.assertEqual(
			text,
			"The hosts are restarted in 2 groups, one after the other: app1; app2, app3. After its restart, app1 is watched"
			" for 30 s. Between two groups there is a pause of 1 min; jobs run in it. Each group waits for its own jobs only."
			" If a host fails, the groups after it are not restarted: they keep the old code.",
		)
		text = self.of(*groups, batch="2", strategy=Strategy.ROLLING)
		self.assertNotIn("waits for its own jobs", text)
		self.assertNotIn("pause", text)
