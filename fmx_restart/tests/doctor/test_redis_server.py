"""A real Redis, set wrongly in every way that costs jobs."""

from __future__ import annotations

import signal

import psutil
import redis

from fmx_restart.tests.adapters.benches import refusing_port
from fmx_restart.tests.adapters.redis_server import PASSWORD
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import DoctorTestCase

CHECKS = (
	"redis-cache",
	"redis-eviction",
	"redis-latency",
	"redis-memory",
	"redis-persistence",
	"redis-replica",
)
MEGABYTE = 2**20


class TestRedisServer(DoctorTestCase):
	def setUp(self):
		super().setUp()
		self.configure(save="3600 1")
		self.ways["config"] = lambda: {"redis_cache": self.server.url()}

	def configure(self, **settings: str) -> None:
		"""Until the test is over."""
		for name, value in settings.items():
			name = name.replace("_", "-")
			before = self.admin.config_get(name)[name]
			self.admin.config_set(name, value)
			self.addCleanup(self.restore, name, before)

	def restore(self, name: str, value: str) -> None:
		self.server.connection().config_set(name, value)

	def test_servers_as_bench_sets_them_up_are_clean(self):
		self.assert_clean(CHECKS)

	def test_a_queue_that_throws_keys_away_is_an_error_where_it_has_a_limit(self):
		for policy in ("allkeys-lru", "volatile-ttl"):
			with self.subTest(policy):
				self.configure(maxmemory="100mb", maxmemory_policy=policy)
				finding = self.finding("redis-eviction")
				self.assertEqual(finding.severity, "error")
				self.assertIn(policy, finding.text)
		self.configure(maxmemory="0")
		self.assertEqual(self.finding("redis-eviction").severity, "warning")

	def filled(self) -> int:
		"""Bytes that it uses, once it has let go of what the command itself took."""
		self.admin.set("rq:ballast", "x" * 4 * MEGABYTE)
		seen = [0]

		def is_steady() -> bool:
			seen.append(self.admin.info()["used_memory"])
			return seen[-1] < 8 * MEGABYTE and abs(seen[-1] - seen[-2]) < MEGABYTE / 20

		eventually(is_steady, "memory is steady")
		return seen[-1]

	def test_a_full_queue_is_told_before_and_when_it_takes_nothing_more(self):
		used = self.filled()
		# both are this one server; a cache that refuses to write is told too
		self.configure(maxmemory=str(int(used / 0.95)))
		self.assertEqual({(f.subject, f.severity) for f in self.findings("redis-memory")}, both("warning"))
		self.configure(maxmemory=str(used - MEGABYTE))
		self.assertEqual({(f.subject, f.severity) for f in self.findings("redis-memory")}, both("error"))

	def test_a_full_server_that_makes_room_is_not_told_as_full(self):
		nearly = int(self.filled() / 0.95)
		self.configure(maxmemory=str(nearly), maxmemory_policy="allkeys-lru")
		self.assert_clean(["redis-memory"])

	def test_a_queue_that_is_never_written_to_disk_is_told(self):
		self.configure(save="")
		self.assertEqual(self.finding("redis-persistence").severity, "warning")
		self.configure(appendonly="yes")
		self.assert_clean(["redis-persistence"])

	def test_a_queue_that_could_not_be_written_to_disk_is_an_error(self):
		# Given a folder where its file should be
		file = self.server.folder / "dump.rdb"
		file.unlink(missing_ok=True)
		file.mkdir()
		self.addCleanup(self.repair, file)
		self.configure(stop_writes_on_bgsave_error="no")
		self.admin.bgsave()
		eventually(lambda: self.admin.info()["rdb_last_bgsave_status"] == "err", "Redis tried to save")
		self.assertEqual(self.finding("redis-persistence").severity, "error")

	def repair(self, file) -> None:
		file.rmdir()
		self.server.connection().save()

	def test_a_replica_takes_no_jobs(self):
		self.admin.replicaof("127.0.0.1", refusing_port(self))
		self.addCleanup(lambda: self.server.connection().replicaof("NO", "ONE"))
		self.assertEqual(self.finding("redis-replica").severity, "error")

	def test_a_bench_that_may_not_ask_for_settings_is_told_nothing_about_them(self):
		self.configure(save="")
		self.server.add_bench_user(self.rq.id)
		self.addCleanup(lambda: self.server.connection().acl_deluser(self.rq.id))
		self.ways["connection"] = lambda: self.server.connection(self.rq.id)
		self.assert_clean(CHECKS)

	def test_a_cache_that_is_away_is_told_and_no_password(self):
		self.ways["config"] = lambda: {"redis_cache": f"redis://:{PASSWORD}@127.0.0.1:{refusing_port(self)}"}
		finding = self.finding("redis-cache")
		self.assertEqual(finding.severity, "error")
		self.assertNotIn(PASSWORD, finding.text + finding.remedy)
		self.assert_clean(CHECKS[1:])

	def test_a_server_that_is_stopped_is_told_in_time(self):
		process = psutil.Process(self.admin.info()["process_id"])
		self.ways["connection"] = self.timed
		self.addCleanup(process.send_signal, signal.SIGCONT)
		process.send_signal(signal.SIGSTOP)
		examination = self.examine(*CHECKS)
		self.assertLess(examination.seconds, 3)
		self.assertEqual(
			{(found.check, found.subject) for found in examination.findings},
			{("unreachable", "redis_queue"), ("redis-cache", "redis_cache")},
		)

	def timed(self):
		"""As this_bench gives it, with a time limit for each answer."""
		return redis.Redis.from_url(self.server.url(), socket_timeout=0.5)


def both(severity: str) -> set:
	return {("redis_queue", severity), ("redis_cache", severity)}
