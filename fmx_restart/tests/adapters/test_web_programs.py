"""Real gunicorn under a real supervisord, restarted by a whole operation: who answers, and where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import unittest
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec

import psutil

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.adapters.web import BenchWeb
from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.probe import AskedSites
from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, ProcessManagers, UncheckedCode
from fmx_restart.engine.report import Report
from fmx_restart.engine.strategies import operation_for
from fmx_restart.engine.web_answers import WebAnswers
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.adapters.benches import (
	LAUNCHER,
	Supervisord,
	free_port,
	make_bench,
	program,
	short_folder,
)
from fmx_restart.tests.adapters.nginx_server import (
	NGINX,
	bench_configuration,
	main_configuration,
	start_nginx,
)
from fmx_restart.tests.adapters.test_web import is_listening
from fmx_restart.tests.adapters.waiting import eventually

APP = """
def application(environ, start_response):
	start_response("200 OK", [("Content-Length", "0")])
	return [b""]
"""
SITE = "one.localhost"


class WebProgramCase(unittest.TestCase):
	"""A bench whose web program runs under a real supervisord."""

	def setUp(self):
		self.bench = make_bench(short_folder(self))
		self.sites, self.port = self.bench / "sites", free_port()
		(self.sites / "tiny_app.py").write_text(APP)
		(self.sites / SITE).mkdir()
		(self.sites / SITE / "site_config.json").write_text(json.dumps({"db_name": "x"}))
		self.facts: list[events.Event] = []

	def words(self, *options: str) -> list[str]:
		return [sys.executable, "-m", "gunicorn", *options, "tiny_app:application"]

	def supervise(self, *options: str, **settings: object) -> None:
		command = " ".join(self.words(*options))
		section = program(
			"web", command, folder=self.sites, autorestart="true", redirect_stderr="true", **settings
		)
		self.supervisord = Supervisord(self.bench, section)
		self.addCleanup(self.supervisord.stop)
		self.supervisord.start()
		self.connect()

	def connect(self) -> None:
		"""To supervisord, over a connection of this process' own."""
		self.processes = SupervisorProcesses(self.supervisord.address, str(self.bench))
		self.addCleanup(self.processes.close)

	def port_of_bench(self) -> Bench:
		"""Everything about web is real; the queue has no workers."""
		asked = AskedSites.of(self.sites, (), [SITE], None)
		return replace(
			InMemoryBench({}).port(),
			processes=ProcessManagers({"": self.processes}),
			host=ThisHost(str(self.bench)),
			web=BenchWeb(str(self.bench), asked, Endpoint("127.0.0.1", self.port)),
			clock=SystemClock(),
			code=UncheckedCode(),
		)

	def is_up(self) -> bool:
		(web,) = self.processes.list()
		bench = self.port_of_bench()
		return bool(web.pid) and bench.web.fault(bench.host.family(web.pid)) is None


@unittest.skipUnless(find_spec("gunicorn"), "needs gunicorn")
class TestWebPrograms(WebProgramCase):
	def restart(self) -> Report:
		self.facts = []
		operation = operation_for(
			self.port_of_bench(), Options(workers=False), self.facts.append, "operation-1"
		)
		return operation.run()

	def orphan(self) -> int:
		"""As it is left when the kernel kills supervisord: PID 1 has adopted it. It listens."""
		launcher = [sys.executable, "-c", LAUNCHER, *self.words("-b", f"127.0.0.1:{self.port}")]
		done = subprocess.run(launcher, cwd=self.sites, capture_output=True, text=True, check=True)
		pid = int(done.stdout)
		self.addCleanup(end, pid)
		eventually(lambda: is_listening(pid, 1), "it listens")
		return pid

	def test_an_orphan_that_keeps_the_port_is_named_and_once_it_is_ended_as_told_web_comes_up(self):
		# Given an orphaned gunicorn that answers well, and a web program that cannot get its port
		pid = self.orphan()
		self.supervise("-b", f"127.0.0.1:{self.port}")
		# When web is restarted
		with self.assertRaises(ProcessFault) as raised:
			self.restart()
		# Then that is no success, it was known before, and what to type stands in the hint
		self.assertIn(
			f"pid {pid}, a web server of this bench that no process manager runs", str(raised.exception)
		)
		self.assertIn(f"End it: kill {pid}", raised.exception.hint)
		self.assertIn(events.WebTaken, [type(fact) for fact in self.facts])
		# When that is done, then the next restart ends well, and the new process answers
		os.kill(pid, signal.SIGTERM)
		eventually(lambda: not psutil.pid_exists(pid), "it is gone")
		self.assertEqual(self.restart().outcome, Phase.DONE)

	def test_a_unix_socket_is_found_by_its_process_and_the_outage_is_measured(self):
		self.check_restart("--bind", "unix:web.sock")

	def test_an_address_in_the_environment_is_found_by_its_process(self):
		self.check_restart(environment=f'GUNICORN_CMD_ARGS="--bind=127.0.1.1:{free_port()}"')

	def check_restart(self, *options: str, **settings: str) -> None:
		(seen,) = self.seen_in_a_restart(*options, **settings)
		self.assertGreater(seen.unanswered, 0)
		self.assertLess(seen.unanswered, 20)

	def seen_in_a_restart(self, *options: str, **settings: str) -> list[WebAnswers]:
		self.supervise(*options, **settings)
		eventually(self.is_up, "web answers")
		report = self.restart()
		self.assertEqual(report.outcome, Phase.DONE)
		return report.web

	@unittest.skipUnless(NGINX, "nginx is not on this machine; the development bench brings it")
	def test_users_who_come_through_nginx_get_its_502_meanwhile_and_that_is_told(self):
		# Given nginx in front, as bench configures it
		folder, configured = self.bench / "nginx", self.bench / "config" / "nginx.conf"
		for needed in (folder, configured.parent):
			needed.mkdir(exist_ok=True)
		configured.write_text(bench_configuration(free_port(), self.port, SITE))
		start_nginx(self, folder, main_configuration(folder, configured))
		# When web is restarted the plain way
		web, through = self.seen_in_a_restart("-b", f"127.0.0.1:{self.port}")
		# Then both are told, each with what its users got
		self.assertEqual((web.through, through.through), ("web", "nginx"))
		self.assertEqual(through.reason, "HTTP 502")
		for seen in (web, through):
			self.assertEqual((seen.before, seen.answers_now), ("", True))
			self.assertGreater(seen.unanswered, 0)
		self.assertAlmostEqual(web.unanswered, through.unanswered, delta=0.5)


def end(pid: int) -> None:
	with suppress(ProcessLookupError):
		os.kill(pid, signal.SIGKILL)
