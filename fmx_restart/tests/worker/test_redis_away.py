"""Redis that goes away, hangs, or drops connections, while workers of this app wait for jobs and run them."""

from __future__ import annotations

import random
import signal
import time
from contextlib import suppress

from redis.exceptions import ConnectionError, ResponseError

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.tests.worker.test_worker import WorkerCase
from fmx_restart.tests.worker.worker_bench import BEGUN

DROPS = repetitions("drops of connections of workers", 60, long=2000)


class TestRedisAway(WorkerCase):
	def end_redis(self) -> None:
		"""Its data is on the disk."""
		self.admin.save()
		self.server.stop()

	def test_a_job_goes_on_while_redis_is_away_and_the_next_one_runs_afterwards(self):
		busy, idle = self.bench.start("short"), self.bench.start("long")
		self.bench.enqueue_counted("a", seconds=4)
		self.bench.has_begun("a")
		self.end_redis()
		time.sleep(1.5)
		self.server.start()
		self.bench.is_done("a")
		for queue in ("short", "long"):
			self.bench.enqueue_counted(queue, queue)
			self.bench.is_done(queue)
		self.assertEqual([self.bench.count(BEGUN, id) for id in ("a", "short", "long")], [1, 1, 1])
		self.assertEqual([self.bench.state(pid) is None for pid in (busy, idle)], [False, False])

	def test_a_worker_leaves_while_redis_is_away(self):
		pid = self.bench.start()
		self.end_redis()
		time.sleep(0.3)
		self.bench.signal(pid, signal.SIGTERM)
		self.bench.wait(pid)
		self.server.start()

	def test_no_job_is_lost_or_runs_twice_when_connections_are_dropped_all_the_time(self):
		chance = random.Random(4)
		for _ in range(2):
			self.bench.start("short", "long")
		ids = []
		for number in range(DROPS):
			self.drop_one(chance)
			if number % 3 == 0:
				ids.append(str(number))
				self.bench.enqueue_counted(ids[-1], chance.choice(("short", "long")))
			time.sleep(chance.uniform(0.01, 0.06))
		eventually(
			lambda: all(self.bench.status(id) in ("finished", "failed") for id in ids),
			self.bench.log,
			deadline=90,
		)
		# RQ itself fails a job whose end it cannot write down; each of ours has begun once, and none is lost
		self.assertEqual({self.bench.count(BEGUN, id) for id in ids}, {1})
		eventually(lambda: not self.bench.claims(), "no claim is left")

	def drop_one(self, chance: random.Random) -> None:
		"""Of the workers and of the processes of their jobs; RQ's own thread does not come back without its connection."""
		own = self.admin.client_id()
		clients = [
			client
			for client in self.admin.client_list()
			if client["id"] not in (str(own), own) and client["cmd"] not in ("subscribe", "enqueue")
		]
		workers = [client for client in clients if client["cmd"] in ("blmove", "evalsha", "hset", "expire")]
		if workers:
			with suppress(ConnectionError, ResponseError):  # it is gone already
				self.admin.client_kill_filter(_id=chance.choice(workers)["id"])
