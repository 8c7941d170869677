"""Numbers of real queues for a monitoring system: right, and for the same price whatever waits."""

from __future__ import annotations

import json
import time

from rq.registry import FailedJobRegistry

from fmx_restart.adapters.redis_queue.gauges import QueueGauge, queue_gauges
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.worker.claims import claims_key


class TestGauges(RedisTestCase):
	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server)
		self.addCleanup(self.bench.stop)

	def gauges(self, *queues: str) -> dict[str, QueueGauge]:
		found, self.claims = queue_gauges(self.bench.connection, self.bench.id, queues)
		return {gauge.name: gauge for gauge in found}

	def test_the_job_at_the_head_says_since_when_the_queue_waits(self):
		before = time.time()
		self.bench.enqueue("first", "long")
		self.bench.enqueue("second", "long")
		self.admin.hset("rq:job:first", "enqueued_at", "2026-01-01T00:00:00.000000Z")
		long, short = self.gauges("long", "short").values()
		self.assertEqual(long.oldest, 1767225600.0)
		self.assertIsNone(short.oldest)
		self.admin.lpop(self.bench.queue("long").key)
		self.assertGreater(self.gauges("long")["long"].oldest, before - 1)

	def test_failed_and_stranded_jobs_are_counted_for_each_queue(self):
		queue = self.bench.queue("long")
		self.admin.zadd(FailedJobRegistry(queue=queue).key, {"a": 1, "b": 2})
		self.admin.rpush(f"{queue.key}:intermediate", "c")
		found = self.gauges("long", "short")
		self.assertEqual((found["long"].failed, found["long"].stranded), (2, 1))
		self.assertEqual((found["short"].failed, found["short"].stranded), (0, 0))

	def test_claims_are_counted_by_their_state(self):
		claim = {"state": "started", "queue": "rq:queue:x", "id": "a", "at": 1.0}
		self.admin.hset(claims_key(self.bench.id), mapping={"one": json.dumps(claim), "odd": "no claim"})
		self.gauges("long")
		self.assertEqual(dict(self.claims), {"started": 1})

	def test_what_others_wrote_there_counts_as_nothing(self):
		queue = self.bench.queue("long")
		self.admin.set(queue.key, "no list")
		self.admin.set(claims_key(self.bench.id), "no hash")
		self.assertEqual(self.gauges("long")["long"], QueueGauge("long", 0, 0, None))
		self.assertEqual(self.gauges(), {})

	def test_a_long_queue_costs_no_more_than_a_short_one(self):
		for number in range(3000):
			self.admin.rpush(self.bench.queue("long").key, f"job-{number}")
		calls = self.admin.info("commandstats")
		self.gauges("long")
		after = self.admin.info("commandstats")
		asked = {name: stat["calls"] - calls.get(name, {"calls": 0})["calls"] for name, stat in after.items()}
		self.assertEqual(sum(number for name, number in asked.items() if name != "cmdstat_info"), 5, asked)
