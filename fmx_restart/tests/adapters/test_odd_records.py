"""What other programs wrote into Redis, and RQ never would: it ends nothing, and what stands beside it is read exactly."""

from __future__ import annotations

import pickle
import pickletools
import zlib

from rq import registry

from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.inventory import lost_jobs
from fmx_restart.adapters.redis_queue.jobs import failed_counts, label, newest_failed
from fmx_restart.adapters.redis_queue.keys import HAS_EXECUTIONS, QUEUES, WORKERS
from fmx_restart.adapters.redis_queue.look import survey
from fmx_restart.engine.ledger import Place
from fmx_restart.engine.ports import WorkerState
from fmx_restart.tests.adapters.ghosts import Ghosts
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench

ODD_ID = b"caf\xe9\x00\xff"
ODD_NAME = "caf\udce9\x00\udcff"


class OddRecordsTestCase(Ghosts, RedisTestCase):
	def setUp(self):
		super().setUp()
		self.bench = RqBench(self.server)
		self.addCleanup(self.bench.stop)
		self.queue = RedisQueue(self.server.connection(), self.bench.id, "operation-1")
		self.short = self.bench.queue("short")
		self.bench.enqueue("good")

	def named(self) -> list[tuple[str, str]]:
		"""Kind and name of what could not be read."""
		return [(record.kind, record.name) for record in self.queue.unreadable().named]

	def job_hash(self, id: str | bytes, **fields) -> None:
		key = b"rq:job:" + (id.encode() if isinstance(id, str) else id)
		self.admin.hset(key, mapping={"status": "queued", "origin": self.short.name, **fields})

	def member(self, id: bytes) -> bytes:
		return id + b":execution" if HAS_EXECUTIONS else id


class TestJobs(OddRecordsTestCase):
	def test_a_time_that_is_none_of_rqs_is_unknown(self):
		for value in ("yesterday", "2026-13-01T00:00:00Z", "None", b"\xff", "99999999999"):
			with self.subTest(value=value):
				self.job_hash("odd", enqueued_at=value, started_at=value)
				self.assertEqual(self.unlisted(["good"]), {"odd": 0.0})
				self.assertIsNone(self.queue.describe(["odd"])["odd"].started)
		self.assertEqual(self.named(), [("job", "odd")])

	def test_a_key_of_another_application_that_is_no_utf8_is_passed_over(self):
		self.admin.set(b"rq:job:" + ODD_ID, "theirs")
		self.assertEqual(self.unlisted([]).keys(), {"good"})
		self.assertEqual(self.named(), [("job", r"caf\xe9\x00\xff")])

	def test_sets_that_rq_itself_keeps_beside_a_job_are_not_odd(self):
		self.admin.sadd("rq:job:good:dependents", "x")
		self.admin.sadd("rq:job:good:dependencies", "x")
		self.assertEqual(self.unlisted([]).keys(), {"good"})
		self.assertEqual(self.queue.unreadable().count, 0)

	def test_an_id_that_is_no_utf8_is_counted_and_put_back_as_it_was(self):
		# Given such a job, first in its queue and then lost
		self.job_hash(ODD_ID, enqueued_at="2026-01-01T00:00:00.000000Z")
		self.admin.rpush(self.short.key, ODD_ID)
		self.assertEqual(
			self.queue.inventory().places.as_dict(), {"good": Place.WAITING, ODD_NAME: Place.WAITING}
		)
		self.admin.lrem(self.short.key, 0, ODD_ID)
		# Then everything knows it by one name, which is its own
		self.assertEqual(self.unlisted(["good"]).keys(), {ODD_NAME})
		self.assertEqual(self.queue.statuses([ODD_NAME]), {ODD_NAME: "queued"})
		self.assertEqual(self.queue.describe([ODD_NAME])[ODD_NAME].queue, "short")
		self.assertEqual(
			[job.id for job in lost_jobs(self.admin, self.bench.id, most_keys=99)[0]], [ODD_NAME]
		)
		self.assertEqual(self.put_back([ODD_NAME]), [ODD_NAME])
		self.assertEqual(self.admin.lrange(self.short.key, 0, -1), [ODD_ID, b"good"])

	def test_a_limit_that_is_no_number_is_no_known_limit(self):
		for value in ("None", "nan", "inf", "-inf", "1h", "1e999", "", b"\xff"):
			with self.subTest(value=value):
				self.job_hash("odd", timeout=value)
				self.assertIsNone(self.queue.describe(["odd"])["odd"].timeout)
		self.assertEqual(self.named(), [("job", "odd")])

	def test_a_started_job_of_which_nothing_can_be_read_is_still_there_to_be_waited_for(self):
		# Given two entries of the started registry, one whose key is no hash, one that says next to nothing
		self.admin.set("rq:job:odd", "theirs")
		self.admin.hset("rq:job:bare", "started_at", "now")
		for id in (b"odd", b"bare"):
			self.admin.zadd(f"rq:wip:{self.short.name}", {self.member(id): 2e9})
		self.admin.sadd(QUEUES, self.short.key)
		# Then each is told, and described as unknown
		self.assertEqual({job.id for job in self.queue.look().started}, {"odd", "bare"})
		self.assertEqual({job.method for job in self.queue.describe(["odd", "bare"]).values()}, {"unknown"})
		self.assertEqual(set(self.queue.describe(["gone"])), set())

	def test_every_id_that_is_asked_for_has_a_status(self):
		self.admin.set("rq:job:odd", "theirs")
		self.assertEqual(
			self.queue.statuses(["odd", "gone", "good"]), {"odd": None, "gone": None, "good": "queued"}
		)

	def test_what_is_no_list_is_empty_and_nothing_is_put_back_where_a_job_may_be_in_it(self):
		# Given a registry whose key another program uses, and a job that stands in no list which can be read
		self.admin.set(registry.FailedJobRegistry.key_template.format(self.short.name), "theirs")
		self.job_hash("odd")
		self.assertEqual(self.queue.inventory().places.as_dict(), {"good": Place.WAITING})
		self.assertEqual(self.named(), [("list of a queue", "short (failed)")])
		self.assertEqual(self.unlisted(["good"]), {})
		self.assertEqual(self.put_back(["odd"]), [])
		self.assertEqual(lost_jobs(self.admin, self.bench.id, most_keys=99)[0], [])

	def test_the_readers_of_ended_jobs_pass_over_what_is_no_list(self):
		for kind in (registry.FailedJobRegistry, registry.FinishedJobRegistry):
			self.admin.set(kind.key_template.format(self.short.name), "theirs")
		self.assertEqual(newest_failed(self.admin, self.bench.id, ["short"], 5), [])
		self.assertEqual(failed_counts(self.admin, self.bench.id, ["short"]), {"short": 0})
		self.assertEqual(self.queue.usual_durations(["app.work"]), {})

	def test_a_survey_counts_what_it_can(self):
		self.job_hash(ODD_ID, enqueued_at="yesterday", data="none")
		self.admin.set("rq:job:odd", "theirs")
		self.admin.rpush(self.short.key, ODD_ID, "odd")
		self.admin.set(registry.FailedJobRegistry.key_template.format(self.short.name), "theirs")
		self.admin.set(self.bench.queue("long").key, "theirs")
		long, short = survey(self.admin, self.bench.id, ["long", "short"])
		self.assertEqual((short.pending, short.sample, short.failed, long.pending), (3, 3, 0, 0))
		self.assertEqual(
			{method.name: method.jobs for method in short.methods}, {"app.tasks.work": 1, "unknown": 2}
		)

	def test_a_million_odd_records_make_a_number_and_a_few_names(self):
		for number in range(12_000):
			self.queue.odd.note("job", f"job-{number}", "odd")
			self.queue.odd.note("job", f"job-{number}", "odd in another way")
		told = self.queue.unreadable()
		self.assertEqual((told.count, told.is_more, len(told.named)), (10_000, True, 20))

	def test_a_name_is_told_in_one_short_line(self):
		self.queue.odd.note("job", "a\x1b[31m\n" + "b" * 1000, "odd")
		[record] = self.queue.unreadable().named
		self.assertEqual(record.name[:16], r"a\x1b[31m\nbbbbb")
		self.assertLess(len(record.name), 220)


class TestWorkers(OddRecordsTestCase):
	def seen(self, **fields):
		self.admin.delete("rq:worker:odd")
		worker = self.bench.register("short", name="odd")
		self.admin.hset(worker.key, mapping=fields)
		[found] = self.queue.look().workers
		return found

	def test_a_birth_and_a_heartbeat_that_are_no_times_are_unknown(self):
		worker = self.seen(birth="long ago", last_heartbeat="just now")
		self.assertEqual((worker.born, worker.heartbeat), (0.0, 0.0))
		self.assertEqual(self.named(), [("worker", "odd")])

	def test_a_pid_that_no_process_can_have_is_unknown(self):
		for value in ("none", "-1", "0", "99999999999999999999", "1.5", b"\xff", ""):
			with self.subTest(value=value):
				self.assertEqual(self.seen(pid=value).pid, 0)

	def test_fields_of_any_bytes_are_told_one_from_the_other(self):
		worker = self.seen(hostname=b"a\x00b\xff", current_job=b"x\xffy", state="busy", pid="12")
		self.assertEqual((worker.host, worker.job_id, worker.pid), ("a?b\udcff", "x\udcffy", 12))
		self.assertIs(worker.state, WorkerState.BUSY)

	def test_a_record_that_says_only_when_it_beat_is_named(self):
		"""RQ writes it back when a worker beats once more after its record was deleted."""
		self.admin.sadd(WORKERS, "rq:worker:beating")
		self.admin.hset("rq:worker:beating", "last_heartbeat", "2026-01-01T00:00:00.000000Z")
		self.assertEqual(self.queue.look().workers, ())
		self.assertEqual(self.named(), [("worker", "beating")])

	def test_records_that_are_no_hashes_hide_no_worker(self):
		self.bench.register("short", name="good")
		self.admin.sadd(WORKERS, "rq:worker:odd", b"\xff")
		self.admin.set("rq:worker:odd", "theirs")
		self.assertEqual([worker.name for worker in self.queue.look().workers], ["good"])
		self.assertEqual(self.named(), [("worker", "odd")])

	def test_a_worker_that_was_seen_and_whose_record_became_odd_is_still_told(self):
		worker = self.bench.register("short", name="good")
		self.queue.look()
		self.admin.delete(worker.key)
		self.admin.set(worker.key, "theirs")
		[found] = self.queue.look().workers
		self.assertEqual((found.name, found.is_recorded), ("good", False))

	def test_a_suspension_of_an_odd_kind_is_one(self):
		"""RQ asks only whether the key is there."""
		self.admin.lpush("rq:suspended", "1")
		self.assertTrue(self.queue.look().suspension)

	def test_queues_that_are_no_lists_are_empty(self):
		self.admin.set(self.bench.queue("long").key, "theirs")
		self.admin.set(f"rq:wip:{self.short.name}", "theirs")
		self.admin.sadd(QUEUES, self.bench.queue("long").key)
		look = self.queue.look()
		self.assertEqual((look.depths, look.started), ({"short": 1, "long": 0}, ()))
		self.assertEqual(set(self.named()), {("queue", "long"), ("registry of started jobs", "short")})


class TestKilledJobs(OddRecordsTestCase):
	REASON = "killed by bench safe-restart"

	def fail_and_requeue(self) -> list[str]:
		self.queue.fail(["odd", "good"], self.REASON)
		return self.queue.requeue(["odd", "good"], self.REASON)

	def test_odd_fields_of_one_keep_none_from_going_back(self):
		self.admin.hset("rq:job:odd", mapping={**self.admin.hgetall("rq:job:good"), "timeout": "None"})
		self.admin.hset(
			"rq:job:odd",
			mapping={"failure_ttl": "for ever", "ttl": "-1", "meta": b"\x80", "status": "started"},
		)
		self.admin.delete(self.short.key)
		self.assertEqual(self.fail_and_requeue(), ["odd", "good"])
		self.assertEqual(self.admin.lrange(self.short.key, 0, -1), [b"odd", b"good"])

	def test_one_whose_results_are_odd_is_failed_and_stays_so(self):
		self.job_hash("odd", status="started")
		self.admin.set("rq:results:odd", "theirs")
		self.admin.delete(self.short.key)
		self.assertEqual(self.fail_and_requeue(), ["good"])
		self.assertEqual(self.queue.statuses(["odd", "good"]), {"odd": "failed", "good": "queued"})

	def test_one_whose_queue_is_no_list_stays_failed_and_an_odd_registry_hinders_none(self):
		for name in ("rq:failed:{}:short", "rq:queue:{}:short"):
			self.setUp()
			self.admin.set(name.format(self.bench.id), "odd")
			self.queue.fail(["good"], self.REASON)
			went = self.queue.requeue(["good"], self.REASON)
			self.assertEqual(went, ["good"] if "failed" in name else [])
			self.assertEqual(self.queue.statuses(["good"]), {"good": "queued" if went else "failed"})

	def test_one_without_a_queue_is_failed_and_goes_nowhere(self):
		self.admin.hset("rq:job:odd", "status", "started")
		self.admin.delete(self.short.key)
		self.assertEqual(self.fail_and_requeue(), ["good"])
		self.assertEqual(self.queue.statuses(["odd"]), {"odd": "failed"})

	def test_nothing_that_a_job_carries_is_built(self):
		"""RQ's own Job.fetch_many would build its meta."""
		self.job_hash("odd", status="started", meta=pickle.dumps(Opens()), data=pickle.dumps(Opens()))
		self.queue.fail(["odd"], self.REASON)
		self.assertEqual(Opens.opened, 0)
		pickle.loads(pickle.dumps(Opens()))
		self.assertEqual(Opens.opened, 1)

	def test_a_recorded_failure_that_would_fill_the_memory_is_not_read_to_its_end(self):
		from base64 import b64encode

		self.job_hash("odd", status="started")
		bomb = b64encode(zlib.compress(b"x" * 50_000_000))
		self.admin.xadd("rq:results:odd", {"type": "2", "exc_string": bomb})
		self.queue.fail(["odd"], self.REASON)
		self.assertEqual(self.queue.requeue(["odd"], self.REASON), ["odd"])


class Opens:
	opened = 0

	def __reduce__(self):
		return Opens.open, ()

	@staticmethod
	def open() -> None:
		Opens.opened += 1


class TestPickles(RedisTestCase):
	def test_a_name_is_a_text_and_never_what_a_structure_would_look_like(self):
		# Given 26 tuples, each twice in the next one: as text it would take a gigabyte
		nested: object = ("method",)
		for _ in range(26):
			nested = (nested, nested)
		data = pickle.dumps(("f", None, (), {"site": nested, "method": nested}))
		self.assertLess(len(data), 400)
		self.assertEqual(label(data), ("unknown", "unknown"))

	def test_such_a_structure_as_a_key_takes_no_time(self):
		# Given it as the key of a mapping, whose hash would be computed for 2**60 parts
		key = b"K\x01\x85" + b"2\x86" * 60
		data = (
			b"\x80\x04(X\x01\x00\x00\x00fN)}"
			+ key
			+ b"K\x01s}X\x06\x00\x00\x00methodX\x01\x00\x00\x00ms"
			+ b"t."
		)
		pickletools.dis(data, out=Nowhere())
		self.assertEqual(label(data), ("unknown", "unknown"))

	def test_a_memo_of_any_size_takes_no_memory(self):
		"""The interpreter's own unpickler makes room for every index below."""
		kwargs = pickle.dumps({"method": "app.work"}, protocol=2)[2:-1]
		data = b"\x80\x02(X\x01\x00\x00\x00fNr\xff\xff\xff\x7f)" + kwargs + b"t."
		self.assertEqual(label(data), ("unknown", "app.work"))

	def test_names_are_short_and_printable(self):
		for name in ("x" * 35_000_000, "app\x1b[2J\nwork", "a\udcff"):
			data = zlib.compress(pickle.dumps(("f", None, (), {"site": name, "method": name}), protocol=5))
			site, method = label(data)
			self.assertLess(len(site), 1000)
			self.assertTrue(site.isprintable() and method.isprintable(), site)

	def test_the_site_and_the_method_of_a_job_with_large_arguments_are_told(self):
		rows = [{"name": f"row-{number}", "amount": number} for number in range(200_000)]
		kwargs = {"site": "one.localhost", "method": "app.work", "kwargs": {"rows": rows}}
		data = zlib.compress(pickle.dumps(("f", None, (), kwargs)))
		self.assertEqual(label(data), ("one.localhost", "app.work"))

	def test_what_takes_many_steps_takes_a_moment(self):
		from time import perf_counter

		data = zlib.compress(b"\x80\x04" + b"(" * 5_000_000 + b".")
		began = perf_counter()
		self.assertEqual(label(data), ("unknown", "unknown"))
		self.assertLess(perf_counter() - began, 1.0)


class Nowhere:
	def write(self, text: str) -> None: ...
