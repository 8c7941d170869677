"""
What runs inside a nested machine, below the systemd of an ordinary user: the units that frappe/pilot writes (2026), with a real
gunicorn, real RQ workers and a real node. test_systemd.py begins it there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
import unittest
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
from fmx_restart.adapters.realtime import KeptMessages
from fmx_restart.adapters.web import BenchWeb
from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.probe import AskedSites
from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, ProcessKind, ProcessManagers
from fmx_restart.engine.report import ReplacedBy, Report
from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.redis_server import CHECKOUT
from fmx_restart.tests.adapters.restart_case import RestartCase
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import in_long_runs
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE, WorkerBench
from fmx_restart.worker.switch import VARIABLE

SITE = "one.localhost"
#: As pilot's own template has it
UNIT = """\
[Unit]
Description=bench {name}
PartOf=bench.target

[Service]
Type=simple
WorkingDirectory={folder}
{environment}
ExecStart={command}
Restart=on-failure
{more}
StandardOutput=append:{log}.log
StandardError=append:{log}.log.error.log
"""
ADMIN_SOCKET = "[Socket]\nListenStream=127.0.0.1:{port}\n"
ADMIN = """\
[Unit]
Requires=bench-admin.socket
After=bench-admin.socket

[Service]
Type=simple
WorkingDirectory={folder}
Environment=BENCH_ADMIN_ROOT={bench}
Environment=PYTHONPATH={folder}
ExecStart={command}
Restart=no
KillMode=process
StandardOutput=append:{bench}/logs/admin.log
StandardError=append:{bench}/logs/admin.log.error.log
"""
GUNICORN = f"#!{sys.executable}\nfrom gunicorn.app.wsgiapp import run\nrun()\n"
CONFIGURATION = (
	"bind = '127.0.0.1:{port}'\nworkers = 1\nthreads = 2\nworker_class = 'gthread'\npreload_app = True\n"
)
#: Forked from the master, and not started anew: it has the master's command line
COMPANION = """
import os, signal
pids = []
def when_ready(server):
	pid = os.fork()
	if pid == 0:
		for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGQUIT, signal.SIGHUP):
			signal.signal(number, signal.SIG_DFL)
		from fmx_restart.tests.worker import worker_bench
		worker_bench.work("stock pool", '{{"num_workers": 2}}', {url!r}, *{queues!r})
		os._exit(0)
	pids.append(pid)
def on_exit(server):
	for pid in pids:
		os.kill(pid, signal.SIGTERM)
"""
APPLICATION = """
def application(environ, start_response):
	start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "19")])
	return [b'{"message": "pong"}']
"""
HELPER = """
import sys
from fmx_restart.tests.worker import worker_bench
worker_bench.work({kind!r}, {options!r}, {url!r}, *{queues!r})
"""
#: It listens for messages of Redis, and serves a port, as Frappe's does
SOCKETIO = """
const net = require("net");
const redis = net.connect({redis}, "127.0.0.1", () => redis.write("SUBSCRIBE events\\r\\n"));
redis.on("data", () => {{}});
net.createServer().listen({port}, "127.0.0.1");
"""
POOLS = {"ours": ("pool", '{"workers": 2}'), "stock": ("stock pool", '{"num_workers": 2}')}


class PilotCase(RestartCase):
	has_port = True
	lease = 30.0  # as everywhere

	def setUp(self) -> None:
		super().setUp()
		self.rq = WorkerBench(self.server, self.bench / "sites", id="a-bench")
		self.systemctl = Systemctl(is_users=True)
		self.port_of_web, self.port_of_socketio = free_port(), free_port()
		self.units = Path(os.environ["XDG_RUNTIME_DIR"], "systemd/user")
		self.units.mkdir(parents=True, exist_ok=True)
		self.written: list[str] = []
		self.code = self.bench / "apps/frappe"
		(self.code / "frappe/utils").mkdir(parents=True)
		for name in ("frappe", "frappe/utils"):  # a Frappe that is installed would be taken else
			(self.code / name / "__init__.py").touch()
		(self.code / "frappe/app.py").write_text(APPLICATION)
		(self.bench / "env/bin/gunicorn").write_text(GUNICORN)
		(self.bench / "sites" / SITE).mkdir()
		(self.bench / "sites" / SITE / "site_config.json").write_text("{}")
		self.addCleanup(self.end)
		self.write_units()
		names = " ".join(it for it in self.written if "admin" not in it)
		self.write("bench.target", f"[Unit]\nWants={names}\n")
		self.ask("daemon-reload")
		self.ask("start", "bench-admin.socket", "bench-admin.service", "bench.target")
		try:
			self.registered(2)
			eventually(self.is_answered, "web answers")
		except AssertionError as error:
			raise AssertionError(self.logs()) from error

	def write_units(self) -> None:
		"""What each layout has besides the panel of pilot."""
		place = self.bench.parent / "pilot"
		(place / "admin/backend").mkdir(parents=True)
		(place / "admin/backend/wsgi.py").write_text(APPLICATION)
		configuration = self.bench / "config/admin-gunicorn.conf.py"
		configuration.write_text("workers = 1\n")
		gunicorn = place / "env/bin/gunicorn"
		gunicorn.parent.mkdir(parents=True)
		gunicorn.write_text(GUNICORN)
		words = [sys.executable, gunicorn, "-c", configuration, "admin.backend.wsgi:application"]
		admin = ADMIN.format(folder=place, bench=self.bench, command=shlex.join(map(str, words)))
		self.write("bench-admin.service", admin)
		self.write("bench-admin.socket", ADMIN_SOCKET.format(port=free_port()))

	def write_web(self, more: str = "", configuration: str = "") -> None:
		text = CONFIGURATION.format(port=self.port_of_web) + configuration
		(self.bench / "config/gunicorn.conf.py").write_text(text)
		gunicorn = f"{self.bench}/env/bin/gunicorn"
		words = [sys.executable, gunicorn, "-c", "../config/gunicorn.conf.py", "frappe.app:application"]
		self.write_unit("web", words, more)

	def write_unit(self, name: str, words: Sequence[str], more: str = "") -> None:
		paths = os.pathsep.join([str(self.code), str(CHECKOUT), str(self.bench / "sites")])
		variables: Mapping[str, str] = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", VARIABLE: "1"}
		text = UNIT.format(
			name=name,
			folder=self.bench / "sites",
			environment="\n".join(f"Environment={key}={value}" for key, value in variables.items()),
			command=shlex.join(words),
			more=more,
			log=self.bench / "logs" / name,
		)
		self.write(f"bench-{name}.service", text)

	def write(self, name: str, text: str) -> None:
		(self.units / name).write_text(text)
		self.written.append(name)

	def end(self) -> None:
		services = [name for name in self.written if name.endswith(".service")]
		self.systemctl.ask("kill", "--signal=KILL", *services)
		self.systemctl.ask("stop", *self.written)
		for name in self.written:
			(self.units / name).unlink()
		self.ask("daemon-reload")

	def ask(self, *words: str) -> None:
		output = self.systemctl.ask(*words)
		self.assertEqual(output.code, 0, output.errors)

	def logs(self) -> str:
		"""For whoever waits in vain."""
		files = [file for file in (self.bench / "logs").iterdir() if file.is_file()]
		return "\n".join(it.read_text() for it in files)

	def is_answered(self) -> bool:
		with suppress(OSError), socket.create_connection(("127.0.0.1", self.port_of_web), 1):
			return True
		return False

	def web(self) -> BenchWeb:
		sites = AskedSites(self.bench / "sites", named=(SITE,))
		return BenchWeb(str(self.bench), sites, Endpoint("127.0.0.1", self.port_of_web))

	def port(self, managers: ProcessManagers) -> Bench:
		port = super().port(managers)
		kept = KeptMessages(self.admin, [SITE], {"socketio_port": self.port_of_socketio}, port.clock.now)
		return replace(port, web=self.web(), realtime=kept)

	def run_operation(self, strategy: Strategy, **options: object) -> Report:
		self.facts.clear()
		return self.operation(strategy, **{"web": True, **options}).run()

	def pid_of_admin(self) -> str:
		return self.systemctl.ask("show", "--property=MainPID", "bench-admin.service").text

	def assert_restarted(self, strategy: Strategy, **options: object) -> Report:
		"""Under load; pilot's own panel is not touched."""
		before, admin = self.programs(), self.pid_of_admin()
		self.admin.delete(BEGUN, DONE)
		with Load(self.rq.enqueue_counted) as load:
			report = self.run_operation(strategy, **options)
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assertEqual(self.pid_of_admin(), admin)
		eventually(
			lambda: set(load.ids) <= {id.decode() for id in self.admin.hkeys(DONE)}, "each job has run"
		)
		for key in (BEGUN, DONE):
			self.assertEqual(set(self.admin.hmget(key, *load.ids)), {b"1"})
		replaced = {name for name, one in self.programs().items() if not one.is_same_as(before[name])}
		in_place = {change.name for change in report.processes if change.by is ReplacedBy.RELOAD}
		self.assertEqual(replaced | in_place, set(before))
		return report

	def at(self, kind: type[events.Event], name: str) -> int:
		"""At which place such an event of a program stands among all."""
		return next(n for n, it in enumerate(self.facts) if isinstance(it, kind) and it.name == name)


@unittest.skipUnless(shutil.which("node"), "node is not there")
class TestUnits(PilotCase):
	"""process_manager = "systemd"."""

	pool = "ours"

	def write_units(self) -> None:
		super().write_units()
		self.write_web()
		kind, options = POOLS[self.pool]
		queues = self.rq.names("short", "long")
		helper = HELPER.format(kind=kind, options=options, url=self.server.url(), queues=queues)
		(self.code / "frappe/utils/bench_helper.py").write_text(helper)
		words = [
			sys.executable,
			"-m",
			"frappe.utils.bench_helper",
			"frappe",
			"worker-pool",
			"--num-workers",
			"2",
		]
		self.write_unit("worker_pool", [*words, "--queue", "short,long"])
		socketio = self.code / "socketio.js"
		socketio.write_text(SOCKETIO.format(redis=self.server.port, port=self.port_of_socketio))
		self.write_unit("socketio", [shutil.which("node"), str(socketio)])

	def test_each_is_found_and_restarted_and_socketio_when_web_answers(self):
		kinds = {name: program.kind for name, program in self.programs().items()}
		expected = {
			"bench-web.service": ProcessKind.WEB,
			"bench-worker_pool.service": ProcessKind.WORKER,
			"bench-socketio.service": ProcessKind.SOCKETIO,
		}
		self.assertEqual(kinds, expected)
		self.assert_restarted(Strategy.WAIT_WORKERS)
		web_is_up = self.at(events.ProcessUp, "bench-web.service")
		self.assertLess(web_is_up, self.at(events.ProcessStopping, "bench-socketio.service"))

	@in_long_runs("a restart of pilot's units")
	def test_its_pool_reloads_in_place(self):
		for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
			report = self.assert_restarted(strategy)
			ways = {change.name: change.by for change in report.processes}
			self.assertEqual(ways["bench-worker_pool.service"], ReplacedBy.RELOAD, strategy)


class TestCompanions(PilotCase):
	"""use_companion_manager: one unit, in which the pool is a child of gunicorn's main process."""

	def write_units(self) -> None:
		super().write_units()
		companion = COMPANION.format(url=self.server.url(), queues=self.rq.names("short", "long"))
		self.write_web("TimeoutStopSec=1600", companion)

	def test_web_and_its_workers_are_one_program(self):
		(program,) = self.programs().values()
		self.assertEqual((program.name, program.kind), ("bench-web.service", ProcessKind.WEB))
		for strategy, options in (
			(Strategy.ROLLING, {}),
			(Strategy.NO_WAIT_WORKERS, {}),
			(Strategy.WAIT_WORKERS, {"workers": False}),
			(Strategy.WAIT_WORKERS, {"web": False}),
		):
			with self.assertRaises(WrongEnvironment) as refused:
				self.run_operation(strategy, **options)
			self.assertIn("runs web and workers in one process tree", str(refused.exception))
		(same,) = self.programs().values()
		self.assertTrue(same.is_same_as(program))
		self.assert_restarted(Strategy.WAIT_WORKERS)
		self.registered(2)


if __name__ == "__main__":
	os.chdir("/")
	unittest.main(verbosity=1)
