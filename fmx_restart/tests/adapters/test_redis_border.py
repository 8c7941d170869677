"""What Redis may refuse and how it may vanish, told in our words, with a remedy and without a secret."""

from __future__ import annotations

import socket
import unittest
from collections.abc import Callable

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease, owners
from fmx_restart.engine.errors import OperationError, QueueUnreachable, WrongEnvironment
from fmx_restart.engine.ports import Hold, Worker, WorkerState
from fmx_restart.tests.adapters.benches import short_folder
from fmx_restart.tests.adapters.redis_server import PASSWORD, RedisServer, RedisTestCase
from fmx_restart.tests.adapters.waiting import eventually

BENCH = "home-anna-bench"
KEY = lock_key(BENCH)
ONCE = Retry(NoBackoff(), 0)  # redis-py 6 and later would try for seconds


def orders(connection: redis.Redis) -> dict[str, Callable[[], object]]:
	"""Everything the adapters ask of Redis."""
	queue = RedisQueue(connection, BENCH, "operation-1")
	lease = RedisLease(connection, KEY, "operation-1", seconds=30)
	fence = RedisFence(connection, f"fmx_restart:{BENCH}:operation-1", seconds=30)
	return {
		"look": queue.look,
		"inventory": queue.inventory,
		"describe": lambda: queue.describe(["a"]),
		"statuses": lambda: queue.statuses(["a"]),
		"queued": lambda: queue.queued(["a"]),
		"put_back": lambda: queue.put_back(["a"], fence),
		"hold": lease.hold,
		"release": lease.release,
		"holder": lease.holder,
		"hold the fence": fence.hold,
		"release the fence": fence.release,
		"who holds the fence": fence.holder,
		"owners of the fence": lambda: owners(connection),
	}


class Border:
	def assert_each_raises(self, kind: type[OperationError], connection: redis.Redis) -> None:
		"""Exactly this kind, with a hint, and with no password in anything that could be shown."""
		for name, order in orders(connection).items():
			with self.subTest(order=name):
				with self.assertRaises(kind) as caught:
					order()
				self.assertIs(type(caught.exception), kind)
				self.assertIn("common_site_config.json", caught.exception.hint)
				self.assertNotIn(PASSWORD, f"{caught.exception!r} {caught.exception.hint}")


class TestRefused(Border, RedisTestCase):
	def setUp(self):
		super().setUp()
		self.server.add_bench_user(BENCH)

	def connection(self, user: str, password: str) -> redis.Redis:
		url = self.server.url(user, password)
		return redis.Redis.from_url(url, socket_timeout=5, retry=ONCE)

	def test_the_right_password_opens_everything(self):
		for name, order in orders(self.connection(BENCH, PASSWORD)).items():
			with self.subTest(order=name):
				order()

	def test_a_wrong_password_is_a_wrong_environment(self):
		self.assert_each_raises(WrongEnvironment, self.connection(BENCH, "wrong"))

	def test_a_user_that_redis_does_not_know_is_a_wrong_environment(self):
		self.assert_each_raises(WrongEnvironment, self.connection("nobody", PASSWORD))

	def test_a_user_without_permissions_is_a_wrong_environment(self):
		self.admin.hset("rq:job:a", "status", "queued")
		self.admin.execute_command("ACL", "SETUSER", "guest", "reset", "on", f">{PASSWORD}", "+@all", "~x")
		self.assert_each_raises(WrongEnvironment, self.connection("guest", PASSWORD))

	def test_a_user_who_may_not_run_scripts_is_a_wrong_environment(self):
		rules = ["reset", "on", f">{PASSWORD}", "~*", "+@all", "-@scripting"]
		self.admin.execute_command("ACL", "SETUSER", "guest", *rules)
		with self.assertRaises(WrongEnvironment) as caught:
			RedisQueue(self.connection("guest", PASSWORD), BENCH, "operation-1").look()
		self.assertNotIsInstance(caught.exception, QueueUnreachable)

	def test_the_queue_of_another_bench_stays_closed(self):
		# Given a ghost of another bench, which anybody can see in its hash
		self.admin.hset("rq:job:a", mapping={"status": "queued", "origin": "home-ben-bench:short"})
		queue = RedisQueue(self.connection(BENCH, PASSWORD), BENCH, "operation-1")
		# Then Redis itself keeps us from touching it
		fence = RedisFence(self.connection(BENCH, PASSWORD), f"fmx_restart:{BENCH}:operation-1", seconds=30)
		fence.hold()
		with self.assertRaises(WrongEnvironment):
			queue.put_back(["a"], fence)

	def test_a_server_that_wants_a_password_and_gets_none_is_a_wrong_environment(self):
		self.admin.config_set("requirepass", PASSWORD)
		try:
			with self.assertRaises(WrongEnvironment) as caught, redis_border():
				redis.Redis.from_url(self.server.url(), retry=ONCE).ping()
			self.assertIn("rq_password", caught.exception.hint)
		finally:
			redis.Redis.from_url(self.server.url("default")).config_set("requirepass", "")


class TestWritesNothing(RedisTestCase):
	"""Redis answers and reads, and refuses every write: that may pass, as an outage may."""

	@classmethod
	def setUpClass(cls) -> None:
		super().setUpClass()
		data = short_folder(cls)
		cls.disk = RedisServer(short_folder(cls), data)
		cls.addClassCleanup(cls.disk.stop)
		cls.disk.start()
		data.rmdir()

	def assert_told(self, code: str, server: RedisServer) -> None:
		lease = RedisLease(server.connection(), "rq:fmx:b:lock", "operation-1", seconds=30)
		queue = RedisQueue(server.connection(), BENCH, "operation-1")
		worker = Worker("w", "h", 1, ("short",), WorkerState.IDLE, None, 0.0, 0.0)
		for order in (lease.hold, lambda: queue.wake([worker]), lambda: queue.ask_to_leave("short", ["w"])):
			with self.assertRaisesRegex(QueueUnreachable, f"refuses to write .{code}.") as caught:
				order()
			self.assertIn("memory", caught.exception.hint)
		self.assertEqual(queue.look().workers, ())

	def test_one_that_is_full(self):
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		self.assert_told("OOM", self.server)

	def test_one_that_became_a_replica(self):
		self.admin.execute_command("REPLICAOF", "127.0.0.1", "1")
		self.addCleanup(self.admin.execute_command, "REPLICAOF", "NO", "ONE")
		self.assert_told("READONLY", self.server)

	def test_one_that_cannot_save_to_its_disk(self):
		admin = self.disk.connection()
		admin.config_set("save", "3600 1")
		admin.set("a", 1)
		admin.bgsave()
		eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", "it could not save")
		self.assert_told("MISCONF", self.disk)

	def test_in_one_that_is_full_a_lease_is_renewed_and_released_all_the_same(self):
		# Given a lease in a Redis that gets full
		lease = RedisLease(self.server.connection(), KEY, "operation-1", seconds=30)
		lease.hold("Drain")
		self.admin.pexpire(KEY, 10_000)
		self.admin.config_set("maxmemory", 1)
		self.addCleanup(self.admin.config_set, "maxmemory", 0)
		# Then it neither ends nor tells what was true before
		self.assertIs(lease.hold("Restart"), Hold.KEPT)
		self.assertGreater(self.admin.pttl(KEY), 25_000)
		self.assertEqual((lease.holder(), lease.release()), ("operation-1 Restart", True))


class TestAway(Border, unittest.TestCase):
	def test_a_redis_that_was_never_there_does_not_answer(self):
		path = short_folder(self) / "missing.sock"
		connection = redis.Redis.from_url(f"unix://{BENCH}:{PASSWORD}@{path}", retry=ONCE)
		self.assert_each_raises(QueueUnreachable, connection)

	def test_a_redis_that_ends_between_two_orders_does_not_answer(self):
		# Given a connection that works
		server = RedisServer(short_folder(self))
		self.addCleanup(server.stop)
		server.start()
		connection = redis.Redis.from_url(server.url(), retry=ONCE)
		connection.ping()
		# When Redis ends, then each order says so
		server.stop()
		self.assert_each_raises(QueueUnreachable, connection)

	def test_a_redis_that_hangs_does_not_answer(self):
		# Given a socket on which nobody ever answers
		path = short_folder(self) / "redis.sock"
		with socket.socket(socket.AF_UNIX) as silent:
			silent.bind(str(path))
			silent.listen()
			connection = redis.Redis.from_url(f"unix://{path}", socket_timeout=0.05, retry=ONCE)
			# Then each order is given up when its time is over
			self.assert_each_raises(QueueUnreachable, connection)

	def test_a_name_that_does_not_resolve_does_not_answer(self):
		with self.assertRaises(QueueUnreachable), redis_border():
			raise socket.gaierror(-2, "Name or service not known")

	def test_our_own_mistakes_are_not_called_an_outage(self):
		with self.assertRaises(KeyError), redis_border():
			raise KeyError("ours")
