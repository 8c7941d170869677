from __future__ import annotations

import socket
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer

from fmx_restart.adapters.database_server import database_fault
from fmx_restart.adapters.in_memory.clock import FakeClock
from fmx_restart.adapters.in_memory.processes import InMemoryProcesses, Program
from fmx_restart.adapters.in_memory.web import InMemoryWeb
from fmx_restart.adapters.web import PingedWebServer
from fmx_restart.engine.ports import ProcessKind, Web, WebFault
from fmx_restart.tests.adapters.benches import free_port


def reason(web: Web) -> str | None:
	fault = web.fault()
	return fault and fault.reason


class WebContract:
	"""Each implementation can be told to answer, or to break."""

	def test_a_web_server_that_answers_has_no_fault(self):
		self.assertIsNone(self.web.fault())

	def test_a_broken_web_server_says_what_is_wrong(self):
		self.break_it()
		self.assertEqual(self.web.fault(), WebFault("HTTP 500", is_answer=True))

	def test_a_web_server_that_is_down_refuses_connections(self):
		self.shut_it_down()
		self.assertEqual(self.web.fault(), WebFault("connection refused"))


class TestInMemoryWeb(WebContract, unittest.TestCase):
	def setUp(self):
		self.processes = InMemoryProcesses(FakeClock(), Program("web", ProcessKind.WEB))
		self.web = InMemoryWeb(self.processes)

	def break_it(self):
		self.web.broken = "HTTP 500"

	def shut_it_down(self):
		self.processes.stop("web")


class Answer(BaseHTTPRequestHandler):
	def do_GET(self):
		self.server.asked.append((self.path, self.headers["Host"]))
		self.send_response(self.server.status)
		self.send_header("Content-Length", "0")
		self.end_headers()

	def log_message(self, *_):
		"""Not into the tests' output."""


class TestPingedWebServer(WebContract, unittest.TestCase):
	def setUp(self):
		self.server = HTTPServer(("127.0.0.1", 0), Answer)
		self.server.status, self.server.asked = 200, []
		self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
		self.thread.start()
		self.addCleanup(self.shut_it_down)
		self.port = self.server.server_port
		self.web = PingedWebServer(self.port, "erp.example.com")

	def break_it(self):
		self.server.status = 500

	def shut_it_down(self):
		self.server.shutdown()
		self.thread.join()
		self.server.server_close()

	def test_the_site_is_named_in_the_host_header(self):
		self.web.fault()
		self.assertEqual(self.server.asked, [("/api/method/ping", "erp.example.com")])

	def test_a_site_in_maintenance_mode_may_say_that_it_is_closed(self):
		# Given a server that says 503, and a maintenance mode that is switched on later
		self.server.status, modes = 503, iter([False, True])
		web = PingedWebServer(self.port, "erp.example.com", in_maintenance=lambda: next(modes))
		# Then it is a fault before, and none after
		self.assertEqual(reason(web), "HTTP 503")
		self.assertIsNone(web.fault())

	def test_what_may_be_behind_a_server_error_is_told_with_it(self):
		web = PingedWebServer(self.port, "erp.example.com", cause=lambda: "its database does not answer")
		for status, told in ((500, "HTTP 500, its database does not answer"), (404, "HTTP 404")):
			self.server.status = status
			self.assertEqual(reason(web), told)

	def test_a_site_that_the_server_does_not_know_is_a_fault(self):
		self.server.status = 404
		self.assertEqual(reason(self.web), "HTTP 404")

	def test_without_a_site_any_answer_but_a_server_error_will_do(self):
		web = PingedWebServer(self.port)
		for status, fault in ((200, None), (302, None), (404, None), (500, "HTTP 500"), (503, "HTTP 503")):
			with self.subTest(status=status):
				self.server.status = status
				self.assertEqual(reason(web), fault)


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
	def test_nobody_listens(self):
		self.assertEqual(reason(PingedWebServer(free_port())), "connection refused")

	def test_it_takes_the_connection_and_never_answers(self):
		with socket.create_server(("127.0.0.1", 0)) as server:
			web = PingedWebServer(server.getsockname()[1], timeout=0.1)
			self.assertEqual(reason(web), "no answer within 0.1 s")

	def test_it_speaks_something_else(self):
		with socket.create_server(("127.0.0.1", 0)) as server:
			threading.Thread(target=answer_once, args=(server, b"-ERR unknown command\r\n")).start()
			web = PingedWebServer(server.getsockname()[1])
			self.assertEqual(reason(web), "no HTTP answer (BadStatusLine)")


def answer_once(server: socket.socket, text: bytes) -> None:
	connection, _ = server.accept()
	with connection:
		connection.recv(1000)
		connection.sendall(text)
