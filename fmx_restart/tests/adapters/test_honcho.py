"""A bench under a real honcho: what is found, restarts in place under load, what is refused, and honcho's end in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

import psutil

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.discovery import find_managers, known_managers
from fmx_restart.adapters.managers.setting import named_managers
from fmx_restart.adapters.managers.unsupported import unsupported
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.adapters.web import BenchWeb
from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.probe import AskedSites
from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy, restart_options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, ProcessKind, ProcessManagers, ProcessState
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench, InMemoryCode
from fmx_restart.tests.adapters.benches import short_folder
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.procfile_bench import HONCHO, SITE, ProcfileBench
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE

WAIT_WORKERS, ROLLING = Options(Strategy.WAIT_WORKERS), Options(Strategy.ROLLING)
KINDS = {
	"web": ProcessKind.WEB,
	"schedule": ProcessKind.SCHEDULER,
	"worker": ProcessKind.WORKER,
	"watch": ProcessKind.OTHER,
}


@unittest.skipUnless(HONCHO, "honcho is not there; bench brings it along")
class HonchoCase(RedisTestCase):
	has_port = True
	kind = "lossless"
	options: tuple[str, ...] = ()

	def setUp(self) -> None:
		super().setUp()
		self.bench = ProcfileBench(self.server, short_folder(self) / "bench", kind=self.kind)
		self.addCleanup(self.bench.stop)
		self.addCleanup(self.end_all)
		self.facts: list[events.Event] = []
		self.start()

	def start(self) -> None:
		self.bench.write_procfile()
		self.begin()

	def begin(self, *options: str) -> None:
		self.bench.begin_honcho(*options)
		eventually(self.is_up, self.bench.log)

	def is_up(self) -> bool:
		"""Every program runs, and the worker has registered."""
		with suppress(WrongEnvironment):
			listed = self.listed()
			is_running = all(process.state is ProcessState.RUNNING for process in listed.values())
			return len(listed) >= len(KINDS) and is_running and self.admin.scard("rq:workers") > 0
		return False

	def end_all(self) -> None:
		"""Also what a killed honcho has left: each program leads a session of its own."""
		self.bench.end_honcho()
		for process in psutil.process_iter():
			with suppress(psutil.Error):
				if process.environ().get("HONCHO_PROCESS_NAME") and process.cwd().startswith(
					str(self.bench.path)
				):
					process.kill()

	def managers(self) -> ProcessManagers:
		return ProcessManagers(find_managers(str(self.bench.path), {}))

	def listed(self) -> dict:
		return {process.name: process for process in self.managers().list()}

	def port(self) -> Bench:
		clock = SystemClock()
		code = InMemoryCode(clock)
		code.takes = code.web_takes = 0.0
		sites = AskedSites(self.bench.sites, named=(SITE,))
		return replace(
			InMemoryBench({}).port(),
			queue=RedisQueue(self.bench.connection, self.bench.id, "operation-1"),
			fence=RedisFence(self.bench.connection, f"fmx_restart:{self.bench.id}:operation-1", seconds=5.0),
			clock=clock,
			host=ThisHost(str(self.bench.path)),
			processes=self.managers(),
			web=BenchWeb(str(self.bench.path), sites, Endpoint("127.0.0.1", self.bench.port)),
			code=code,
		)

	def operation(self, options: Options) -> Operation:
		return operation_for(self.port(), options, self.facts.append, "operation-1")

	def fails(self, options: Options, kind: type[OperationError]) -> OperationError:
		with self.assertRaises(kind) as raised:
			self.operation(options).run()
		self.assertIsNone(self.admin.get("rq:suspended"))
		return raised.exception

	def assert_each_ran_once(self, load: Load) -> None:
		ids = set(load.ids)
		self.assertGreater(len(ids), 5)
		eventually(lambda: ids <= {id.decode() for id in self.admin.hkeys(DONE)}, "each job has run")
		for key in (BEGUN, DONE):
			self.assertEqual(set(self.admin.hmget(key, *ids)), {b"1"})


class TestInPlace(HonchoCase):
	def test_what_it_runs_is_found_and_restarted_under_load_without_an_end(self):
		before = self.listed()
		self.assertEqual({name: process.kind for name, process in before.items()}, KINDS)
		self.assertEqual({process.ends_all for process in before.values()}, {True})
		self.assertEqual([name for name, process in before.items() if not process.stays], ["web"])
		with Load(self.bench.enqueue_counted) as load:
			for options in (WAIT_WORKERS, ROLLING) if IS_LONG_RUN else (WAIT_WORKERS,):
				with self.subTest(strategy=options.strategy):
					report = self.operation(options).run()
					after = self.listed()
					self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
					self.assertEqual({change.name: change.by for change in report.processes}, BY)
					self.assertEqual(list(report.stays), ["watch"])
					self.assertFalse(after["web"].is_same_as(before["web"]))
					pids = [(it["worker"].pid, it["schedule"].pid, it["watch"].pid) for it in (before, after)]
					self.assertEqual(*pids)
					self.assertEqual([web.unanswered for web in report.web], [0.0])
					before = after
		self.assert_each_ran_once(load)
		self.assertIsNone(self.bench.honcho.poll())

	def test_logs_refusals_and_new_code_that_cannot_be_imported(self):
		self.assert_logs()
		self.assert_refused()
		(self.bench.sites / "apps.txt").write_text("fmx_restart\nbroken\n")
		before = self.listed()
		error = self.fails(WAIT_WORKERS, ProcessFault)
		self.assertIn("worker (its new code cannot be imported: ModuleNotFoundError", str(error))
		self.assertTrue(self.listed()["worker"].is_same_as(before["worker"]))
		self.bench.enqueue_counted("after")
		self.bench.is_done("after")

	def assert_logs(self) -> None:
		"""Of files, and none of the terminal."""
		manager = self.managers()
		names = [tail.source for tail in manager.log_tails("worker", 5)]
		self.assertEqual(
			names, [str(self.bench.path / "logs" / it) for it in ("worker.log", "worker.error.log")]
		)
		[web] = manager.log_tails("web", 5)
		self.assertEqual((web.source, web.lines), ("the terminal of bench start", ()))

	def assert_refused(self) -> None:
		"""What has to stop programs."""
		migrate = restart_options(migration=MigrationOptions(), sites=(SITE,))
		for options in (migrate, restart_options(Strategy.SUSPEND_RQ)):
			error = self.fails(options, WrongEnvironment)
			self.assertEqual(error.exit_code, 7)
			self.assertIn("without ending all: web, schedule, worker. Nothing was changed.", str(error))
		self.assertIn(
			"press Ctrl-C in the terminal of bench start", self.fails(migrate, WrongEnvironment).hint
		)


BY = {"web": ReplacedBy.RELOADER, "schedule": ReplacedBy.RELOAD, "worker": ReplacedBy.RELOAD}


class TestItsEnd(HonchoCase):
	def test_ctrl_c_in_the_middle_and_a_new_start_bring_new_code_into_service(self):
		before = self.listed()
		with Load(self.bench.enqueue_counted) as load:
			error = self.dies_at(events.ReloadAsked, signal.SIGINT, then=self.bench.begin_honcho)
		self.assertIsNone(error)
		after = self.listed()
		self.assertEqual([name for name, process in after.items() if process.is_same_as(before[name])], [])
		self.assert_each_ran_once(load)

	@in_long_runs("Ctrl-C and a new start")
	def test_ctrl_c_in_the_middle_ends_all_and_the_jobs_wait_for_the_next_start(self):
		for id in "abcdef":
			self.bench.enqueue_counted(id, seconds=0.2)
		error = self.dies_at(events.ReloadAsked, signal.SIGINT)
		self.assertEqual(error.exit_code, 4)
		self.assertIsNone(self.admin.get("rq:suspended"))
		with self.assertRaises(WrongEnvironment):
			self.managers()
		self.bench.enqueue_counted("later")
		self.begin()
		for id in ("a", "f", "later"):
			self.bench.is_done(id)
		self.assertEqual(set(self.admin.hvals(BEGUN)), {b"1"})

	@in_long_runs("Ctrl-C and a new start")
	def test_killed_in_the_middle_workers_go_on_and_no_job_is_lost(self):
		with Load(self.bench.enqueue_counted) as load:
			# what had to be done for them needs no honcho
			self.assertIsNone(self.dies_at(events.ReloadAsked, signal.SIGKILL))
		self.assert_each_ran_once(load)

	def dies_at(
		self, fact: type, number: int, then: Callable[[], object] = lambda: None
	) -> OperationError | None:
		"""honcho does, once, when the operation has told this."""
		operation = self.operation(replace(WAIT_WORKERS, web=False))
		ended: list[subprocess.Popen] = []

		def end(told: events.Event) -> None:
			if isinstance(told, fact) and not ended:
				ended.append(self.bench.honcho)
				self.bench.honcho.send_signal(number)
				self.bench.honcho.wait(20)
				then()

		operation.listen(end)
		try:
			operation.run()
		except OperationError as error:
			return error
		return None


class TestRqsOwnWorkers(HonchoCase):
	kind = "stock"

	def test_they_are_drained_and_named_and_go_on(self):
		before = self.listed()
		job = self.bench.enqueue_counted("first", seconds=0.5)
		error = self.fails(WAIT_WORKERS, ProcessFault)
		self.assertEqual((error.exit_code, job.get_status(refresh=True)), (4, "finished"))
		self.assertIn("Not restarted: schedule, worker", str(error))
		self.assertIn("Restarted: web.", str(error))
		self.assertIn("press Ctrl-C in the terminal of bench start", error.hint)
		after = self.listed()
		self.assertFalse(after.pop("web").is_same_as(before.pop("web")))
		self.assertEqual(
			{name: it.pid for name, it in after.items()}, {name: it.pid for name, it in before.items()}
		)
		self.bench.enqueue_counted("second")
		self.bench.is_done("second")
		# and without web nothing is left to be done
		error = self.fails(replace(WAIT_WORKERS, web=False), WrongEnvironment)
		self.assertEqual(error.exit_code, 7)
		self.assertIn("Nothing was changed.", str(error))


class TestFinding(HonchoCase):
	def start(self) -> None:
		line = next(iter(self.lines()))
		self.bench.write_procfile(line, name="Procfile.dev", web="--noreload")
		self.begin("-f", "Procfile.dev", "-c", "worker=2")

	def lines(self):
		"""A program of no bench, in a folder of its own."""
		yield "other: cd / && exec sleep 1000"

	def test_another_procfile_two_workers_web_without_a_reloader_and_programs_of_others(self):
		listed = self.listed()
		self.assertEqual(listed.keys(), {"web", "schedule", "worker.1", "worker.2", "watch"})
		self.assertEqual(listed["web"].stays.reason, "without a reloader")
		[manager], _ = known_managers(str(self.bench.path), {})
		self.assertEqual((manager.kind, manager.url), ("honcho", str(self.bench.path / "Procfile.dev")))
		# an entry of the setting for it is refused
		with self.assertRaisesRegex(
			WrongEnvironment, "entry 1 names honcho, which is found by its processes"
		):
			named_managers({"fmx_restart_managers": [{"kind": "honcho"}]})
		# and another bench has no part in it
		other = short_folder(self) / "other"
		(other / "sites").mkdir(parents=True)
		with self.assertRaises(WrongEnvironment):
			find_managers(str(other), {})


HOOKS = "from fmx_restart.web.hooks import install\ninstall(globals())\n"


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestGunicorn(HonchoCase):
	"""In place of bench serve."""

	def start(self) -> None:
		self.bench.deploy("old")
		self.bench.write_procfile(gunicorn="--threads=2")
		self.begin()
		eventually(lambda: self.version() == "old", "it answers")

	def version(self) -> str:
		with (
			suppress(OSError),
			urllib.request.urlopen(f"http://127.0.0.1:{self.bench.port}/", timeout=5) as answer,
		):
			return answer.headers["Version"]
		return ""

	def test_its_workers_are_replaced_below_a_main_process_that_stays_and_broken_code_never_reaches_them(
		self,
	):
		before = self.listed()
		self.assertEqual([name for name, process in before.items() if not process.stays], ["web"])
		self.bench.deploy("new")
		self.restart_with_new_code()
		after = self.listed()
		self.assertEqual(after["web"].pid, before["web"].pid)
		self.assertFalse(after["web"].is_same_as(before["web"]))
		# gunicorn would end, and honcho all others with it
		(self.bench.sites / "served.py").write_text("import nothing_of_that_name")
		error = self.fails(WAIT_WORKERS, ProcessFault)
		self.assertEqual(error.exit_code, 4)
		self.assertIn("ModuleNotFoundError: No module named 'nothing_of_that_name'", str(error))
		self.assertEqual(self.version(), "new")
		self.assertEqual(
			{name: it.incarnation for name, it in self.listed().items()},
			{name: it.incarnation for name, it in after.items()},
		)

	def restart_with_new_code(self) -> None:
		report = self.operation(WAIT_WORKERS).run()
		self.assertEqual((report.outcome, [web.unanswered for web in report.web]), (Phase.DONE, [0.0]))
		self.assertEqual(self.version(), "new")
		self.assertIsNone(self.bench.honcho.poll())

	@in_long_runs("workers of gunicorn that are replaced")
	def test_with_the_lines_of_setup_web_it_is_the_same(self):
		self.bench.end_honcho()
		(self.bench.sites / "gunicorn.conf.py").write_text(HOOKS)
		self.begin()
		eventually(lambda: self.version() == "old", "it answers")
		self.bench.deploy("new")
		self.restart_with_new_code()


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestPreloadedGunicorn(HonchoCase):
	def start(self) -> None:
		self.bench.deploy("old")
		(self.bench.sites / "gunicorn.conf.py").write_text("preload_app = True\n")
		self.bench.write_procfile(gunicorn="")
		self.begin()

	def test_it_is_named_as_it_would_keep_the_old_code(self):
		before = self.listed()
		self.assertIn("with --preload", before["web"].stays.reason)
		error = self.fails(replace(WAIT_WORKERS, workers=False), WrongEnvironment)
		self.assertIn("leave out --preload", error.hint)
		self.assertIn("Nothing was changed", str(error))
		self.assertTrue(self.listed()["web"].is_same_as(before["web"]))


class TestUnsupported(unittest.TestCase):
	def setUp(self) -> None:
		self.path = short_folder(self) / "bench"
		for name in ("sites", "apps", "bin"):
			(self.path / name).mkdir(parents=True)

	def refused(self) -> list[str]:
		return [it.message for it in unsupported(str(self.path), ProcessTable.take())]

	def test_nothing_is_refused_where_nothing_runs(self):
		(self.path / ".overmind.sock").touch()
		self.assertEqual(self.refused(), [])

	def test_overmind_by_its_socket(self):
		with socket.socket(socket.AF_UNIX) as server:
			server.bind(str(self.path / ".overmind.sock"))
			server.listen()
			self.assertEqual(
				self.refused(),
				[f"overmind ({self.path}/.overmind.sock) runs this bench, and is not supported yet"],
			)

	def test_overmind_by_its_process(self):
		pid = self.run_as("overmind", "1000")
		self.assertEqual(self.refused(), [f"overmind (pid {pid}) runs this bench, and is not supported yet"])

	def test_another_runner_above_a_worker(self):
		pid = self.run_above_worker("forego", "start")
		self.assertEqual(self.refused(), [f"forego (pid {pid}) runs this bench, and is not supported yet"])

	def test_gunicorn_with_workers_below_it(self):
		pid = self.run_above_worker("gunicorn", "frappe.app:application")
		[text] = self.refused()
		self.assertIn(f"gunicorn (pid {pid}) runs web and workers of this bench in one process tree", text)

	def run_as(self, name: str, *words: str) -> int:
		"""A process of another program's name, in the bench."""
		program = self.path / "bin" / name
		shutil.copy(shutil.which("sleep"), program)
		return self.spawn([str(program), *words])

	def run_above_worker(self, *words: str) -> int:
		"""A process of that name which has started a worker of the bench."""
		start = f"import subprocess; subprocess.run([{sys.executable!r}, 'bench', 'worker'])"
		(self.path / "sites" / "bench").write_text("import time; time.sleep(1000)")
		script = self.path / "bin" / words[0]
		script.write_text(f"#!{sys.executable}\n{start}\n")
		script.chmod(0o755)
		pid = self.spawn([str(script), *words[1:]])
		eventually(
			lambda: any("worker" in it.cmdline() for it in psutil.Process(pid).children()), "the worker runs"
		)
		return pid

	def spawn(self, words: list[str]) -> int:
		process = subprocess.Popen(words, cwd=self.path / "sites", start_new_session=True)
		self.addCleanup(process.wait)
		self.addCleanup(lambda: os.killpg(process.pid, signal.SIGKILL))
		eventually(lambda: psutil.Process(process.pid).cmdline()[-1:] == words[-1:], "it runs")
		return process.pid
