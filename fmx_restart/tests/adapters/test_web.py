"""The contract on the in-memory twin and on real HTTP servers, and what only real ones can do wrong."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import unittest
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil

from fmx_restart.adapters.database import database_fault
from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.web import BenchWeb
from fmx_restart.adapters.web.addresses import Endpoint, all_listeners, listeners_of
from fmx_restart.adapters.web.probe import AskedSites, PingedWebServer
from fmx_restart.engine.ports import HostProcess, ProcessKind
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryHost, InMemoryProcesses, Program
from fmx_restart.testing.settings import InMemorySettings
from fmx_restart.testing.web import InMemoryWeb
from fmx_restart.tests.adapters.benches import LAUNCHER, free_port, make_bench, refusing_port, short_folder
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.adapters.web_contract import WebContract

#: A web server for the addresses on its command line. What it answers a site stands in a file of that name.
SERVER = """
import http.server, pathlib, socket, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
	def do_GET(self):
		file = pathlib.Path("answers", self.headers["Host"] or "none")
		self.send_response(int(file.read_text()) if file.exists() else 200)
		self.send_header("Content-Length", "0")
		self.end_headers()
	def address_string(self):
		return ""
	def log_message(self, *_):
		pass
class Unix(http.server.ThreadingHTTPServer):
	address_family = socket.AF_UNIX
	def server_bind(self):
		self.socket.bind(self.server_address)
		self.server_name, self.server_port = "", 0
class V6(http.server.ThreadingHTTPServer):
	address_family = socket.AF_INET6
def serve(text):
	if text.startswith("unix:"):
		return Unix(text[5:], Answer)
	host, _, port = text.rpartition(":")
	return (V6 if ":" in host else http.server.ThreadingHTTPServer)((host.strip("[]"), int(port)), Answer)
servers = [serve(text) for text in sys.argv[sys.argv.index("--bind") + 1:]]
for server in servers[1:]:
	threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
servers[0].serve_forever(0.02)
"""


SQLITE = {"db_name": "x", "db_type": "sqlite"}  # no server is asked why a site errs


class TestInMemoryWeb(WebContract, unittest.TestCase):
	def setUp(self):
		self.clock, self.host = FakeClock(), InMemoryHost()
		program = Program("web", ProcessKind.WEB, start_takes=0.1)
		self.processes = InMemoryProcesses(self.clock, program, host=self.host)
		self.web = InMemoryWeb(self.processes, self.clock)
		self.web.sites[self.OTHER] = None

	def family(self):
		pid = self.processes["web"].pid
		return self.host.family(pid) if pid else []

	def break_site(self, site, reason):
		self.web.sites[site] = reason

	def close_site(self, site):
		self.web.settings = InMemorySettings()
		self.web.settings.files[site]["maintenance_mode"] = 1

	def stop(self):
		self.processes.stop("web")

	def start(self):
		self.processes.start("web")

	def take(self):
		self.stop()
		self.web.orphan = self.host.add(77)
		return self.web.orphan


class BenchCase(unittest.TestCase):
	"""A bench's folder, and web servers that are processes of their own, as gunicorn is."""

	def setUp(self):
		self.clock = SystemClock()
		self.bench = make_bench(short_folder(self))
		self.sites = self.bench / "sites"
		(self.sites / "answers").mkdir()
		self.host = ThisHost(str(self.bench))
		for site in ("one.localhost", "two.localhost"):
			self.configure(site, **SQLITE)
		self.port = free_port()
		self.running: subprocess.Popen | None = None

	def configure(self, site: str, **settings: object) -> None:
		(self.sites / site).mkdir(exist_ok=True)
		(self.sites / site / "site_config.json").write_text(json.dumps(settings))

	def break_site(self, site: str, reason: str | None) -> None:
		(self.sites / "answers" / site).write_text((reason or "HTTP 200").removeprefix("HTTP "))

	def words(self, *binds: str) -> list[str]:
		"""Behind the code stands what makes it a web server of this bench."""
		gunicorn = str(self.bench / "env/bin/gunicorn")
		binds = binds or (f"127.0.0.1:{self.port}",)
		return [sys.executable, "-c", SERVER, gunicorn, "frappe.app:application", "--bind", *binds]

	def start(self, *binds: str, **how: object) -> HostProcess:
		"""Returns when it listens."""
		process = subprocess.Popen(self.words(*binds), cwd=self.sites, stderr=subprocess.DEVNULL, **how)
		self.addCleanup(process.wait)
		self.addCleanup(process.kill)
		self.running = process
		eventually(lambda: is_listening(process.pid, len(binds) or 1), "it listens")
		return self.family()[0]

	def stop(self) -> None:
		self.running.kill()
		self.running.wait()
		self.running = None

	def family(self) -> list[HostProcess]:
		return self.host.family(self.running.pid) if self.running else []

	def web_for(self, *named: str, default: str = "", **how: object) -> BenchWeb:
		known = sorted(path.parent.name for path in self.sites.glob("*/site_config.json"))
		asked = AskedSites.of(self.sites, named, known, default)
		return BenchWeb(str(self.bench), asked, Endpoint("127.0.0.1", self.port), **how)

	def orphan(self, *binds: str) -> HostProcess:
		"""A web server of this bench whose parent has ended: PID 1 has adopted it."""
		launcher = [sys.executable, "-c", LAUNCHER, *self.words(*binds)]
		done = subprocess.run(launcher, cwd=self.sites, capture_output=True, text=True, check=True)
		process = psutil.Process(int(done.stdout))
		self.addCleanup(kill, process)
		eventually(lambda: is_listening(process.pid, 1), "it listens")
		return self.host.family(process.pid)[0]


def is_listening(pid: int, sockets: int) -> bool:
	return len(list(listeners_of(pid, all_listeners()))) == sockets


def kill(process: psutil.Process) -> None:
	with suppress(psutil.NoSuchProcess):
		process.send_signal(signal.SIGKILL)


class TestBenchWeb(WebContract, BenchCase):
	def setUp(self):
		super().setUp()
		self.start()
		self.web = self.web_for()
		self.addCleanup(lambda: self.web.end())

	def close_site(self, site):
		self.break_site(site, "HTTP 503")

	def take(self):
		self.stop()
		return self.orphan()


class TestWhereItListens(BenchCase):
	def answers_at(self, *binds: str) -> str:
		self.start(*binds)
		web = self.web_for()
		eventually(lambda: web.fault(self.family()) is None, "it answers")
		self.assertEqual(web.unproved(self.family()), "")
		return web.address

	def test_another_address_of_the_machine(self):
		self.assertEqual(self.answers_at(f"127.0.1.1:{self.port}"), f"127.0.1.1:{self.port}")

	def test_any_address_on_another_port(self):
		port = free_port()
		self.assertEqual(self.answers_at(f"0.0.0.0:{port}"), f"0.0.0.0:{port}")

	@unittest.skipUnless(Path("/proc/sys/net/ipv6").exists(), "needs IPv6")
	def test_ipv6(self):
		self.assertEqual(self.answers_at(f"[::1]:{self.port}"), f"[::1]:{self.port}")

	def test_a_unix_socket_by_its_path_and_relative_to_its_folder(self):
		for path in (f"{self.bench}/web.sock", "web-here.sock"):
			with self.subTest(path=path):
				self.assertEqual(self.answers_at(f"unix:{path}"), f"unix:{self.sites / path}")

	def test_several_of_which_the_configured_one_is_asked_first(self):
		other = f"127.0.0.1:{free_port()}"
		self.assertEqual(self.answers_at(other, f"127.0.0.1:{self.port}"), f"127.0.0.1:{self.port}")

	def test_an_address_that_was_set_is_asked_instead_and_whether_it_is_web_is_said(self):
		# Given a proxy, which is no process of the bench's web program
		proxy = self.orphan(f"127.0.0.1:{free_port()}")
		self.start()
		at = next(iter(self.web_for()._endpoints([proxy])))
		web = self.web_for(override=at)
		eventually(lambda: web.fault(self.family()) is None, "it answers")
		self.assertEqual(web.address, str(at))
		self.assertIn(f"{at} is none of the addresses at which it listens", web.unproved(self.family()))


class TestWhoAnswers(BenchCase):
	def test_a_program_that_listens_nowhere_yet_is_told_from_one_whose_address_is_taken(self):
		# Given a process that boots
		boots = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=self.sites)
		self.addCleanup(boots.wait)
		self.addCleanup(boots.kill)
		fault = self.web_for().fault(self.host.family(boots.pid))
		self.assertEqual(
			(fault.reason, fault.is_taken), (f"its process (pid {boots.pid}) does not listen yet", False)
		)

	def test_a_stranger_at_the_address_is_named_and_not_to_be_killed(self):
		with socket.create_server(("127.0.0.1", self.port)):
			fault = self.web_for().fault([])
		me = psutil.Process()
		self.assertTrue(fault.is_taken)
		self.assertEqual(fault.holder.pid, me.pid)
		self.assertIn(f"pid {me.pid} ({me.name()}), which is not a web server of this bench", fault.reason)
		self.assertNotIn("kill", fault.remedy)

	def test_an_address_that_a_process_means_to_take_is_known_by_its_words(self):
		# Given an orphan at an address that is not the configured one
		at = f"127.0.1.1:{self.port}"
		orphan = self.orphan(at)
		# When a new process wants the same, in each spelling
		for words in (["-b", at], [f"-b{at}"], ["--bind", at], [f"--bind={at}"]):
			with self.subTest(words=words):
				wants = subprocess.Popen(
					[sys.executable, "-c", "import time; time.sleep(60)", *words], cwd=self.sites
				)
				self.addCleanup(wants.wait)
				self.addCleanup(wants.kill)
				fault = self.web_for().fault(self.host.family(wants.pid))
				self.assertEqual(fault.holder, orphan)
				wants.kill()

	def test_an_orphan_that_shares_the_address_is_a_fault_though_the_new_process_answers(self):
		# Given a server that lets others listen at its address, and an orphan of the same kind
		share = "import http.server as h\nh.HTTPServer.allow_reuse_port = True\n"
		if sys.version_info < (3, 11):
			self.skipTest("socketserver has no allow_reuse_port")
		self.words_before = share
		orphan = self.orphan_that_shares(share)
		gunicorn = str(self.bench / "env/bin/gunicorn")
		words = [sys.executable, "-c", share + SERVER, gunicorn, "frappe.app:application", "--bind"]
		self.running = subprocess.Popen([*words, f"127.0.0.1:{self.port}"], cwd=self.sites)
		self.addCleanup(self.running.wait)
		self.addCleanup(self.running.kill)
		eventually(lambda: is_listening(self.running.pid, 1), "it listens")
		web = self.web_for()
		eventually(lambda: web.fault(self.family()).is_taken, "the orphan is seen")
		fault = web.fault(self.family())
		self.assertEqual(fault.holder, orphan)
		self.assertIn("listens at the same address", fault.reason)

	def orphan_that_shares(self, code: str) -> HostProcess:
		plain, self.words = (
			self.words,
			lambda *binds: [word if word != SERVER else code + SERVER for word in plain(*binds)],
		)
		try:
			return self.orphan()
		finally:
			self.words = plain


class TestProcessesElsewhere(BenchCase):
	def test_a_web_program_of_another_container_is_asked_at_the_address_that_was_set(self):
		# Given a server whose process this machine does not know
		self.start()
		web = self.web_for(override=Endpoint("127.0.0.1", self.port))
		eventually(lambda: web.fault([]) is None, "it answers")
		self.assertEqual(web.unproved([]), "none of its processes can be seen")


class TestWhichSitesAreAsked(BenchCase):
	def setUp(self):
		super().setUp()
		self.start()

	def outcome(self, web: BenchWeb) -> list[str]:
		web.begin(self.family())
		self.clock.sleep(0.3)
		eventually(lambda: web.fault(self.family()) is None, "it answers")
		found: list = []
		eventually(lambda: found.append(web.broken_sites()) or found[-1] is not None, "the sites are asked")
		return [fault.site for fault in found[-1]]

	def test_a_named_site_must_answer_whether_it_did_before_or_not(self):
		self.break_site("two.localhost", "HTTP 500")
		self.assertEqual(self.outcome(self.web_for("two.localhost")), ["two.localhost"])
		self.assertEqual(self.outcome(self.web_for()), [])

	def test_a_folder_without_a_database_is_no_site_and_a_default_site_that_does_not_exist_is_not_asked(self):
		self.configure("a-copy.localhost")
		(self.sites / "b-broken.localhost").mkdir()
		(self.sites / "b-broken.localhost/site_config.json").write_text("{")
		for default, first in (("gone.localhost", "one.localhost"), ("two.localhost", "two.localhost")):
			asked = AskedSites.of(
				self.sites,
				(),
				["a-copy.localhost", "b-broken.localhost", "one.localhost", "two.localhost"],
				default,
			)
			self.assertEqual((asked.all[0], len(asked.all)), (first, 2))

	def test_a_site_in_maintenance_mode_may_say_that_it_is_closed(self):
		self.break_site("two.localhost", "HTTP 503")
		web = self.web_for("two.localhost")
		self.assertEqual(self.outcome(web), ["two.localhost"])
		self.configure("two.localhost", **SQLITE, maintenance_mode=1)
		self.assertEqual(self.outcome(web), [])

	def test_a_site_that_was_dropped_meanwhile_is_not_missed(self):
		web = self.web_for()
		web.begin(self.family())
		self.clock.sleep(0.3)
		self.break_site("two.localhost", "HTTP 404")
		(self.sites / "two.localhost/site_config.json").unlink()
		self.assertEqual(self.outcome(web), [])

	def test_without_any_site_each_answer_but_a_server_error_will_do(self):
		for site in ("one.localhost", "two.localhost"):
			(self.sites / site / "site_config.json").unlink()
		self.break_site(f"127.0.0.1:{self.port}", "HTTP 404")
		self.assertEqual(self.outcome(self.web_for()), [])


class Answer(BaseHTTPRequestHandler):
	def do_GET(self):
		self.server.asked.append((self.path, self.headers["Host"]))
		self.send_response(self.server.status)
		self.send_header("Content-Length", "0")
		self.end_headers()

	def log_message(self, *_):
		"""Not into the tests' output."""


class TestPingedWebServer(unittest.TestCase):
	def setUp(self):
		self.server = HTTPServer(("127.0.0.1", 0), Answer)
		self.server.status, self.server.asked = 200, []
		thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
		thread.start()
		self.addCleanup(self.server.server_close)
		self.addCleanup(thread.join)
		self.addCleanup(self.server.shutdown)
		self.endpoint = Endpoint("127.0.0.1", self.server.server_port)

	def reason(self, site: str | None = "erp.example.com", **how: object) -> str | None:
		fault = PingedWebServer(self.endpoint, site, **how).fault()
		return fault and fault.reason

	def test_the_site_is_named_in_the_host_header(self):
		self.assertIsNone(self.reason())
		self.assertEqual(self.server.asked, [("/api/method/ping", "erp.example.com")])

	def test_a_site_in_maintenance_mode_may_say_that_it_is_closed(self):
		# Given a server that says 503, and a maintenance mode that is switched on later
		self.server.status, modes = 503, iter([False, True])
		# Then it is a fault before, and none after
		self.assertEqual(self.reason(in_maintenance=lambda: next(modes)), "HTTP 503")
		self.assertIsNone(self.reason(in_maintenance=lambda: next(modes)))

	def test_what_may_be_behind_a_server_error_is_told_with_it(self):
		for status, told in ((500, "HTTP 500, its database does not answer"), (404, "HTTP 404")):
			self.server.status = status
			self.assertEqual(self.reason(cause=lambda: "its database does not answer"), told)

	def test_without_a_site_any_answer_but_a_server_error_will_do(self):
		for status, fault in ((200, None), (302, None), (404, None), (500, "HTTP 500"), (503, "HTTP 503")):
			with self.subTest(status=status):
				self.server.status = status
				self.assertEqual(self.reason(None), fault)

	def test_a_name_that_http_cannot_carry_is_told(self):
		self.assertEqual(self.reason("s\u0142o\u0144.example.com"), "its name cannot be sent over HTTP")


class TestDatabaseServer(unittest.TestCase):
	def test_one_that_takes_connections_is_fine(self):
		with socket.create_server(("127.0.0.1", 0)) as server:
			self.assertEqual(database_fault({"db_host": "127.0.0.1", "db_port": server.getsockname()[1]}), "")

	def test_one_that_does_not_is_named(self):
		port = free_port()
		fault = database_fault({"db_host": "127.0.0.1", "db_port": str(port), "db_password": "hunter2"})
		self.assertEqual(fault, f"its database at 127.0.0.1:{port} does not answer (Connection refused)")

	def test_a_socket_is_asked_where_one_is_configured(self):
		self.assertIn(
			"/no/such/socket", database_fault({"db_socket": "/no/such/socket", "db_host": "localhost"})
		)

	def test_a_site_without_a_server_has_no_fault(self):
		self.assertEqual(database_fault({"db_type": "sqlite", "db_port": 1}), "")


class TestAWebServerThatMisbehaves(unittest.TestCase):
	def reason(self, endpoint: Endpoint, **how: object) -> str | None:
		fault = PingedWebServer(endpoint, **how).fault()
		return fault and fault.reason

	def test_nobody_listens(self):
		self.assertEqual(self.reason(Endpoint("127.0.0.1", refusing_port(self))), "connection refused")

	def test_its_socket_is_not_there(self):
		self.assertEqual(self.reason(Endpoint(path="/no/such/socket")), "the socket does not exist")

	def test_it_takes_the_connection_and_never_answers(self):
		with socket.create_server(("127.0.0.1", 0)) as server:
			at = Endpoint("127.0.0.1", server.getsockname()[1])
			self.assertEqual(self.reason(at, timeout=0.1), "no answer within 0.1 s")

	def test_it_speaks_something_else(self):
		with socket.create_server(("127.0.0.1", 0)) as server:
			threading.Thread(target=answer_once, args=(server, b"-ERR unknown command\r\n")).start()
			at = Endpoint("127.0.0.1", server.getsockname()[1])
			self.assertEqual(self.reason(at), "no HTTP answer (BadStatusLine)")


def answer_once(server: socket.socket, text: bytes) -> None:
	connection, _ = server.accept()
	with connection:
		connection.recv(1000)
		connection.sendall(text)
