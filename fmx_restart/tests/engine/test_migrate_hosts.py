"""A migration of a bench on two hosts: nothing with old code is left on either, and each host's own worker tries its code."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import Script
from fmx_restart.tests.engine.support import Run

SITES = ("a.localhost",)
HERE, THERE = {"short": ("short",)}, {"short": ("short",), "long": ("long",)}


class TestMigration(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(HERE)
		self.there = self.bench.add_host("host-2", THERE, lossless=("long",), has_web=True)
		self.alive: list[str] = []
		self.bench.migrations.scripts[SITES[0]] = Script(seconds=3, on_start=self.look)

	def look(self) -> None:
		self.alive += [process.name for process in self.bench.port().processes.list() if process.pid]

	def run_it(self, **options) -> Run:
		migration = MigrationOptions(force=options.get("ignore_code_faults", False))
		return Run(self.bench, Options(sites=SITES, migration=migration, **options))

	def refused(self, run: Run) -> WrongEnvironment:
		with self.assertRaises(WrongEnvironment) as caught:
			run.go()
		self.assertEqual(caught.exception.exit_code, 7)
		self.assertEqual(self.alive, [])  # no migration has begun
		self.assertIsNone(self.bench.queue.suspension.value)
		return caught.exception

	def test_workers_and_web_of_the_other_host_are_down_while_the_schema_changes(self):
		run = self.run_it()
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.alive, ["host-1/web"])  # its sites are closed
		states = {process.state for process in self.bench.port().processes.list()}
		self.assertEqual(states, {ProcessState.RUNNING})

	def test_the_worker_of_this_app_there_tries_the_code_and_a_fault_changes_nothing(self):
		name = next(name for name in self.bench.queue.workers if name.startswith("host-2/long@"))
		self.bench.queue.refusals[name] = "SyntaxError app.hooks"
		error = self.refused(self.run_it())
		self.assertIn("host-2: SyntaxError app.hooks. Nothing was restarted", str(error))
		self.assertEqual(self.there.orders, [])
		run = self.run_it(ignore_code_faults=True)
		self.assertEqual(run.go().outcome, Phase.DONE)

	def test_a_host_without_a_worker_of_this_app_is_told_and_migrated(self):
		name = next(name for name in self.bench.queue.workers if name.startswith("host-2/long@"))
		self.bench.queue.workers[name].is_lossless = False
		run = self.run_it()
		run.go()
		self.assertEqual(
			[fact.reason.partition(":")[0] for fact in run.of(events.CodeNotChecked)], ["on host-2"]
		)

	def test_one_of_an_older_version_is_not_waited_for(self):
		self.bench.queue.ask_to_try = lambda workers: None
		run = self.run_it()
		report = run.go()
		self.assertIn("did not try it", run.of(events.CodeNotChecked)[0].reason)
		self.assertLess(report.seconds, 30)

	def test_a_worker_on_a_host_that_no_manager_reaches_is_refused(self):
		self.bench.queue.add_worker("far@7", 7, ("short",), host="host-3", is_unseen=True, is_lossless=True)
		self.assertIn("pid 7 on host-3", str(self.refused(self.run_it())))
