"""
What runs inside a nested machine with a dockerd: restarts where containers share the machine's names, or have a supervisord each. test_docker.py
begins it there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
import unittest
from pathlib import Path
from typing import ClassVar

from fmx_restart.adapters.managers.discovery import find_managers
from fmx_restart.engine.errors import DrainTimeout, WrongEnvironment
from fmx_restart.engine.options import OnTimeout, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessManagers
from fmx_restart.tests.adapters.docker_restarts import WORKERS, DockerRestartCase
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.repetitions import in_long_runs


class TestHostNetwork(DockerRestartCase):
	"""network_mode: host. All workers have pid 1 and the host name of the machine that the operation runs on."""

	network = "host"
	has_port = True  # so that Redis tells who is connected

	@in_long_runs("a restart of containers")
	def test_under_load_no_job_is_lost_and_a_running_one_is_waited_for(self):
		self.assertEqual(self.places(), {(socket.gethostname(), "1")})
		self.run_busy("job-1")
		before = self.programs()
		with self.assertRaises(DrainTimeout) as caught:
			self.operation(Strategy.FAST, drain_timeout=2.0, on_timeout=OnTimeout.KILL).run()
		self.assertEqual((caught.exception.exit_code, self.programs()), (3, before))
		self.rq.finish("job-1")
		with self.counted_load():
			report = self.operation(Strategy.WAIT_WORKERS).run()
			self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
			before = self.assert_all_new(before)
		self.assertEqual(self.runs("job-1"), b"1")
		for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
			with self.assertRaises(WrongEnvironment):
				self.operation(strategy).run()
		self.assertEqual(self.programs(), before)

	@in_long_runs("a restart of containers")
	def test_with_the_machines_pids_too_all_is_the_same_but_that_jobs_are_known_by_them(self):
		self.containers.remove()
		self.admin.flushall()
		self.pids = "host"
		self.make()
		self.assertNotIn((socket.gethostname(), "1"), self.places())
		before = self.programs()
		with self.counted_load():
			report = self.operation(Strategy.WAIT_WORKERS).run()
			self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
			self.assert_all_new(before)

	def places(self) -> set[tuple[str, str]]:
		"""Host name and pid, by the records of workers."""
		records = (self.admin.hmget(key, "hostname", "pid") for key in self.admin.smembers("rq:workers"))
		return {tuple(it.decode() for it in record) for record in records}


#: As Frappe Manager has it: one for each service, and all sockets in one folder
SUPERVISORD = """\
[supervisord]
nodaemon = true
logfile = /tmp/supervisord.log
pidfile = /tmp/supervisord.pid
[unix_http_server]
file = /fm-sockets/{name}.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:{name}]
command = {command}
directory = {folder}
autorestart = true
stopwaitsecs = 60
"""


class TestFrappeManager(DockerRestartCase):
	"""A container for each service, with a supervisord of its own, steered through its socket."""

	config: ClassVar[dict] = {}

	def make(self) -> None:
		sockets = Path("/fm-sockets")
		sockets.mkdir()
		self.addCleanup(shutil.rmtree, sockets)
		for service, number, queue in WORKERS:
			name = f"{service}-{number}"
			configuration = self.bench / f"config/{name}.conf"
			command = shlex.join(self.rq.worker_command(queue))
			folder = self.bench / "sites"
			configuration.write_text(SUPERVISORD.format(name=name, command=command, folder=folder))
			words = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
			about = {"number": number, "policy": "unless-stopped", "binds": [f"{sockets}:{sockets}"]}
			about["environment"] = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
			self.ids[service, number] = self.containers.create(service, words, folder, **about)
		self.containers.start(*self.ids.values())
		self.registered(len(WORKERS))

	@in_long_runs("a restart of containers")
	def test_its_supervisords_are_found_by_their_sockets_and_restart_workers_under_load(self):
		names = {name.rpartition("/")[2] for name in self.programs()}
		self.assertEqual(names, {"queue-short-1", "queue-short-2", "queue-long-1"})
		with self.counted_load():
			for strategy in (Strategy.WAIT_WORKERS, Strategy.FAST):
				self.assert_restarts(strategy)
			# nobody knows in which container a worker is, until somebody says what these call themselves
			with self.assertRaises(WrongEnvironment) as refused:
				self.operation(Strategy.ROLLING).run()
			self.assertIn("`host` in fmx_restart_managers", refused.exception.hint)
			self.config = {"fmx_restart_managers": [self.entry(*place) for place in self.ids]}
			for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
				self.assert_restarts(strategy)

	def assert_restarts(self, strategy: Strategy) -> None:
		before = self.programs()
		report = self.operation(strategy).run()
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []), strategy)
		self.assertFalse([name for name, one in self.programs().items() if one.is_same_as(before[name])])

	def managers(self) -> ProcessManagers:
		return ProcessManagers(find_managers(str(self.bench), self.config))

	def entry(self, service: str, number: int) -> dict[str, str]:
		url = f"unix:///fm-sockets/{service}-{number}.sock"
		host = self.containers.client.inspect_container(self.ids[service, number])["Config"]["Hostname"]
		return {"kind": "supervisor", "url": url, "host": host}


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
