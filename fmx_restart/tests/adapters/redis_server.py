"""A Redis of the test's own: on a unix socket in a folder of its own, without persistence, ended by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from contextlib import suppress
from pathlib import Path

import redis

from fmx_restart.tests.adapters.benches import free_port
from fmx_restart.tests.adapters.waiting import eventually

CHECKOUT = Path(__file__).parents[3]
PASSWORD = "a-password-nobody-may-read"  # of every bench user here
#: What `bench create-rq-users` grants a bench (frappe/utils/redis_queue.py): no admin commands, no channels.
BENCH_RULES = "resetkeys resetchannels ~rq:[^q]* ~rq:queues ~rq:queue:{0}:* +@all -@admin"


def redis_binary() -> str:
	"""Where there is none the test is skipped; in CI that would hide everything, so there it fails."""
	own = CHECKOUT / ".development" / "bin" / "redis-server"
	found = shutil.which("redis-server") or (str(own) if own.exists() else None)
	if found:
		return found
	if os.environ.get("CI"):
		raise AssertionError("redis-server is not installed, and these tests must run in CI")
	raise unittest.SkipTest("redis-server is not installed")


class RedisServer:
	"""On a unix socket, or on a TCP port of this machine."""

	persistence: tuple[str, ...] = ("--save", "", "--appendonly", "no")

	def __init__(self, folder: Path, data: Path | None = None, port: int = 0) -> None:
		self.folder, self.socket, self.data, self.port = folder, folder / "redis.sock", data or folder, port
		self._process: subprocess.Popen | None = None

	def start(self) -> None:
		"""Returns when it answers."""
		command = [redis_binary(), "--port", str(self.port), "--unixsocket", str(self.socket)]
		command += ["--dir", str(self.data), *self.persistence]
		command += ["--rdbcompression", "no"]  # so that a DUMP can be searched
		self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
		eventually(self._answers, "Redis answers")

	def stop(self, number: int = signal.SIGKILL) -> None:
		"""`number`: of the signal that it gets."""
		if self._process is not None:
			self._process.send_signal(number)
			self._process.wait()
			self._process = None

	def add_bench_user(self, bench_id: str) -> None:
		rules = BENCH_RULES.format(bench_id).split()
		self.connection().execute_command("ACL", "SETUSER", bench_id, "reset", "on", f">{PASSWORD}", *rules)

	def url(self, user: str | None = None, password: str = PASSWORD) -> str:
		login = f"{user}:{password}@" if user else ""
		return f"redis://{login}127.0.0.1:{self.port}" if self.port else f"unix://{login}{self.socket}"

	def connection(self, user: str | None = None, password: str = PASSWORD) -> redis.Redis:
		return redis.Redis.from_url(self.url(user, password), socket_timeout=5)

	def let_in(self, bench_id: str) -> redis.Redis:
		"""From now on only the bench's own user, as Frappe makes it, and the administrator, whose connection this returns."""
		self.add_bench_user(bench_id)
		self.connection().config_set("requirepass", PASSWORD)
		return self.connection("default")

	def _answers(self) -> bool:
		if self._process.poll() is not None:
			raise AssertionError(f"redis-server ended with exit code {self._process.returncode}")
		with suppress(redis.ConnectionError):
			return self.connection().ping()
		return False


class RedisTestCase(unittest.TestCase):
	"""One server for all tests of a class; each test finds it empty."""

	has_port = False  # only who is connected over TCP can be told

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		folder = tempfile.TemporaryDirectory(prefix="fmx", dir="/tmp")  # a unix socket's path is short
		cls.addClassCleanup(folder.cleanup)
		cls.server = cls.make_server(Path(folder.name))
		cls.addClassCleanup(cls.server.stop)
		cls.server.start()

	@classmethod
	def make_server(cls, folder: Path) -> RedisServer:
		return RedisServer(folder, port=free_port() if cls.has_port else 0)

	def setUp(self) -> None:
		super().setUp()
		self.admin = self.server.connection()
		self.admin.flushall()
		self.addCleanup(self.admin.close)
