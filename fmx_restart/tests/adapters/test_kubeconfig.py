"""How Kubernetes' API is reached: a kubeconfig, the program that it may name for a login, and who else can write it."""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
import time
import unittest
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from fmx_restart.adapters.managers.kubernetes.api import Access, Api
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.tests.adapters.waiting import eventually

KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "http://anna:s3cret@127.0.0.1:1"}}]
users: [{name: u, user: {token: s3cret}}]
"""


@unittest.skipUnless(importlib.util.find_spec("kubernetes"), "Kubernetes' client is not installed")
class TestKubeconfig(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.file = Path(folder.name, "kubeconfig")
		self.file.touch(0o600)

	def fault(self) -> str:
		with self.assertRaises(ProcessFault) as caught:
			Api(Access(str(self.file)), timeout=1).items("/api/v1/pods")
		self.assertNotIn("s3cret", f"{caught.exception} {caught.exception.hint}")
		return str(caught.exception)

	def test_one_that_is_none_is_told_so_and_nothing_of_it_is_shown(self):
		for text in (
			KUBECONFIG.replace("{token: s3cret}", "[s3cret: s3cret: s3cret"),
			KUBECONFIG.replace("[{name: k, cluster: {", "5 #"),
			KUBECONFIG.replace('"http://anna:s3cret@127.0.0.1:1"', "5"),
			"- s3cret\n",
			"s3cret",
		):
			self.file.write_text(text)
			self.assertIn(f"{self.file} cannot be used: it is no kubeconfig", self.fault())

	def test_a_login_in_the_servers_url_is_not_shown(self):
		self.file.write_text(KUBECONFIG)
		self.assertIn("Kubernetes' API at http://127.0.0.1:1 ", self.fault())

	def test_one_that_somebody_else_can_write_is_not_used_as_it_can_name_a_program(self):
		ran = self.file.with_name("ran")
		program = (
			f'{{exec: {{command: touch, args: ["{ran}"], apiVersion: client.authentication.k8s.io/v1}}}}'
		)
		self.file.write_text(KUBECONFIG.replace("{token: s3cret}", program))
		self.file.chmod(0o666)
		self.assertIn("is no file that only this user or root can write", self.fault())
		self.assertFalse(ran.exists())
		if os.geteuid() == 0:
			self.file.chmod(0o600)
			os.chown(self.file, 65534, 65534)
			self.assertIn("is no file that only this user or root can write", self.fault())
			self.assertFalse(ran.exists())
			os.chown(self.file, 0, 0)
		self.file.chmod(0o640)
		self.fault()
		self.assertTrue(ran.exists())


class Server(ThreadingHTTPServer):
	"""Of the newest login alone."""

	login = "first"

	class RequestHandlerClass(BaseHTTPRequestHandler):
		def do_GET(self):
			is_known = self.headers["Authorization"] == f"Bearer {self.server.login}"
			body = b'{"items": [{"metadata": {"name": "one"}}]}' if is_known else b"{}"
			self.send_response(200 if is_known else 401)
			self.send_header("Content-Type", "application/json")
			self.send_header("Content-Length", str(len(body)))
			self.end_headers()
			self.wfile.write(body)

		def log_message(self, *_):
			"""Nobody reads it."""

	def __init__(self) -> None:
		super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
		Thread(target=self.serve_forever, daemon=True).start()


@unittest.skipUnless(importlib.util.find_spec("kubernetes"), "Kubernetes' client is not installed")
class TestLogin(unittest.TestCase):
	"""By a program that the kubeconfig names, as those of clouds do."""

	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.file, self.runs, self.token = (Path(folder.name, it) for it in ("config", "runs", "token"))
		self.server = Server()
		self.addCleanup(self.server.server_close)
		self.addCleanup(self.server.shutdown)
		self.token.write_text(
			'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "first"}}'
		)
		self.runs.touch()
		self.api = Api(Access(str(self.file)), timeout=1)

	def write(self, script: str) -> None:
		words = json.dumps(["-c", f"echo >> {self.runs}; {script}"])
		user = f"{{exec: {{command: sh, args: {words}, apiVersion: client.authentication.k8s.io/v1}}}}"
		url = f"http://127.0.0.1:{self.server.server_port}"
		text = KUBECONFIG.replace("{token: s3cret}", user).replace("http://anna:s3cret@127.0.0.1:1", url)
		self.file.touch(0o600)
		self.file.write_text(text)

	def names(self) -> list[str]:
		return [it["metadata"]["name"] for it in self.api.items("/api/v1/pods")]

	def number_of_runs(self) -> int:
		return self.runs.read_text().count("\n")

	def test_one_that_hangs_is_not_waited_for_nor_run_again_and_heard_when_it_is_done(self):
		gate = self.file.with_name("gate")
		self.write(f"while [ ! -e {gate} ]; do sleep 0.05; done; cat {self.token}")
		began = time.monotonic()
		for _ in range(2):
			with self.assertRaises(ProcessFault) as caught:
				self.names()
			self.assertIn("names for a login does not answer", str(caught.exception))
		self.assertLess(time.monotonic() - began, 10)
		gate.touch()
		eventually(lambda: self.names_or_none() == ["one"], "the login is there")
		self.assertEqual(self.number_of_runs(), 1)

	def names_or_none(self) -> list[str] | None:
		with suppress(ProcessFault):
			return self.names()
		return None

	def test_a_login_that_has_run_out_is_renewed_once(self):
		self.write(f"cat {self.token}")
		self.assertEqual((self.names(), self.names(), self.number_of_runs()), (["one"], ["one"], 1))
		self.server.login = "second"
		self.token.write_text(self.token.read_text().replace("first", "second"))
		self.assertEqual((self.names(), self.number_of_runs()), (["one"], 2))
		self.server.login = "third"
		with self.assertRaises(ProcessFault):
			self.names()
		self.assertEqual(self.number_of_runs(), 3)


if __name__ == "__main__":
	unittest.main()
