"""Redis that goes away, hangs, or drops connections, while workers of this app wait for jobs and run them."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer

from redis.exceptions import ConnectionError, ResponseError
from rq.command import send_shutdown_command
from rq.job import Job

from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.repetitions import repetitions
from fmx_restart.tests.worker.test_worker import WorkerCase
from fmx_restart.tests.worker.worker_bench import BEGUN, note, noted
from fmx_restart.worker.claims import HAS_EXECUTIONS, Claims
from fmx_restart.worker.lossless import Lossless
from fmx_restart.worker.persistent import Beginning

DROPS = repetitions("drops of connections of workers", 60, long=2000)


def raises_as_if_redis_were_away(site: str, method: str, kwargs: dict) -> None:
	note("raises", "begun")
	raise ConnectionError


class TestBeginning(WorkerCase):
	def fetched(self, **given) -> Job:
		self.addCleanup(os.chdir, Path.cwd())
		os.chdir(self.sites)  # as a worker does, for its notes
		self.bench.enqueue_counted("a", **given)
		job = Job.fetch("a", connection=self.admin)
		Beginning(job)
		return job

	def test_a_job_begins_when_redis_is_back(self):
		job = self.fetched(func=noted)
		self.admin.save()
		self.server.stop()
		back = Timer(0.5, self.server.start)
		back.start()
		job.perform()
		back.join()
		self.assertEqual(self.bench.notes("a"), ["begun", "done"])

	def test_a_job_that_began_and_finds_redis_away_is_not_begun_once_more(self):
		job = self.fetched(func=raises_as_if_redis_were_away)
		with self.assertRaises(ConnectionError):
			job.perform()
		self.assertEqual(self.bench.notes("raises"), ["begun"])


class TestCommands(WorkerCase):
	def test_what_a_worker_no_longer_listens_with_keeps_no_connection(self):
		worker = Lossless([self.bench.queue("short")], connection=self.bench.connection)
		worker.subscribe()
		before, thread = worker.pubsub, worker.pubsub_thread
		self.addCleanup(lambda: worker.unsubscribe())
		self.server.stop()
		thread.join(1)  # of RQ 1; RQ 2 comes back by itself
		self.server.start()
		worker.listen_again()
		self.assertTrue(worker.pubsub_thread.is_alive())
		self.assertTrue(thread.is_alive() or before.connection is None)


class TestMaintenance(WorkerCase):
	def test_it_is_done_later_where_redis_does_not_answer(self):
		worker = Lossless([self.bench.queue("short")], connection=self.bench.connection)
		self.server.stop()
		worker.run_maintenance_tasks()
		self.assertTrue(worker.should_run_maintenance_tasks)
		self.server.start()
		worker.run_maintenance_tasks()
		self.assertFalse(worker.should_run_maintenance_tasks)


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

	def test_the_end_of_a_job_is_written_down_when_redis_is_back(self):
		# Given a setting by which a job whose process ended for no reason that is known runs again
		self.bench.set(fmx_restart_killed_jobs="requeue")
		for queue, method in (("short", "works"), ("long", "raises")):
			self.bench.start(queue)
			self.bench.enqueue_counted(method, queue, func=noted, method=method, seconds=1)
		eventually(lambda: self.bench.notes("works") and self.bench.notes("raises"), self.bench.log)
		self.end_redis()
		time.sleep(6)
		self.server.start()
		self.bench.is_done("works")
		eventually(lambda: self.bench.status("raises") == "failed", self.bench.log)
		self.assertIn("ZeroDivisionError", self.reason("raises"))
		self.assertEqual([self.bench.notes(id) for id in ("works", "raises")], [["begun", "done"]] * 2)
		eventually(lambda: not self.bench.claims() and not self.started(), "all is noted")

	def test_a_worker_is_known_again_when_redis_has_lost_its_data(self):
		pid = self.bench.start()
		self.server.stop()
		self.server.start()
		self.admin.flushall()
		eventually(lambda: self.bench.state(pid) == "idle" and self.bench.is_ours(pid), self.bench.log)
		self.bench.enqueue_counted("a")
		self.bench.is_done("a")
		# And it hears commands, which RQ 1 gives up when its connection breaks; RQ 2 is deaf for two seconds
		[name] = self.admin.smembers("rq:workers")

		def is_heard() -> bool:
			send_shutdown_command(self.admin, name.decode().removeprefix("rq:worker:"))
			return self.bench.has_ended(pid)

		eventually(is_heard, self.bench.log)
		self.assertEqual(self.bench.wait(pid), 0)

	def test_a_job_whose_worker_has_no_record_any_more_goes_on(self):
		# Given two workers, one of which has a job; and Redis was away for so long that this one's record expired
		pid, other = self.bench.start(), self.bench.start()
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		if self.bench.state(pid) != "busy":
			pid, other = other, pid
		[name] = self.bench.claims()
		self.admin.delete(f"rq:worker:{name}")
		# When the other one looks for jobs of workers that are gone
		self.bench.enqueue_counted("b")
		self.bench.is_done("b")
		eventually(lambda: self.bench.state(pid) == "busy", f"it has a record again: {self.bench.log}")
		time.sleep(5.5)
		self.bench.finish("a")
		self.bench.is_done("a")
		self.assertEqual(self.bench.count(BEGUN, "a"), 1)

	def test_a_job_that_is_given_once_more_is_listed_as_started_once(self):
		# Given a worker that has taken a job, and has not learnt that RQ listed it as started: RQ 2 lists each attempt
		self.admin.set("rq:suspended", 1)
		self.bench.start()
		[key] = self.admin.smembers("rq:workers")
		claims = Claims(self.admin, self.bench.id, key.decode().removeprefix("rq:worker:"))
		self.bench.enqueue_counted("a")
		self.admin.delete("rq:suspended")
		claims.pop([self.bench.queue("short").key])
		entry = "a:lost" if HAS_EXECUTIONS else "a"
		self.admin.zadd(self.started_key, {entry: self.admin.time()[0] + 90})
		# Then it runs once, and nothing is left that RQ would take for an attempt that broke off
		self.bench.is_done("a")
		eventually(lambda: not self.started() and not self.bench.claims(), self.bench.log)
		self.assertEqual(self.bench.count(BEGUN, "a"), 1)

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
