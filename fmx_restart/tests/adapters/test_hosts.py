"""One operation, two hosts: each with a real supervisord behind a password, real RQ workers, and Redis on a third one."""

from __future__ import annotations

import sys
import threading
import unittest
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Process
from fmx_restart.engine.report import GroupResult, ReplacedBy, Report, UpdateResult
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.migrations import Script
from fmx_restart.tests.adapters.benches import program
from fmx_restart.tests.adapters.hosts import FarHost, FarRedis, FarSupervisord, can_have_hosts, switch
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.rq_bench import put_script
from fmx_restart.tests.adapters.test_several_managers import ManagersCase
from fmx_restart.tests.adapters.waiting import DEADLINE, eventually
from fmx_restart.tests.repetitions import IS_LONG_RUN, in_long_runs
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE, WorkerBench
from fmx_restart.worker.reload import RELOADS
from fmx_restart.worker.switch import SETTING

#: New code may fail on one host alone
WORKER = """
import socket
import sys
from pathlib import Path
if Path(f"broken-on-{socket.gethostname()}").exists():
	sys.exit("this code does not run here")
from fmx_restart.tests.worker import worker_bench
worker_bench.work(*sys.argv[2:])
"""
WAIT_WORKERS = Options(Strategy.WAIT_WORKERS, web=False)


@unittest.skipUnless(can_have_hosts(), "this user may not make network namespaces")
class HostsCase(ManagersCase):
	"""Hosts app1 and app2, with a worker for short and one for long jobs on each."""

	kind = "stock"  # of worker_bench.KINDS
	seconds = 0.2  # that a job takes

	@classmethod
	def setUpClass(cls) -> None:
		network = switch()
		network.__enter__()
		cls.addClassCleanup(network.__exit__, None, None, None)
		super().setUpClass()

	@classmethod
	def make_server(cls, folder: Path) -> FarRedis:
		return FarRedis(folder)

	def setUp(self) -> None:
		super().setUp()
		self.rq = WorkerBench(self.server, self.bench / "sites", id="a-bench")
		(self.bench / "sites/worker.log").touch()
		self.rq.set(**{SETTING: True})
		self.supervisords = [self.add_host("app1", 11), self.add_host("app2", 12)]
		self.app1, self.app2 = self.supervisords
		self.registered(4)

	def add_host(
		self, name: str, number: int, *, queues: tuple[str, ...] = ("short", "long")
	) -> FarSupervisord:
		host, folder = FarHost(name, number), self.home / name
		self.addCleanup(host.end)
		folder.mkdir()
		supervisord = FarSupervisord(host, folder, "".join(map(self.worker, queues)))
		supervisord.start()
		return supervisord

	def worker(self, queue: str) -> str:
		script = self.bench / "env/bin/bench"
		put_script(script, WORKER)
		words = [sys.executable, script, "worker", self.kind, "{}", self.server.url(), *self.rq.names(queue)]
		command = f"/usr/bin/env PYTHONPATH={CHECKOUT} {' '.join(map(str, words))}"
		return program(queue, command, folder=self.bench / "sites", startsecs=0, stopwaitsecs=60)

	@property
	def entries(self) -> list[dict[str, str]]:
		return [supervisord.entry for supervisord in self.supervisords]

	def listed(self) -> dict[str, Process]:
		return {process.name: process for process in self.managers(*self.entries).list()}

	def enqueue(self, id: str, queue: str) -> None:
		self.rq.enqueue_counted(id, queue, seconds=self.seconds)

	def assert_each_ran_once(self, load: Load) -> None:
		patience = DEADLINE + len(load.ids)  # on a busy machine more come than go
		eventually(
			lambda: all(self.rq.count(DONE, id) for id in load.ids), "each job has run", deadline=patience
		)
		self.assertEqual({self.rq.count(BEGUN, id) for id in load.ids}, {1})
		self.assertGreater(len(load.ids), 5)

	def assert_replaced(self, before: dict[str, Process], *names: str) -> None:
		"""These, and no others."""
		after = self.listed()
		new = {name for name, process in after.items() if not process.is_same_as(before[name])}
		self.assertEqual(new, set(names))


CUT_FOR = 3.0  # seconds
ALL = ("app1/short", "app1/long", "app2/short", "app2/long")


class TestTwoHosts(HostsCase):
	@in_long_runs("a cable that is pulled in the middle")
	def test_a_restart_under_load_replaces_the_workers_of_both_and_each_job_runs_once(self):
		before = self.listed()
		self.assertEqual({process.host for process in before.values()}, {"app1", "app2"})
		with Load(self.enqueue) as load:
			eventually(lambda: any(self.rq.count(BEGUN, id) for id in load.ids), "jobs run")
			report = self.operation(self.managers(*self.entries), WAIT_WORKERS).run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assert_replaced(before, *ALL)
		self.assert_each_ran_once(load)

	def test_a_cable_that_is_pulled_in_the_middle_delays_its_own_host_alone(self):
		before = self.listed()
		operation = self.operation(self.managers(*self.entries), WAIT_WORKERS)
		back = threading.Timer(CUT_FOR, self.app2.host.plug)
		self.addCleanup(back.join)

		def pull() -> None:
			self.app2.host.cut()
			back.start()

		on(operation, events.PhaseEntered(Phase.RESTART), pull)
		with Load(self.enqueue) as load:
			report = operation.run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		away = [fact for fact in self.facts if isinstance(fact, events.ManagerAway)]
		self.assertRegex(away[0].reason, "^app2: ")
		down = {change.name: change.seconds_down for change in report.processes}
		self.assertLess(max(down["app1/short"], down["app1/long"]), CUT_FOR)
		self.assert_replaced(before, *ALL)
		self.assert_each_ran_once(load)

	def test_hosts_come_one_after_the_other_and_one_that_fails_keeps_the_next_as_it_is(self):
		before = self.listed()
		self.assert_wrong_password_changes_nothing(before)
		options = replace(WAIT_WORKERS, hosts=HostOptions(("app2", "app1"), canary=1.0))
		with Load(self.enqueue) as load:
			report = self.operation(self.managers(*self.entries), options).run()
			self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
			self.assert_replaced(before, *ALL)
			before = self.listed()
			(self.bench / "sites/broken-on-app2").touch()
			operation = self.operation(self.managers(*self.entries), options)
			with self.assertRaises(ProcessFault) as caught:
				operation.run()
			(self.bench / "sites/broken-on-app2").unlink()
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertRegex(str(caught.exception), "in service with the old code: app1/.*, app1/")
		results = [(group.hosts, group.result) for group in operation.report.hosts]
		self.assertEqual(results, [(["app2"], GroupResult.FAILED), (["app1"], GroupResult.UNTOUCHED)])
		after = self.listed()
		self.assertTrue(all(after[name].is_same_as(before[name]) for name in ALL[:2]))
		self.assert_each_ran_once(load)

	def test_each_host_applies_its_own_changed_configuration_in_its_own_turn(self):
		"""Its files are behind a wall; its supervisord reads them."""
		other = program("other", "/bin/sleep 1000", autostart="false")
		for supervisord in self.supervisords:
			name = supervisord.host.name
			text = supervisord.config.read_text().replace("stopwaitsecs = 60", "stopwaitsecs = 61", 1)
			more = self.worker("short").replace("[program:short]", f"[program:more-{name}]")
			supervisord.config.write_text(f"{text}{more}{other}")
		options = replace(WAIT_WORKERS, update_config=True, hosts=HostOptions(("app2",)))
		before = self.listed()
		with Load(self.enqueue) as load:
			report = self.operation(self.managers(*self.entries), options).run()
			self.assertEqual(self.results(report), self.expected("app2"))
			self.assertEqual(set(self.listed()), {*ALL, "app2/more-app2"})
			kept = self.listed()
			self.assertTrue(all(kept[name].is_same_as(before[name]) for name in ALL[:2]))
			# then on both, of which one has nothing new
			options = replace(options, hosts=HostOptions(batch=1))
			report = self.operation(self.managers(*self.entries), options).run()
		self.assertEqual(self.results(report), {**self.expected("app1"), "app2/other": UpdateResult.LEFT})
		self.assertEqual(set(self.listed()), {*ALL, "app1/more-app1", "app2/more-app2"})
		self.assertEqual(report.account.lost, [])
		self.assert_each_ran_once(load)

	def expected(self, host: str) -> dict[str, UpdateResult]:
		done = dict.fromkeys((f"{host}/short", f"{host}/more-{host}"), UpdateResult.UPDATED)
		return {**done, f"{host}/other": UpdateResult.LEFT}

	def results(self, report: Report) -> dict[str, UpdateResult]:
		self.assertEqual(report.outcome, Phase.DONE)
		return {it.group: it.result for it in report.configuration}

	def assert_wrong_password_changes_nothing(self, before: dict[str, Process]) -> None:
		wrong = {**self.app2.entry, "password": "guessed"}
		with self.assertRaises(WrongEnvironment) as caught:
			self.operation(self.managers(self.app1.entry, wrong)).run()
		text = f"{caught.exception} {caught.exception.hint}"
		self.assertRegex(text, "^app2: .*refuses user fmx and the password.*Nothing was changed")
		self.assertNotIn("guessed", text)
		self.assertIsNone(self.admin.get("rq:suspended"))
		self.assert_replaced(before)

	@unittest.skipUnless(
		IS_LONG_RUN, "a manager that does not come back is waited for a minute: bin/test --long"
	)
	def test_a_supervisord_that_ends_in_the_middle_is_named_with_what_to_type(self):
		before, self.seconds = self.listed(), 0.0  # as a minute's jobs come together
		operation = self.operation(self.managers(*self.entries), WAIT_WORKERS)
		on(operation, events.PhaseEntered(Phase.RESTART), self.app2.kill)
		with Load(self.enqueue) as load, self.assertRaises(ProcessFault) as caught:
			operation.run()
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertIn("2 of 4 processes failed: app2/", str(caught.exception))
		self.assertIn("All others were restarted. The queue keeps running; 0 of", str(caught.exception))
		self.assertIn(f"supervisorctl -s {self.app2.url} -u fmx -p PASSWORD start", caught.exception.hint)
		self.assertIsNone(self.admin.get("rq:suspended"))
		self.assert_each_ran_once(load)
		self.app2.start()  # as it is told
		eventually(lambda: self.admin.scard("rq:workers") >= 4, "its workers are back")
		self.assert_replaced(before, *ALL)


class TestOneByOne(HostsCase):
	@in_long_runs("each host after the other")
	def test_rolling_replaces_each_worker_when_its_own_job_has_ended_while_the_queue_runs(self):
		self.assert_one_by_one(Strategy.ROLLING)

	@in_long_runs("each host after the other")
	def test_without_waiting_a_busy_worker_leaves_through_its_manager_when_its_job_has_ended(self):
		self.assert_one_by_one(Strategy.NO_WAIT_WORKERS)

	def assert_one_by_one(self, strategy: Strategy) -> None:
		before = self.listed()
		self.seconds = 0.1
		self.rq.enqueue_counted("long one", "long", seconds=4)
		self.rq.has_begun("long one")
		with Load(self.enqueue) as load:
			report = self.operation(self.managers(*self.entries), Options(strategy, web=False)).run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assert_replaced(before, *ALL)
		self.assert_each_ran_once(load)
		self.assertEqual((self.rq.count(BEGUN, "long one"), self.rq.count(DONE, "long one")), (1, 1))


class TestWithoutManager(HostsCase):
	kind = "lossless"

	def test_workers_of_this_app_on_a_host_that_no_manager_reaches_reload_in_place(self):
		before = {fields["pid"]: fields for fields in self.rq.records() if fields["hostname"] == "app2"}
		self.assertEqual(len(before), 2)
		with Load(self.enqueue) as load:
			report = self.operation(self.managers(self.app1.entry), WAIT_WORKERS).run()
		self.assertEqual((report.outcome, report.account.lost, report.unreached), (Phase.DONE, [], []))
		reloaded = [change.name for change in report.processes if change.by is ReplacedBy.RELOAD]
		self.assertEqual(len(reloaded), 2, report.processes)
		after = {fields["pid"]: fields for fields in self.rq.records() if fields["hostname"] == "app2"}
		self.assertEqual(after.keys(), before.keys())  # the same processes
		self.assertEqual({fields[RELOADS] for fields in after.values()}, {"1"})
		self.assert_each_ran_once(load)


@unittest.skipUnless(IS_LONG_RUN, "as on the bench in memory, with real hosts: bin/test --long")
class TestMigration(HostsCase):
	kind = "lossless"
	options = Options(sites=("a.localhost",), migration=MigrationOptions(), web=False)

	def setUp(self) -> None:
		super().setUp()
		sites = self.bench / "sites"
		(sites / "apps.txt").write_text("fmx_restart\nown_app\n")
		(sites / "own_app").mkdir()
		(sites / "own_app/__init__.py").touch()
		self.hooks = sites / "own_app/hooks.py"
		self.alive: list[bool] = []

	def migrate(self) -> Operation:
		"""Web is left out, so it is to be forced; what is migrated exists in memory alone."""
		options = replace(self.options, migration=MigrationOptions(force=True))
		port = self.port(self.managers(*self.entries))
		port.migrations.scripts["a.localhost"] = Script(seconds=0.0, on_start=self.look)
		return operation_for(port, options, self.facts.append, "operation-1")

	def look(self) -> None:
		self.alive.append(any(process.pid for process in self.listed().values()))

	def test_no_worker_of_either_host_lives_while_the_schema_changes_and_each_host_tries_its_code(self):
		before = self.listed()
		self.hooks.write_text("")
		with Load(self.enqueue) as load:
			report = self.migrate().run()
		self.assertEqual((report.outcome, report.account.lost, self.alive), (Phase.DONE, [], [False]))
		self.assertFalse([fact for fact in self.facts if isinstance(fact, events.CodeNotChecked)])
		self.assert_replaced(before, *ALL)
		self.assert_each_ran_once(load)

	def test_code_that_one_host_alone_cannot_load_keeps_everything_as_it_is(self):
		before = self.listed()
		self.hooks.write_text("import socket\nif socket.gethostname() == 'app2':\n\timport not_there\n")
		with self.assertRaisesRegex(
			WrongEnvironment, "app2: ModuleNotFoundError own_app.hooks. Nothing was restarted"
		):
			self.migrate().run()
		self.assertEqual(self.alive, [])
		self.assert_replaced(before)
		self.assertIsNone(self.admin.get("rq:suspended"))


def on(operation: Operation, fact: events.Event, act: Callable[[], object]) -> None:
	"""Do it once, as soon as this fact is told."""
	done: list[bool] = []

	def listen(event: events.Event) -> None:
		if event == fact and not done:
			done.append(True)
			act()

	operation.listen(listen)
