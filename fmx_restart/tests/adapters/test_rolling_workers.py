"""Restarts without waiting, of real workers on a real Redis that no process manager runs: they reload in place."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.engine import events, reload
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Membership, Pool, ReloadRecord, Worker, WorkerState
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench, InMemoryCode
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.worker.test_pool import PoolCase
from fmx_restart.tests.worker.test_reload import ReloadCase
from fmx_restart.tests.worker.worker_bench import BEGUN, DONE
from fmx_restart.worker.reload import IN_A_POOL, SWITCHED_OFF
from fmx_restart.worker.requests import requests_key
from fmx_restart.worker.scheduler import record_key

ROLLING = Options(Strategy.ROLLING, web=False)
NO_WAIT = Options(Strategy.NO_WAIT_WORKERS, web=False)


class OperationCase(ReloadCase):
	def setUp(self):
		super().setUp()
		self.queue = RedisQueue(self.bench.connection, self.bench.id, "operation-1")
		self.facts: list[events.Event] = []

	def operation(self, options: Options) -> Operation:
		"""Of a bench whose workers run elsewhere, as far as its own machine tells: in its process table there is none."""
		fence = RedisFence(self.bench.connection, f"fmx_restart:{self.bench.id}:operation-1", seconds=5.0)
		clock = SystemClock()
		code = InMemoryCode(clock)
		code.takes = code.web_takes = 0.0
		port = replace(InMemoryBench({}).port(), queue=self.queue, fence=fence, clock=clock, code=code)
		return operation_for(port, options, self.facts.append, "operation-1")

	def of(self, kind: type) -> list:
		return [fact for fact in self.facts if isinstance(fact, kind)]

	def requests(self) -> dict[bytes, bytes]:
		return self.admin.hgetall(requests_key(self.bench.id))

	@contextmanager
	def load(self) -> Iterator[Load]:
		"""Jobs that are counted, all of which are taken at its end."""
		with Load(lambda id, queue: self.bench.enqueue_counted(id, queue, seconds=0.02)) as load:
			yield load
		waiting = self.bench.waiting
		eventually(lambda: not waiting() + waiting("long"), f"all are done: {self.bench.log}")

	def run_otherwise_than_once(self, load: Load) -> list[str]:
		count = self.bench.count
		eventually(lambda: all(self.bench.status(id) == "finished" for id in load.ids), self.bench.log)
		return [id for id in load.ids if (count(BEGUN, id), count(DONE, id)) != (1, 1)]

	def worker(self, pid: int) -> Worker:
		return next(worker for worker in self.queue.look().workers if worker.pid == pid)


class TestRolling(OperationCase):
	def test_under_load_every_worker_has_new_code_with_its_pid_and_no_job_is_lost_or_begun_twice(self):
		pids = [self.bench.start("short", "long") for _ in range(3)]
		self.write("hooks", "VERSION = 2\n")
		with self.load() as load:
			report = self.operation(ROLLING).run()
		self.assertEqual(self.run_otherwise_than_once(load), [])
		self.assertGreater(len(load.ids), 20)
		self.assertEqual([self.field(pid, "fmx_reloads") for pid in pids], ["1"] * 3)
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		changes = {(it.by, it.old_pid == it.new_pid) for it in report.processes}
		self.assertEqual(
			(changes, {it.old_pid for it in report.processes}), ({(ReplacedBy.RELOAD, True)}, set(pids))
		)
		self.assertEqual(self.tell_version(), b"2")
		self.assertEqual((self.requests(), self.admin.keys("*fmx-park-*")), ({}, []))

	def test_the_first_that_refuses_ends_it_and_all_go_on_with_the_old_code(self):
		pids = [self.bench.start() for _ in range(2)]
		self.write("hooks", "raise KeyError('a password')\n")
		with self.assertRaises(ProcessFault) as raised:
			self.operation(ROLLING).run()
		error = raised.exception
		self.assertIn("its new code cannot be imported: KeyError; it keeps the old code", str(error))
		self.assertEqual((error.exit_code, "password" in f"{error} {error.hint} {self.facts}"), (4, False))
		self.assertEqual([self.field(pid, "fmx_reloads") for pid in pids], ["0", "0"])
		self.assertEqual((len(self.of(events.ReloadAsked)), self.requests()), (1, {}))
		self.assertEqual(self.tell_version(), b"1")

	def test_a_stopped_worker_is_named_and_reloads_at_no_later_time(self):
		pid = self.bench.start()
		self.bench.signal(pid, signal.SIGSTOP)
		with patch.object(reload, "ANSWERS_WITHIN", 3.0), self.assertRaises(ProcessFault) as raised:
			self.operation(ROLLING).run()
		self.assertIn(f"kill -CONT {pid}", raised.exception.hint)
		self.assertIn(f"pid {pid} on ", str(raised.exception))
		self.bench.signal(pid, signal.SIGCONT)
		self.assertEqual(self.tell_version(), b"1")
		time.sleep(1.5)  # longer than between two looks
		self.assertEqual(self.field(pid, "fmx_reloads"), "0")

	def test_one_that_cannot_reload_says_so_in_the_words_that_the_engine_knows(self):
		self.assertEqual(set(reload.CANNOT), {IN_A_POOL, SWITCHED_OFF})
		self.bench.start()
		self.bench.set(fmx_restart_worker=0)
		with self.assertRaisesRegex(ProcessFault, "switched off since it was started"):
			self.operation(ROLLING).run()

	def test_rqs_own_workers_elsewhere_are_named_and_keep_the_old_code(self):
		self.bench.start()
		stock = self.bench.start(kind="stock")
		self.operation(ROLLING).run()
		[fact] = self.of(events.WorkersUnmanaged)
		self.assertEqual([worker.pid for worker in fact.workers], [stock])
		self.assertEqual(len(self.of(events.WorkerReloaded)), 1)


class TestNoWait(OperationCase):
	def test_idle_ones_reload_at_once_and_a_busy_one_when_its_job_ends(self):
		busy, idle = self.bench.start("long"), self.bench.start("short")
		self.bench.enqueue_counted("a", "long", waits=True)
		self.bench.has_begun("a")
		operation = self.operation(NO_WAIT)
		reloads: list[tuple] = []

		def hear(fact: events.Event) -> None:
			if isinstance(fact, events.HandedOver):
				reloads.extend([self.field(busy, "fmx_reloads"), self.field(idle, "fmx_reloads")])
				self.bench.finish("a")

		operation.listen(hear)
		report = operation.run()
		self.assertEqual((reloads, report.outcome), (["0", "1"], Phase.DONE))
		self.assertEqual((self.field(busy, "fmx_reloads"), self.bench.count(BEGUN, "a")), ("1", 1))
		self.assertEqual(self.requests(), {})

	def test_under_load_no_job_is_lost_or_begun_twice(self):
		pids = [self.bench.start("short", "long") for _ in range(3)]
		with self.load() as load:
			self.operation(NO_WAIT).run()
		self.assertEqual(self.run_otherwise_than_once(load), [])
		self.assertEqual([self.field(pid, "fmx_reloads") for pid in pids], ["1"] * 3)


class TestPools(PoolCase, OperationCase):
	def test_under_load_a_pool_and_a_worker_have_new_code_and_no_job_is_lost_or_begun_twice(self):
		parent, before = self.start_pool(2, queues=("short", "long")), self.pids()
		pid = self.bench.start("short", "long")
		self.write("hooks", "VERSION = 2\n")
		with self.load() as load:
			report = self.operation(ROLLING).run()
		self.assertEqual((self.run_otherwise_than_once(load), report.account.lost), ([], []))
		# The same processes, and no worker of the pool is one of before
		changes = {it.old_pid: (it.by, it.new_pid, it.workers, it.former_workers) for it in report.processes}
		by = ReplacedBy.RELOAD
		self.assertEqual(changes, {parent: (by, parent, 2, 0), pid: (by, pid, 0, 0)})
		self.assertEqual((self.answer("fmx_reloads"), self.pids() & before), ("1", set()))
		self.assertEqual((self.of(events.WorkersUnmanaged), self.requests()), ([], {}))
		self.assertEqual(self.tell_version(), b"2")
		# When the next code cannot be imported, the pool keeps what it has, and is named
		self.bench.signal(pid, signal.SIGTERM)
		self.bench.wait(pid)
		self.write("hooks", "raise KeyError('a password')\n")
		with self.assertRaises(ProcessFault) as raised:
			self.operation(ROLLING).run()
		self.assertRegex(
			str(raised.exception), f"pool with pid {parent} on .*imported: KeyError; it keeps the old"
		)
		self.assertEqual((raised.exception.exit_code, self.requests()), (4, {}))
		self.assertEqual((self.tell_version(), self.answer("fmx_reloads")), (b"2", "1"))

	def test_without_waiting_a_job_of_its_worker_is_handed_over(self):
		parent = self.start_pool(1)
		self.bench.enqueue_counted("a", waits=True)
		self.bench.has_begun("a")
		operation, seen = self.operation(NO_WAIT), []

		def hear(fact: events.Event) -> None:
			if isinstance(fact, events.HandedOver):
				seen.append((fact.processes, fact.exit_code, self.answer("fmx_reloads")))
				self.bench.finish("a")

		operation.listen(hear)
		report = operation.run()
		[(names, code, reloads)] = seen
		self.assertEqual((len(names), code, reloads), (1, 0, "1"))
		self.assertIn(f"pool with pid {parent} on ", names[0])
		self.assertEqual((report.outcome, self.bench.count(BEGUN, "a"), self.requests()), (Phase.DONE, 1, {}))

	def test_the_record_says_that_it_tries_new_code_and_stays_known_without_a_worker(self):
		parent = self.start_pool(1)
		[pool] = self.queue.look().pools
		self.assertEqual((pool.pid, pool.queues, pool.size, pool.is_trying), (parent, ("short",), 1, False))
		[worker] = [worker for worker in self.queue.look().workers if worker.membership]
		self.assertEqual((worker.membership, worker.reload), (Membership(pool.name, 0), None))
		self.write("hooks", "import time\ntime.sleep(2)\n")
		self.queue.ask_to_reload([pool])
		eventually(lambda: self.queue.look().pools[0].is_trying, self.bench.log)
		self.queue.withdraw_reloads([pool])
		[after] = eventually(
			lambda: [it for it in self.queue.look().pools if it.reload.times], self.bench.log
		)
		self.assertEqual((after.name, after.reload.process), (pool.name, pool.reload.process))
		self.assertFalse(after.is_trying)
		# Redis loses the record of its worker: the pool is known from before
		self.admin.delete("rq:workers")
		self.assertEqual([it.name for it in self.queue.look().pools], [pool.name])


class TestPort(OperationCase):
	def test_the_record_tells_of_the_same_process_before_and_after(self):
		pid = self.bench.start()
		before = self.worker(pid)
		self.queue.ask_to_reload([before])
		eventually(lambda: self.field(pid, "fmx_reloads") == "1", self.bench.log)
		after = eventually(lambda: self.worker(pid), "it is back")
		self.assertNotEqual(after.name, before.name)
		self.assertEqual((after.reload.process, after.reload.times), (before.reload.process, 1))
		self.assertGreater(after.reload.answered, before.reload.answered)
		other = self.worker(self.bench.start())
		self.assertNotEqual(other.reload.process, after.reload.process)

	def test_a_clock_that_was_set_back_keeps_nobody_from_answering(self):
		pid = self.bench.start()
		worker = self.worker(pid)
		ahead = worker.reload.answered + 3_600_000
		self.queue.ask_to_reload([worker])
		eventually(lambda: self.field(pid, "fmx_reloads") == "1", self.bench.log)
		worker = eventually(lambda: self.worker(pid), "it is back")
		# Given an answer of a time that has not come yet
		self.admin.hset(f"rq:worker:{worker.name}", "fmx_reload_answered", ahead)
		self.queue.ask_to_reload([worker])
		self.assertEqual(int(self.requests()[f"worker:{worker.name}".encode()]), ahead + 1)

	def test_who_cannot_reload_has_no_such_record(self):
		pid = self.bench.start()
		name = self.worker(pid).name
		for fields in ({"fmx_pool": "rq:fmx:pool"}, {"fmx_pool": "", "fmx_reloads": "x"}):
			self.admin.hset(f"rq:worker:{name}", mapping=fields)
			self.assertIsNone(self.worker(pid).reload)
		stock = self.bench.start(kind="stock")
		self.assertIsNone(self.worker(stock).reload)

	def test_while_it_tries_new_code_it_says_that_it_takes_no_job(self):
		pid = self.bench.start()
		self.write("hooks", "import time\ntime.sleep(2)\n")
		self.queue.ask_to_reload([self.worker(pid)])
		eventually(lambda: self.bench.state(pid) == "suspended", self.bench.log)
		self.assertEqual(self.field(pid, "fmx_reloads"), "0")


class TestScheduler(OperationCase):
	def test_it_reloads_once_the_workers_have(self):
		scheduler = self.bench.begin(kind="scheduler")
		key = record_key(self.bench.id)
		eventually(lambda: self.admin.hget(key, "pid"), self.bench.log)
		self.bench.start()
		self.operation(ROLLING).run()
		[fact] = self.of(events.SchedulerAsked)
		self.assertIn(f"pid {scheduler} on ", fact.process)
		eventually(lambda: self.admin.hget(key, "fmx_reloads") == b"1", self.bench.log)

	def test_one_that_looks_between_two_ticks_says_so_and_is_asked_as_workers_are(self):
		pid = self.bench.begin(kind="scheduler", tick=60)
		scheduler = eventually(lambda: self.queue.look().scheduler, self.bench.log)
		self.assertEqual((scheduler.pid, scheduler.reload.times, scheduler.is_trying), (pid, 0, False))
		self.write("hooks", "import time\ntime.sleep(1)\n")
		self.queue.ask_to_reload([scheduler])
		eventually(lambda: self.queue.look().scheduler.is_trying, self.bench.log)
		self.queue.withdraw_reloads([scheduler])
		after = eventually(
			lambda: (it := self.queue.look().scheduler) and it.reload.times and it, self.bench.log
		)
		self.assertEqual((after.pid, after.reload.process), (pid, scheduler.reload.process))
		self.assertEqual((after.is_trying, self.requests()), (False, {}))

	def test_where_there_is_none_of_this_app_nobody_is_asked(self):
		self.assertEqual((self.queue.ask_scheduler_to_reload(), self.requests()), ("", {}))


class TestOfUser(ReloadCase):
	def test_frappes_redis_user_may_ask_and_withdraw(self):
		user = self.bench.id
		self.server.add_bench_user(user)
		queue = RedisQueue(self.server.connection(user), self.bench.id, "operation-1")
		worker = Worker("a", "host", 7, ("short",), WorkerState.IDLE, None, 0.0, 0.0)
		both = [worker, Pool("b", "host", 8, ("short",), 2, ReloadRecord("8"))]
		self.assertEqual(queue.look().pools, ())
		queue.ask_to_reload(both)
		self.assertEqual(set(self.admin.hkeys(requests_key(self.bench.id))), {b"worker:a", b"pool:b"})
		queue.withdraw_reloads(both)
		self.assertEqual(self.admin.exists(requests_key(self.bench.id)), 0)
