"""Something that a restart needs is not there or not right: one sentence, the remedy, and nothing was changed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fmx_restart.tests.adapters.benches import refusing_port
from fmx_restart.tests.adapters.redis_server import PASSWORD, RedisServer
from fmx_restart.tests.bench.command import Finished
from fmx_restart.tests.bench.scratch import ScratchBench
from fmx_restart.tests.bench.support import BenchTestCase

WRONG_ENVIRONMENT = 7  # exit code


class TestEnvironment(BenchTestCase):
	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		cls.scratch = ScratchBench(cls.bench, cls)
		cls.server = RedisServer(cls.scratch.path)
		cls.addClassCleanup(cls.server.stop)
		cls.server.start()

	def setUp(self) -> None:
		super().setUp()
		self.before = self.pids()
		self.scratch.write_config(redis_queue=self.server.url())

	def refused(self, *parts: str, cwd: Path | None = None) -> Finished:
		"""Each part stands in the sentence or in the remedy; nothing else happened."""
		done = self.scratch.run("--wait-workers", cwd=cwd)
		self.assertEqual(done.code, WRONG_ENVIRONMENT, done.text)
		for part in parts:
			self.assertIn(part, done.errors)
		self.assertNotIn("Operation ", done.output)
		self.assertEqual(len(done.errors.strip().splitlines()), 2, f"a sentence, a remedy:\n{done.errors}")
		self.assertEqual(list((self.scratch.path / "logs").glob("fmx_restart/*")), [])
		self.assert_nothing_restarted(self.before)
		return done

	def test_redis_that_is_not_there(self):
		self.scratch.write_config(redis_queue=f"redis://127.0.0.1:{refusing_port(self)}")
		self.refused("Redis does not answer", "redis_queue in sites/common_site_config.json", "Redis runs")

	def test_redis_with_a_password_that_we_do_not_know(self):
		admin = self.server.connection()
		admin.config_set("requirepass", PASSWORD)
		self.addCleanup(lambda: self.server.connection("default").config_set("requirepass", ""))
		done = self.refused("Redis refuses what this bench needs", "rq_password")
		self.assertNotIn(PASSWORD, done.text)

	def test_a_supervisord_that_is_not_running(self):
		self.scratch.write_config(
			redis_queue=self.server.url(),
			fmx_restart_supervisor_url="unix:///tmp/no-such-place/supervisor.sock",
		)
		self.refused("supervisord is not running", "/tmp/no-such-place/supervisor.sock", "Start it")
		self.assertEqual(self.server.connection().keys("*"), [])

	def test_a_supervisord_that_runs_another_bench_only(self):
		self.refused("runs no program of this bench", "bench setup supervisor", "fmx_restart_supervisor_url")
		self.assertEqual(self.server.connection().keys("*"), [])

	def test_a_configuration_that_is_no_json_is_left_as_it_is_to_the_byte(self):
		broken = b'{\n "redis_queue": "redis://127.0.0.1:6379",\n}\n'
		self.scratch.config.write_bytes(broken)
		self.refused("sites/common_site_config.json cannot be read", "line 3", "Correct it")
		self.assertEqual(self.scratch.config.read_bytes(), broken)

	def test_a_configuration_that_is_missing(self):
		self.scratch.config.unlink()
		self.refused("sites/common_site_config.json cannot be read")
		self.assertFalse(self.scratch.config.exists())

	def test_a_folder_that_is_no_sites_folder(self):
		"""Frappe itself knows no command of ours there; so nothing can happen either."""
		with tempfile.TemporaryDirectory() as folder:
			done = self.scratch.run("--wait-workers", cwd=Path(folder))
			self.assertNotEqual(done.code, 0)
			self.assertEqual(list(Path(folder).iterdir()), [])
		self.assert_nothing_restarted(self.before)
