"""Requests wait while real gunicorn is stopped and started: under a real supervisord, with a whole operation."""

from __future__ import annotations

import sys
import threading
import unittest
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

from fmx_restart.adapters.migrations import CommandRun
from fmx_restart.adapters.web import kept_sockets, linger
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, WebMethod, WebWay
from fmx_restart.tests.adapters.test_web_programs import SITE
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs
from fmx_restart.tests.web.gunicorn_program import Load, gunicorn_processes, request
from fmx_restart.tests.web.test_operation import OperationCase

LONGEST = 30.0  # seconds that a request may wait for a boot of the tiny application on a busy machine


def raise_eperm(handle: int, number: int) -> int:
	raise PermissionError(1, "Operation not permitted")


class HoldCase(OperationCase):
	def short_of_memory(self) -> None:
		way = WebWay(WebMethod.HOLD, "its old and new processes do not fit into memory together")
		self.replaced(linger, "too_little_memory", lambda family, free: way)

	def refused_by_the_kernel(self) -> None:
		self.replaced(kept_sockets, "copy_descriptor", raise_eperm)

	def replaced(self, module: object, name: str, function: Callable) -> None:
		change = patch.object(module, name, function)
		change.start()
		self.addCleanup(change.stop)

	def told(self, kind: type[events.Event]) -> list:
		return [fact for fact in self.facts if isinstance(fact, kind)]

	def sees_no_failure(self, load: Load) -> None:
		eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual(load.failed, {})
		self.assertLess(load.slowest, LONGEST)

	def left(self) -> list[str]:
		return [path.suffix for path in self.sites.glob(".fmx_restart-web-*")]


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestARestart(HoldCase):
	def check(self) -> None:
		with self.under_load() as load:
			self.deploy("new")
			self.assertEqual(self.restart().outcome, Phase.DONE)
			self.sees_no_failure(load)
		(served,) = self.told(events.WebRequestsServed)
		self.assertLess(served.seconds, LONGEST)
		self.assertEqual(self.left(), [".record"])
		self.assertEqual(len(gunicorn_processes(self.sites)), 3)

	def test_the_first_one_after_the_set_up_fails_no_request(self):
		self.begin_before_setup()
		self.check()

	@in_long_runs("test_the_first_one_after_the_set_up_fails_no_request")
	def test_the_same_with_threads_and_an_application_that_the_master_loads(self):
		self.begin_before_setup("--preload", "--threads", "4")
		with self.under_load() as load:
			self.deploy("new")
			self.assertEqual(self.restart().outcome, Phase.DONE)
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		# gunicorn's threads up to 23 close connections unread when they are told to leave
		self.assertLessEqual(set(load.failed), {"ConnectionResetError", "RemoteDisconnected"})
		self.assertLessEqual(sum(load.failed.values()), 3)

	def test_where_memory_is_short_old_workers_hand_their_sockets_over_and_leave_first(self):
		self.begin("--threads", "4")
		self.short_of_memory()
		self.refused_by_the_kernel()
		self.check()

	def test_where_the_kernel_refuses_it_that_is_told_and_web_is_restarted_as_always(self):
		self.begin_before_setup()
		self.refused_by_the_kernel()
		report = self.restart()
		self.assertEqual(report.outcome, Phase.DONE)
		(told,) = self.told(events.WebCannotLinger)
		self.assertIn("Operation not permitted", told.reason)
		self.assertEqual(self.told(events.WebRequestsWait), [])

	def test_broken_new_code_lets_the_requests_go_and_the_next_good_start_works(self):
		self.begin_before_setup("--preload", startretries="1")
		with self.under_load() as load:
			(self.sites / "tiny_app.py").write_text("raise ImportError('gone')\n")
			with self.assertRaises(ProcessFault):
				self.restart()
			self.assertIn("ConnectionRefusedError", eventually(lambda: load.failed, "requests fail"))
			self.deploy("new")
			self.assertEqual(self.restart().outcome, Phase.DONE)
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual(self.left(), [".record"])

	def test_kill_9_of_the_operation_leaves_nothing_that_disturbs(self):
		self.begin_before_setup()
		go = self.operation_killed_at(events.ProcessDown)
		self.deploy("new")
		facts = go()
		self.assertEqual(self.recover(facts).outcome, Phase.RECOVERED)
		eventually(self.is_up, "web answers")
		# a socket file that nobody listens at disturbs no further restart, and does not outlast it
		self.assertEqual(self.restart().outcome, Phase.DONE)
		self.assertEqual(self.left(), [".record"])


MIGRATE = """
import pathlib, time
pathlib.Path("migrating").touch()
time.sleep(2)
pathlib.Path("migrating").unlink()
"""


class StubMigrations:
	"""A command that takes 2 s plays the migration."""

	def __init__(self, sites: Path) -> None:
		self.sites = sites

	def inspect(self, site: str, options: MigrationOptions) -> list:
		return []

	def start(self, site: str, options: MigrationOptions) -> CommandRun:
		return CommandRun([sys.executable, "-c", MIGRATE], self.sites, self.sites / "migrate.log")


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestAMigration(HoldCase):
	def port_of_bench(self) -> Bench:
		return replace(super().port_of_bench(), migrations=StubMigrations(self.sites))

	def migrate(self) -> None:
		options = {"sites": (SITE,), "migration": MigrationOptions(hold_web=True)}
		self.assertEqual(self.restart(**options).outcome, Phase.DONE)

	def check(self) -> None:
		seen = Watch(self)
		with self.under_load() as load:
			self.deploy("new")
			seen.start()
			self.migrate()
			self.sees_no_failure(load)
		seen.join(10)
		self.assertGreater(load.slowest, 2)
		self.assertEqual(seen.answers, ["new"])
		self.assertEqual(self.left(), [".record"])

	def test_what_is_asked_while_the_schema_changes_is_answered_by_new_code_only(self):
		self.begin()
		self.check()

	@in_long_runs("test_what_is_asked_while_the_schema_changes_is_answered_by_new_code_only")
	def test_the_same_where_old_workers_hand_their_sockets_over(self):
		self.begin()
		self.refused_by_the_kernel()
		self.check()

	def test_where_it_is_not_set_up_it_is_refused_with_what_to_type(self):
		self.deploy("old")
		self.supervise("-b", f"127.0.0.1:{self.port}", "-w", "2")
		eventually(self.is_up, "web answers")
		with self.assertRaises(WrongEnvironment) as raised:
			self.migrate()
		self.assertIn("bench safe-restart setup web", raised.exception.hint)
		self.assertTrue(self.is_up())


class Watch(threading.Thread):
	"""Asks once as soon as the migration has begun."""

	def __init__(self, case: HoldCase) -> None:
		super().__init__(daemon=True)
		self.port, self.mark, self.answers = case.port, case.sites / "migrating", []

	def run(self) -> None:
		eventually(self.mark.exists, "the migration has begun", deadline=60)
		answer = request(HTTPConnection("127.0.0.1", self.port, timeout=30), "/", SITE, b"")
		self.answers.append(answer.split()[0])
