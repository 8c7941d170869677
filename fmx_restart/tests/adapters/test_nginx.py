"""Where nginx serves a site, by bench's configuration of it; and a real nginx that is asked while web is away behind it."""

from __future__ import annotations

import shutil
import unittest
from pathlib import Path

from fmx_restart.adapters.web.addresses import Endpoint
from fmx_restart.adapters.web.nginx import endpoint_of, front_of
from fmx_restart.adapters.web.users import Target, UserProbe
from fmx_restart.engine.web_answers import WebAnswers, never
from fmx_restart.tests.adapters.benches import free_port, short_folder
from fmx_restart.tests.adapters.nginx_server import (
	NGINX,
	bench_configuration,
	main_configuration,
	make_certificate,
	start_nginx,
)
from fmx_restart.tests.adapters.test_users import SITE, Server
from fmx_restart.tests.adapters.waiting import eventually


class FrontCase(unittest.TestCase):
	def setUp(self):
		self.bench = Path(short_folder(self))
		(self.bench / "config").mkdir()
		self.file = self.bench / "config/nginx.conf"


class TestConfiguration(FrontCase):
	def front(self, text: str, site: str = SITE) -> Target | None:
		self.file.write_text(text)
		return front_of(self.bench, site)

	def test_the_server_that_bench_writes_is_found_by_the_name_of_the_site(self):
		expected = Target(Endpoint("127.0.0.1", 81), SITE, "nginx")
		self.assertEqual(self.front(bench_configuration(81, 8000, SITE)), expected)

	def test_a_site_is_found_by_a_domain_that_leads_to_it(self):
		text = "map $host $name { erp.example one.localhost; } server { listen 80; server_name erp.example; }"
		self.assertEqual(self.front(text), Target(Endpoint("127.0.0.1", 80), "erp.example", "nginx"))

	def test_a_server_that_only_redirects_is_passed_over_for_the_encrypted_one(self):
		found = self.front(bench_configuration(444, 8000, SITE, ssl_in=Path("/nowhere")))
		self.assertEqual((found.endpoint.port, found.is_encrypted), (444, True))

	def test_a_plain_server_comes_before_an_encrypted_one(self):
		text = (
			f"server {{ listen 443 ssl; server_name {SITE}; }} server {{ listen 8080; server_name {SITE}; }}"
		)
		self.assertEqual(self.front(text).endpoint, Endpoint("127.0.0.1", 8080))

	def test_the_address_of_listen_in_each_spelling(self):
		for text, endpoint in (
			("8080", Endpoint("0.0.0.0", 8080)),
			("[::]:80", Endpoint("::", 80)),
			("[::1]", Endpoint("::1", 80)),
			("10.0.0.5:81", Endpoint("10.0.0.5", 81)),
			("localhost", Endpoint("localhost", 80)),
			("unix:/run/front.sock", Endpoint(path="/run/front.sock")),
			("99999999", None),
		):
			with self.subTest(text=text):
				self.assertEqual(endpoint_of(text), endpoint)

	def test_what_serves_another_site_or_is_no_configuration_is_no_front(self):
		whole = bench_configuration(81, 8000, SITE)
		self.assertIsNone(self.front(whole, "two.localhost"))
		self.assertIsNone(front_of(self.bench / "gone", SITE))
		for text in ("", "}}}};;{", "server {", "server { listen; server_name; }", '"', "\0", whole[:80]):
			with self.subTest(text=text):
				self.assertIsNone(self.front(text))


@unittest.skipUnless(NGINX, "nginx is not on this machine; the development bench brings it")
class TestThroughNginx(FrontCase):
	def measured(self, *, ssl_in: Path | None = None) -> UserProbe:
		"""A probe that has asked nginx once, with a web server behind it."""
		self.server, port = Server(), free_port()
		self.addCleanup(lambda: self.server.stop())
		web = self.server.endpoint.port
		self.file.write_text(bench_configuration(port, web, SITE, ssl_in=ssl_in))
		sockets = 2 if ssl_in else 1  # one of them redirects
		start_nginx(self, self.bench, main_configuration(self.bench, self.file), sockets)
		probe = UserProbe(never)
		self.addCleanup(probe.end)
		probe.start([front_of(self.bench, SITE)])
		eventually(lambda: probe.answers()[0].requests, "the first answer")
		probe.restart_begins(1.0)
		return probe

	def while_web_is_away(self, probe: UserProbe) -> WebAnswers:
		port = self.server.endpoint.port
		self.server.stop()
		eventually(lambda: probe.answers()[0].silence > 0.5, "no answer")
		self.server = Server(port)
		eventually(lambda: probe.answers()[0].answers_now, "it answers again")
		(seen,) = probe.end()
		return seen

	def test_its_502_is_no_answer(self):
		seen = self.while_web_is_away(self.measured())
		self.assertEqual((seen.through, seen.reason, seen.before), ("nginx", "HTTP 502", ""))
		self.assertGreater(seen.unanswered, 0.5)

	@unittest.skipUnless(shutil.which("openssl"), "needs openssl")
	def test_so_it_is_where_it_serves_encrypted(self):
		make_certificate(self.bench)
		seen = self.while_web_is_away(self.measured(ssl_in=self.bench))
		self.assertEqual((seen.reason, seen.before), ("HTTP 502", ""))
