"""A whole operation restarts real gunicorn under a real supervisord: what users of the site notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import fmx_restart
from fmx_restart.adapters.journal import Fact, facts_of
from fmx_restart.adapters.web.gunicorn_configuration import carry_out, plan_installation, plan_removal
from fmx_restart.adapters.web.linger import Hooks
from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import crashed_operation_of
from fmx_restart.engine.emitter import json_line
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess
from fmx_restart.engine.recovery import Recovery
from fmx_restart.engine.report import Report
from fmx_restart.engine.steps import linger
from fmx_restart.engine.strategies import operation_for
from fmx_restart.tests.adapters.test_web_programs import WebProgramCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs
from fmx_restart.tests.web.gunicorn_program import APPLICATION, Load, asking, gunicorn_processes, request

ERRS_FOR = 2.0  # seconds that an operation waits for new code that errs; people have 15
CHECKOUT = Path(fmx_restart.__file__).parents[1]


class OperationCase(WebProgramCase):
	def begin(self, *options: str, **settings: str) -> None:
		self.deploy("old")
		carry_out(plan_installation(self.sites))
		# two versions of one size within a second look the same to Python's cache of compiled files
		settings["environment"] = f'PYTHONPATH="{CHECKOUT}",PYTHONDONTWRITEBYTECODE="1"'
		self.supervise("-b", f"127.0.0.1:{self.port}", "-w", "2", *options, **settings)
		eventually(self.is_up, "web answers")
		self.addCleanup(self.end_workers)

	def begin_before_setup(self, *options: str, **settings: str) -> None:
		"""Web that was started before it was set up to linger."""
		self.deploy("old")
		settings["environment"] = f'PYTHONPATH="{CHECKOUT}",PYTHONDONTWRITEBYTECODE="1"'
		self.supervise("-b", f"127.0.0.1:{self.port}", "-w", "2", *options, **settings)
		self.addCleanup(self.end_workers)
		eventually(self.is_up, "web answers")
		planned = plan_installation(self.sites)
		carry_out(planned)
		later = time.time() + 6  # as if it was set up some seconds after the start of web
		os.utime(planned.file, (later, later))

	def deploy(self, version: str) -> None:
		(self.sites / "tiny_app.py").write_text(APPLICATION.format(version=version))

	def end_workers(self) -> None:
		for process in gunicorn_processes(self.sites):
			process.kill()
		for log in self.bench.glob("web-stdout*"):
			print(log.read_text())  # noqa: T201  pytest shows it where a test fails

	def note(self, fact: events.Event) -> None:
		self.facts.append(fact)
		print(f"{time.time():.3f} {fact}")  # noqa: T201

	def restart(self, **options: object) -> Report:
		self.facts: list[events.Event] = []
		wanted = replace(Options(workers=False), **options)
		return operation_for(self.port_of_bench(), wanted, self.note, "operation-1").run()

	@contextmanager
	def under_load(self) -> Iterator[Load]:
		with asking(self.port, "one.localhost", 3) as load:
			eventually(lambda: load.answers["old"] > 20, "old code answers")
			yield load

	def operation_killed_at(self, kind: type[events.Event]) -> Callable[[], list[Fact]]:
		"""In a process of its own, which waits until the returned function is called; that returns what its journal tells."""
		journal = self.bench / "journal.jsonl"
		wait, begin = os.pipe()
		child = os.fork()
		if child == 0:
			with suppress(BaseException):
				os.read(wait, 1)
				self.connect()
				self.run_until(kind, journal)
			os._exit(1)

		def go() -> list[Fact]:
			os.write(begin, b"x")
			_, status = os.waitpid(child, 0)
			self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGKILL)
			return list(facts_of(journal))

		return go

	def run_until(self, kind: type[events.Event], journal: Path) -> None:
		def write(event: events.Event) -> None:
			with journal.open("a") as file:
				file.write(f"{json_line(event, time.time())}\n")
			if isinstance(event, kind):
				os.kill(os.getpid(), signal.SIGKILL)

		options = Options(workers=False, old_web_timeout=60.0)
		operation_for(self.port_of_bench(), options, write, "operation-1").run()

	def recover(self, facts: list[Fact]) -> Report:
		self.facts = []
		return Recovery(self.port_of_bench(), crashed_operation_of(facts), self.note).run()


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestOperation(OperationCase):
	def check_that_no_request_fails(self, *options: str) -> None:
		self.begin(*options)
		with self.under_load() as load:
			self.deploy("new")
			report = self.restart()
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual((report.outcome, load.failed), (Phase.DONE, {}))
		(seen,) = report.web
		self.assertTrue(seen.is_flawless, seen)
		self.assertIn(events.NewWebAnswers, list(map(type, self.facts)))
		self.assertEqual(len(gunicorn_processes(self.sites)), 3)

	def test_no_request_fails_and_the_new_code_answers(self):
		self.check_that_no_request_fails()

	@in_long_runs("test_no_request_fails_and_the_new_code_answers")
	def test_no_request_fails_with_threads_and_an_application_that_the_master_loads(self):
		self.check_that_no_request_fails("--threads", "4", "--preload")

	def test_new_code_that_errs_takes_nothing_down_and_is_told_and_the_next_restart_brings_it(self):
		self.begin()
		(self.sites / "broken").write_text("one.localhost")
		with patch.object(linger, "ERRS_FOR", ERRS_FOR), self.under_load() as load:
			self.deploy("new")
			with self.assertRaises(ProcessFault) as raised:
				self.restart(old_web_timeout=60.0)
			self.assertIn("new code does not answer: one.localhost: HTTP 500", str(raised.exception))
			(told,) = [fact for fact in self.facts if isinstance(fact, events.OldWebServes)]
			self.assertEqual(load.answers["new"], 0)
			# When the cause is put right and the same command is typed again
			(self.sites / "broken").unlink()
			self.assertEqual(self.restart().outcome, Phase.DONE)
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual(load.failed, {})
		self.assertFalse(Hooks(self.sites).is_lingering())
		self.assertEqual(told.program, "web")

	def test_workers_of_an_old_master_that_took_over_in_an_earlier_restart_are_no_new_ones(self):
		self.begin("--preload")
		for _ in range(2):
			self.assertEqual(self.restart().outcome, Phase.DONE)
		told = [type(fact) for fact in self.facts]
		self.assertLess(told.index(events.ProcessDown), told.index(events.NewWebAnswers))

	def test_code_that_cannot_be_loaded_takes_nothing_down(self):
		self.begin("--preload", startretries="1")
		with self.under_load() as load:
			(self.sites / "tiny_app.py").write_text("raise ImportError('gone')\n")
			with self.assertRaises(ProcessFault):
				self.restart()
			self.deploy("new")
			self.assertEqual(self.restart().outcome, Phase.DONE)
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual(load.failed, {})

	def test_a_master_that_someone_kills_costs_no_request(self):
		self.begin()
		with self.under_load() as load:
			(web,) = self.processes.list()
			self.deploy("new")
			os.kill(web.pid, signal.SIGKILL)
			eventually(lambda: load.answers["new"] > 20, "new code answers")
			eventually(lambda: len(gunicorn_processes(self.sites)) == 3, "old workers have left")
		self.assertEqual(load.failed, {})

	def test_a_program_that_has_just_ended_may_come_again(self):
		self.deploy("old")
		carry_out(plan_installation(self.sites))
		gone = subprocess.run(
			[sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
		)
		for family in ([], [HostProcess(int(gone.stdout))]):
			self.assertTrue(Hooks(self.sites).way(family).is_coming)

	def test_where_the_hooks_are_not_active_the_plan_says_what_to_type(self):
		self.deploy("old")
		self.supervise("-b", f"127.0.0.1:{self.port}", "-w", "2")
		eventually(self.is_up, "web answers")
		self.assertEqual(self.restart().outcome, Phase.DONE)
		(told,) = [fact for fact in self.facts if isinstance(fact, events.WebCannotLinger)]
		self.assertIn("bench safe-restart setup web", told.remedy)

	def test_once_the_lines_are_removed_web_restarts_as_always(self):
		self.begin()
		carry_out(plan_removal(self.sites))
		for _ in range(2):
			self.assertEqual(self.restart().outcome, Phase.DONE)
		self.assertFalse(Hooks(self.sites).is_lingering())
		self.assertEqual(list(self.sites.glob(".fmx_restart-web-*")), [])

	def test_once_set_up_it_is_ready_from_the_next_restart_on(self):
		self.begin_before_setup()
		self.assertEqual(self.restart().outcome, Phase.DONE)
		(told,) = [fact for fact in self.facts if isinstance(fact, events.WebCannotLinger)]
		self.assertIn("fail no request", told.remedy)
		with self.under_load() as load:
			self.deploy("new")
			self.assertEqual(self.restart().outcome, Phase.DONE)
			eventually(lambda: load.answers["new"] > 20, "new code answers")
		self.assertEqual(load.failed, {})


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestItsProcessIsKilled(OperationCase):
	"""kill -9 of the operation: no request fails, and the recovery starts what is down, ends nothing that serves, says what is."""

	def check(self, kind: type[events.Event]) -> str:
		"""Returns the version that answers in the end."""
		self.begin()
		go = self.operation_killed_at(kind)
		with self.under_load() as load:
			self.deploy("new")
			report = self.recover(go())
			eventually(lambda: len(gunicorn_processes(self.sites)) == 3, "old workers have left, if any were")
		self.assertEqual((report.outcome, load.failed), (Phase.RECOVERED, {}))
		self.assertEqual([path.suffix for path in self.sites.glob(".fmx_restart-web-*")], [".record"])
		return request(HTTPConnection("127.0.0.1", self.port, timeout=10), "/", "one.localhost", b"").split()[
			0
		]

	def test_when_it_had_given_its_order_web_runs_on_and_the_order_is_withdrawn(self):
		self.assertEqual(self.check(events.ProcessStopping), "old")

	def test_when_the_old_master_had_ended_new_code_answers(self):
		self.assertEqual(self.check(events.ProcessDown), "new")

	def test_when_new_code_had_answered_it_goes_on(self):
		self.assertEqual(self.check(events.NewWebAnswers), "new")

	def test_when_new_code_errs_old_workers_serve_on_and_until_when_is_told(self):
		self.begin()
		(self.sites / "broken").write_text("one.localhost")
		go = self.operation_killed_at(events.ProcessDown)
		with self.under_load() as load:
			self.deploy("new")
			facts = go()
			with self.assertRaises(ProcessFault) as raised, patch.object(linger, "ERRS_FOR", ERRS_FOR):
				self.recover(facts)
			self.assertEqual((load.failed, load.answers["new"]), ({}, 0))
		self.assertIn("Old web workers go on serving", str(raised.exception))
		(told,) = [fact for fact in self.facts if isinstance(fact, events.OldWebServes)]
		self.assertIn("one.localhost: HTTP 500", told.reason)
		self.assertAlmostEqual(told.until, facts[-1][0] + 60, delta=10)
		self.assertTrue(Hooks(self.sites).is_lingering())
