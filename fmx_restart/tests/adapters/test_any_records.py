"""Arbitrary bytes wherever another program can write: no reader raises, and what RQ wrote is read exactly."""

from __future__ import annotations

import unittest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq import registry

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.inventory import REGISTRIES, lost_jobs, still_lost
from fmx_restart.adapters.redis_queue.jobs import failed_counts, label_and_method, newest_failed
from fmx_restart.adapters.redis_queue.keys import QUEUES, WORKERS
from fmx_restart.adapters.redis_queue.look import jobs_of_site, survey
from fmx_restart.console.sentences import unreadable
from fmx_restart.engine.ledger import Place
from fmx_restart.tests.adapters.ghosts import Ghosts
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench
from fmx_restart.tests.repetitions import repetitions

JOB_FIELDS = ("status", "origin", "data", "enqueued_at", "started_at", "ended_at", "timeout", "worker_name")
JOB_FIELDS += ("meta", "ttl", "failure_ttl", "exc_info")
WORKER_FIELDS = ("queues", "hostname", "pid", "state", "current_job", "birth", "last_heartbeat", "death")
BENCH = "home-anna-bench"
#: What RQ could have written, so that odd fields stand beside sound ones
SOUND = (
	b"queued",
	b"started",
	b"busy",
	f"{BENCH}:short".encode(),
	b"2026-01-01T00:00:00.000000Z",
	b"300",
	b"",
)
ODD = (b"None", b"nan", b"inf", b"-1", b"1e999", b"\xff\xfe", b"a\x00b", b"good", b"\x80\x05", b"x" * 5000)
VALUES = st.sampled_from(SOUND + ODD) | st.binary(max_size=30)
IDS = st.binary(min_size=1, max_size=12).map(lambda id: b"odd" + id)
JOBS = st.dictionaries(IDS, st.dictionaries(st.sampled_from(JOB_FIELDS), VALUES, min_size=1), max_size=4)
RECORDS = st.dictionaries(
	IDS, st.dictionaries(st.sampled_from(WORKER_FIELDS), VALUES, min_size=1), max_size=4
)
SCORES = st.floats(allow_nan=False)
STEPS = b"\x80\x04(}t.2q\x00r\xff\x8c\x01aNR\x81\x93cbsu\x94eh\x85\x86\x87p0"  # of pickles
PICKLES = st.lists(st.sampled_from(STEPS), max_size=60).map(bytes)
MEMBERS = st.dictionaries(IDS, SCORES, max_size=3)


class TestAnyRecords(Ghosts, RedisTestCase):
	@settings(
		max_examples=repetitions("odd job records", 20, long=400),
		deadline=None,
		suppress_health_check=[HealthCheck.differing_executors],
	)
	@given(st.data())
	def test_no_reader_raises_and_what_rq_wrote_is_read_exactly(self, data):
		self.admin.flushall()
		bench = RqBench(self.server, BENCH)
		bench.enqueue("good", timeout=120)
		worker = bench.register("short", name="good")
		self.fill(data, bench)
		queue = RedisQueue(self.server.connection(), bench.id, "operation-1")
		ids = self.read_all(queue)
		self.read_beside(bench.id)
		self.end_and_put_back(queue, ids)
		# Then what RQ wrote is told as it is
		self.assertEqual(queue.describe(["good"])["good"].timeout, 120.0)
		self.assertEqual(queue.describe(["good"])["good"].method, "app.tasks.work")
		found = {seen.name: seen for seen in queue.look().workers}["good"]
		self.assertEqual((found.pid, found.queues), (worker.pid, ("short",)))
		self.assertTrue(unreadable(queue.unreadable()).isprintable())
		bench.stop()

	def fill(self, data: st.DataObject, bench: RqBench) -> None:
		jobs, workers = data.draw(JOBS), data.draw(RECORDS)
		pipe = self.admin.pipeline()
		for id, fields in jobs.items():
			pipe.hset(b"rq:job:" + id, mapping=fields)
		for name, fields in workers.items():
			pipe.hset(b"rq:worker:" + name, mapping=fields)
			pipe.sadd(WORKERS, b"rq:worker:" + name)
		for id in data.draw(st.lists(IDS | st.sampled_from([*jobs, b"gone"]), max_size=5)):
			pipe.rpush(bench.queue("short").key, id)
		for name in data.draw(st.lists(IDS, max_size=2)):
			pipe.sadd(QUEUES, f"rq:queue:{bench.id}:".encode() + name)
			pipe.rpush(f"rq:queue:{bench.id}:".encode() + name, name)
		for kind in (registry.StartedJobRegistry, *(kind for _, kind in REGISTRIES)):
			if members := data.draw(MEMBERS):
				pipe.zadd(kind.key_template.format(bench.queue("short").name), members)
		pipe.execute()
		for key in data.draw(st.lists(st.sampled_from(self.takeable(bench, list(jobs))), max_size=2)):
			self.admin.delete(key)
			self.admin.set(key, b"\xff")

	def takeable(self, bench: RqBench, jobs: list[bytes]) -> list[str | bytes]:
		"""Keys that another program may use for something else."""
		kinds = [registry.FailedJobRegistry, registry.StartedJobRegistry, registry.DeferredJobRegistry]
		taken = [kind.key_template.format(bench.queue("short").name) for kind in kinds]
		return [*taken, bench.queue("long").key, "rq:suspended", *(b"rq:job:" + id for id in jobs)]

	def read_all(self, queue: RedisQueue) -> list[str]:
		look = queue.look()
		self.queue = queue
		places = queue.inventory().places.as_dict()
		self.assertEqual(places["good"], Place.WAITING)
		unlisted = self.unlisted(places)
		ids = [*places, *unlisted, *(job.id for job in look.started)]
		self.assertEqual(queue.statuses(ids).keys(), set(ids))
		queue.describe(ids)
		queue.usual_durations(["app.tasks.work"])
		queue.look()
		return ids

	def read_beside(self, bench_id: str) -> None:
		queues = ["short", "long"]
		survey(self.admin, bench_id, queues)
		jobs_of_site(self.admin, bench_id, ["short"], "one.localhost")
		failed_counts(self.admin, bench_id, queues)
		newest_failed(self.admin, bench_id, queues, 10)
		lost, _ = lost_jobs(self.admin, bench_id, most_keys=1000)
		still_lost(self.admin, bench_id, [job.id for job in lost])

	def end_and_put_back(self, queue: RedisQueue, ids: list[str]) -> None:
		odd = [id for id in ids if id != "good"]
		self.put_back(odd)
		queue.fail(odd, "killed")
		queue.requeue(odd, "killed")
		queue.recall()


class TestAnyPickle(unittest.TestCase):
	@settings(
		max_examples=repetitions("odd pickles", 200, long=5000),
		deadline=None,
		suppress_health_check=[HealthCheck.differing_executors],
	)
	@given(st.binary(max_size=200) | PICKLES)
	def test_any_bytes_give_three_short_printable_names(self, data):
		for name in label_and_method(data):
			self.assertTrue(name.isprintable())
			self.assertLess(len(name), 1000)
