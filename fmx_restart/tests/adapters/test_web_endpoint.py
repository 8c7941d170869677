"""Addresses of web servers as people write them, and as processes do."""

from __future__ import annotations

import unittest

from fmx_restart.adapters.web.addresses import Endpoint, binds, override_of, parse_bind, served_at
from fmx_restart.engine.errors import WrongEnvironment


class TestBinds(unittest.TestCase):
	def test_each_way_in_which_gunicorn_takes_an_address(self):
		for text, endpoint in {
			"127.0.0.1:8001": Endpoint("127.0.0.1", 8001),
			"tcp://127.0.0.1:8001": Endpoint("127.0.0.1", 8001),
			"[::1]:8001": Endpoint("::1", 8001),
			"[::]": Endpoint("::", 8000),
			"0.0.0.0": Endpoint("0.0.0.0", 8000),
			":8001": Endpoint("0.0.0.0", 8001),
			"localhost:8001": Endpoint("localhost", 8001),
			"unix:/run/web.sock": Endpoint(path="/run/web.sock"),
			"unix:///run/web.sock": Endpoint(path="/run/web.sock"),
			"unix:web.sock": Endpoint(path="web.sock"),
			"fd://3": None,
			"127.0.0.1:http": None,
			"127.0.0.1:99999": None,
			"unix:": None,
		}.items():
			with self.subTest(text=text):
				self.assertEqual(parse_bind(text), endpoint)

	def test_each_spelling_of_the_option(self):
		words = [
			"gunicorn",
			"-b",
			"a:1",
			"-bb:2",
			"--bind",
			"c:3",
			"--bind=d:4",
			"--backlog",
			"5",
			"-w",
			"2",
			"frappe.app:application",
		]
		self.assertEqual(list(binds(words)), ["a:1", "b:2", "c:3", "d:4"])

	def test_bench_serve_takes_any_address(self):
		self.assertEqual(served_at(["bench", "serve", "--port", "8005"]), (Endpoint("0.0.0.0", 8005),))
		self.assertEqual(served_at(["bench", "serve"]), ())


class TestOverlaps(unittest.TestCase):
	def test_two_programs_cannot_listen_at_both(self):
		at = Endpoint("127.0.0.1", 8000)
		for other in (at, Endpoint("0.0.0.0", 8000), Endpoint("::", 8000), Endpoint("localhost", 8000)):
			self.assertTrue(at.overlaps(other) and other.overlaps(at), other)

	def test_they_can(self):
		at = Endpoint("127.0.0.1", 8000)
		for other in (
			Endpoint("127.0.1.1", 8000),
			Endpoint("127.0.0.1", 8001),
			Endpoint(path="/x"),
			Endpoint("::1", 8000),
		):
			self.assertFalse(at.overlaps(other) or other.overlaps(at), other)

	def test_an_address_that_takes_any_is_reached_at_a_loopback_one(self):
		self.assertEqual(Endpoint("0.0.0.0", 8000).reachable, Endpoint("127.0.0.1", 8000))
		self.assertEqual(str(Endpoint("::", 8000).reachable), "[::1]:8000")

	def test_a_path_of_another_users_socket_writes_nothing_strange_on_a_terminal(self):
		self.assertEqual(str(Endpoint(path="/tmp/\x1b[31m\udcff")), "unix:/tmp/?[31m?")


class TestTheSetting(unittest.TestCase):
	def test_an_address_or_a_socket(self):
		for value, endpoint in {
			"http://127.0.1.1:8000": Endpoint("127.0.1.1", 8000),
			"http://erp.example.com/": Endpoint("erp.example.com", 80),
			"http://[::1]:8000": Endpoint("::1", 8000),
			"unix:///run/web.sock": Endpoint(path="/run/web.sock"),
		}.items():
			self.assertEqual(override_of({"fmx_restart_web_url": value}), endpoint)
		self.assertIsNone(override_of({}))

	def test_everything_else_is_refused_and_no_password_is_shown(self):
		for value in (
			"127.0.0.1:8000",
			"https://erp.example.com",
			"http://anna:hunter2@127.0.0.1:8000",
			"http://anna:hunter2@127.0.0.1:no-port",
			"http://127.0.0.1:8000/path",
			"http://",
			"unix:relative.sock",
			"http://[::1",
			8000,
			["http://127.0.0.1"],
		):
			with self.subTest(value=value), self.assertRaises(WrongEnvironment) as raised:
				override_of({"fmx_restart_web_url": value})
			told = f"{raised.exception} {raised.exception.hint}"
			self.assertIn("fmx_restart_web_url in sites/common_site_config.json", told)
			self.assertNotIn("hunter2", told)
