"""Several real supervisords with real RQ workers: one on a socket, one behind a password, one in a pid namespace of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
import unittest
from pathlib import Path

from fmx_restart.adapters.managers.discovery import managers_in
from fmx_restart.adapters.managers.kind import Search
from fmx_restart.adapters.managers.setting import named_managers
from fmx_restart.adapters.managers.supervisor.connection import Address
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.adapters.managers.supervisor.several import Places, find_supervisors
from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, WrongEnvironment
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, ProcessManagers
from fmx_restart.engine.strategies import operation_for
from fmx_restart.engine.workers import look_at, runners
from fmx_restart.tests.adapters.benches import Supervisord, free_port, make_bench, program, short_folder
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.redis_server import CHECKOUT, RedisTestCase
from fmx_restart.tests.adapters.restart_case import port_of
from fmx_restart.tests.adapters.rq_bench import RqBench, runs_key
from fmx_restart.tests.adapters.test_namespaces import NAMESPACE, can_unshare
from fmx_restart.tests.adapters.waiting import eventually

PASSWORD = "s3cret"
HOST = "app2.example"
#: As on another machine: pids and a host name of its own
ELSEWHERE = [*NAMESPACE, "--uts", "sh", "-c", f'echo {HOST} > /proc/sys/kernel/hostname; exec "$@"', "sh"]
WAIT_WORKERS = Options(Strategy.WAIT_WORKERS, web=False)
ROLLING = Options(Strategy.ROLLING, web=False)


class SupervisordElsewhere(Supervisord):
	@staticmethod
	def popen(command: list[str], **settings: object) -> subprocess.Popen:
		return subprocess.Popen([*ELSEWHERE, *command], **settings)


class ManagersCase(RedisTestCase):
	has_port = True

	def setUp(self) -> None:
		super().setUp()
		self.home = short_folder(self)
		self.bench = make_bench(self.home / "bench")
		self.rq = RqBench(self.server, "a-bench", folder=self.bench)
		self.addCleanup(self.rq.stop)
		self.facts: list[events.Event] = []

	def worker(self, queue: str) -> str:
		command = f"/usr/bin/env PYTHONPATH={CHECKOUT} {shlex.join(self.rq.worker_command(queue))}"
		return program(queue, command, folder=self.bench / "sites", startsecs=0, stopwaitsecs=60)

	def run_near(self, kind: type[Supervisord] = Supervisord, *, server: str = "") -> Supervisord:
		"""On a socket, with a worker for short jobs."""
		folder = self.home / "near"
		folder.mkdir()
		supervisord = kind(folder, self.worker("short"), server=server)
		self.addCleanup(supervisord.stop)
		supervisord.start()
		return supervisord

	def run_locked(self) -> Supervisord:
		"""On a port, with user and password, with a worker for long jobs."""
		folder, port = self.home / "locked", free_port()
		folder.mkdir()
		server = f"[inet_http_server]\nport = 127.0.0.1:{port}\nusername = bench\npassword = {PASSWORD}\n"
		url = f"http://127.0.0.1:{port}"
		supervisord = Supervisord(folder, self.worker("long"), server=server, url=url)
		self.addCleanup(supervisord.stop)
		supervisord.start(Address(url, "bench", PASSWORD))
		return supervisord

	def entry(self, supervisord: Supervisord, name: str, **others: str) -> dict:
		return {"kind": "supervisor", "url": supervisord.url, "name": name, **others}

	def search(
		self, *entries: dict, files: list[Path] | None = None, sockets: str = "", **environ: str
	) -> Search:
		found = find_supervisors(
			str(self.bench),
			{},
			named_managers({"fmx_restart_managers": list(entries)}, environ),
			places=Places(environ, tuple(str(file) for file in files or []), sockets),
			timeout=0.6,
		)
		for one in found.found:
			self.addCleanup(one.processes.close)
		return found

	def managers(self, *entries: dict) -> ProcessManagers:
		return ProcessManagers(managers_in(self.search(*entries)))

	def port(self, managers: ProcessManagers) -> Bench:
		return port_of(self.rq, self.bench, managers)

	def operation(self, managers: ProcessManagers, options: Options = WAIT_WORKERS) -> Operation:
		return operation_for(self.port(managers), options, self.facts.append, "operation-1")

	def registered(self, number: int) -> None:
		eventually(lambda: self.admin.scard("rq:workers") == number, f"{number} workers are registered")


class TestTwoManagers(ManagersCase):
	def setUp(self) -> None:
		super().setUp()
		self.near, self.locked = self.run_near(), self.run_locked()
		self.registered(2)
		secret = self.home / "password"
		secret.write_text(f"{PASSWORD}\n")
		login = {"user": "bench", "password_file": str(secret)}
		self.entries = (self.entry(self.near, "near"), self.entry(self.locked, "locked", **login))

	def enqueue_counted(self, id: str, queue: str) -> None:
		self.rq.enqueue(id, queue, kwargs={"counts": True})

	def runs(self, load: Load) -> list[bytes | None]:
		"""How often each of its jobs has run."""
		ids = list(load.ids)
		return self.rq.connection.mget([runs_key(id) for id in ids]) if ids else []

	def test_a_restart_under_load_replaces_the_workers_of_both_and_each_job_runs_once(self):
		managers = self.managers(*self.entries)
		before = {process.name: process for process in managers.list()}
		self.assertEqual(before.keys(), {"near/short", "locked/long"})
		self.assertEqual({process.host for process in before.values()}, {""})  # both are on this machine
		with Load(self.enqueue_counted) as load:
			eventually(lambda: any(self.runs(load)), "jobs run")
			for options in (WAIT_WORKERS, ROLLING):
				report = self.operation(managers, options).run()
				self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []), options.strategy)
				self.assertEqual({one.name for one in report.processes}, before.keys())
				after = {process.name: process for process in managers.list()}
				self.assertFalse([name for name, one in after.items() if one.is_same_as(before[name])])
				before = after
		eventually(lambda: all(self.runs(load)), "each job has run")
		self.assertEqual(set(self.runs(load)), {b"1"})
		self.assertGreater(len(load.ids), 5)

	def test_a_wrong_password_and_one_that_hangs_hide_nothing_and_a_restart_changes_nothing(self):
		wrong = {**self.entries[1], "password": "guessed"}
		del wrong["password_file"]
		told = self.away(self.managers(self.entries[0], wrong))
		self.assertIn("refuses user bench and the password (by fmx_restart_managers, entry 2)", told)
		self.assertNotIn("guessed", told)
		# and one that is stopped takes connections, and does not answer
		os.kill(self.locked._process.pid, signal.SIGSTOP)
		began = time.monotonic()
		self.assertIn("does not answer in time", self.away(self.managers(*self.entries)))
		self.assertLess(time.monotonic() - began, 15)  # each question takes 0.6 s
		# when it goes on, it is there again
		os.kill(self.locked._process.pid, signal.SIGCONT)
		self.assertEqual(len(self.managers(*self.entries).list()), 2)

	def away(self, managers: ProcessManagers) -> str:
		"""What is told of the one that does not answer, while the other is seen; a restart is refused."""
		survey = managers.survey()
		self.assertEqual([process.name for process in survey.processes], ["near/short"])
		self.assertEqual(list(survey.away), ["locked"])
		with self.assertRaises(WrongEnvironment) as caught:
			self.operation(managers).run()
		text = f"{caught.exception} {caught.exception.hint}"
		self.assertIn("Nothing was changed.", text)
		self.assertIn("locked: ", text)
		self.assertIsNone(self.admin.get("rq:suspended"))
		self.assertEqual([process.name for process in managers.survey().processes], ["near/short"])
		return text


class TestFoundManagers(ManagersCase):
	def names(self, search: Search) -> list[str]:
		return [one.name for one in search.found]

	def test_each_that_runs_a_program_is_found_once_by_whichever_address(self):
		port = free_port()
		both = f"[unix_http_server]\nfile = {self.home}/near/supervisor.sock\n"
		near = self.run_near(server=f"{both}[inet_http_server]\nport = 127.0.0.1:{port}\n")
		shared = self.home / "shared"
		shared.mkdir()
		other = Supervisord(shared, self.worker("long"))
		self.addCleanup(other.stop)
		other.start()
		by_port = f"http://127.0.0.1:{port}"
		search = self.search(files=[near.config], sockets=str(shared), SUPERVISOR_SERVER_URL=by_port)
		self.assertEqual(self.names(search), ["127.0.0.1", "supervisor"])
		self.assertEqual(len(ProcessManagers(managers_in(search)).list()), 2)
		# one that the setting names is not found a second time
		search = self.search(self.entry(near, "web"), sockets=str(shared), SUPERVISOR_SERVER_URL=by_port)
		self.assertEqual(self.names(search), ["web", "supervisor"])
		# and a shared one that hangs is still one of them
		os.kill(other._process.pid, signal.SIGSTOP)
		search = self.search(files=[near.config], sockets=str(shared))
		self.assertEqual(len(search.found), 2)
		survey = ProcessManagers(managers_in(search)).survey()
		self.assertEqual((len(survey.processes), len(survey.away)), (1, 1))


@unittest.skipUnless(can_unshare() and os.geteuid() == 0, "this user may not make a pid namespace")
class TestElsewhere(ManagersCase):
	def test_a_worker_elsewhere_belongs_to_its_program_and_is_restarted_through_its_manager(self):
		far = self.run_near(SupervisordElsewhere)
		self.registered(1)
		managers = self.managers(self.entry(far, "far", host=HOST))
		(before,) = managers.list()
		self.assertEqual((before.host, before.local_pid), (HOST, None))
		self.assertTrue(before.incarnation.startswith(f"{before.pid}@"), before.incarnation)
		bench = self.port(managers)
		owners = runners([before], look_at(bench, managers.list), bench.host)
		self.assertEqual([process.name for process in owners.values()], [before.name])
		settings = managers.settings()
		self.assertEqual((settings.pids, [it.pid for it in settings.programs]), (frozenset(), [0]))
		self.assertEqual(self.operation(managers, ROLLING).run().outcome, Phase.DONE)
		(rolled,) = managers.list()
		self.assertFalse(rolled.is_same_as(before))
		# When it is restarted, with a job that waits
		self.rq.enqueue("job-1", kwargs={"counts": True})
		report = self.operation(managers).run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		(after,) = managers.list()
		self.assertFalse(after.is_same_as(rolled))
		eventually(lambda: self.rq.connection.get(runs_key("job-1")) == b"1", "the job has run once")
		# The plain restart does so too, but kills no job that nobody here can kill
		plain = Options(
			Strategy.FAST, web=False, drain_timeout=0.5, force_kill_timeout=0.5, on_timeout=OnTimeout.KILL
		)
		self.assertEqual(self.operation(managers, plain).run().outcome, Phase.DONE)
		(plainly,) = managers.list()
		self.assertFalse(plainly.is_same_as(after))
		self.rq.enqueue("job-2", kwargs={"counts": True, "waits": True})
		eventually(lambda: self.rq.connection.get(runs_key("job-2")) == b"1", "it runs")
		with self.assertRaises(DrainTimeout):
			self.operation(managers, plain).run()
		self.assertTrue(managers.list()[0].is_same_as(plainly))
		suspend = Options(Strategy.SUSPEND_RQ, web=False, on_timeout=OnTimeout.KILL)
		with self.assertRaisesRegex(WrongEnvironment, "cannot be killed from here"):
			self.operation(managers, suspend).run()

	def test_a_port_of_this_machine_may_belong_to_a_container(self):
		# Given init of a container, behind a port of ours, whose pids are those of processes here too
		port = free_port()
		folder = self.home / "far"
		folder.mkdir()
		web = f"{self.bench}/env/bin/gunicorn frappe.app:application waits"
		far = SupervisordElsewhere(
			folder,
			"".join(program(f"web{n}", web, folder=self.bench / "sites") for n in range(4)),
			server=f"[inet_http_server]\nport = 127.0.0.1:{port}\n",
			url=f"http://127.0.0.1:{port}",
		)
		self.addCleanup(far.stop)
		far.start()
		(found,) = self.search(self.entry(far, "far", host=HOST)).found
		eventually(lambda: [it.pid for it in found.processes.list() if it.pid], "its programs run")
		self.assertEqual({it.host for it in found.processes.list()}, {HOST})
		self.assertFalse(found.processes.is_here)

	def test_a_log_elsewhere_is_read_through_its_manager(self):
		folder = self.home / "far"
		folder.mkdir()
		words = f"{self.bench}/env/bin/gunicorn frappe.app:application waits"
		far = SupervisordElsewhere(folder, program("web", words, folder=self.bench / "sites", startsecs=0))
		self.addCleanup(far.stop)
		far.start()
		(found,) = self.search(self.entry(far, "far", host=HOST)).found
		processes: SupervisorProcesses = found.processes
		(web,) = processes.list()
		eventually(lambda: "ready" in self.lines(processes, web.name), "it has begun")
		processes.mark_log(web.name)
		self.assertEqual(processes.log_tail(web.name), "")
		processes.order(stop=[web.name])
		eventually(lambda: not processes.list()[0].pid, "it is down")
		processes.order(start=[web.name])
		eventually(lambda: processes.log_tail(web.name), "what is new is shown")
		self.assertEqual(processes.log_tail(web.name), "ready")
		self.assertEqual(self.lines(processes, web.name), ["ready", "ready"])

	def lines(self, processes: SupervisorProcesses, name: str) -> list[str]:
		return [line for tail in processes.log_tails(name, 10) for line in tail.lines]
