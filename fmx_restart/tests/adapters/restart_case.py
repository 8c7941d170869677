"""Whole operations on real RQ workers, through whichever real managers a test has: what their tests have in common."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.discovery import find_managers
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.engine import events
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Bench, Process, ProcessManagers
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench, InMemoryCode
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.load import Load
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench, runs_key
from fmx_restart.tests.adapters.typed_command import type_command
from fmx_restart.tests.adapters.waiting import eventually

Fact = TypeVar("Fact", bound=events.Event)


def port_of(rq: RqBench, bench: Path, managers: ProcessManagers, *, lease: float = 5.0) -> Bench:
	"""
	Queue, fence, process table and managers are real; web, sites and migrations are of the bench in memory. `lease`: seconds, of
	the fence.
	"""
	clock = SystemClock()
	code = InMemoryCode(clock)
	code.takes = code.web_takes = 0.0
	return replace(
		InMemoryBench({}).port(),
		queue=RedisQueue(rq.connection, rq.id, "operation-1"),
		fence=RedisFence(rq.connection, f"fmx_restart:{rq.id}:operation-1", seconds=lease),
		clock=clock,
		host=ThisHost(str(bench)),
		processes=managers,
		code=code,
	)


class RestartCase(RedisTestCase):
	"""Queue, fence, process table and managers are real; web, sites and migrations are none of these tests'."""

	lease = 5.0  # seconds, of the fence

	def setUp(self) -> None:
		super().setUp()
		self.bench = make_bench(short_folder(self) / "bench")
		self.rq = RqBench(self.server, "a-bench", folder=self.bench)
		self.addCleanup(self.rq.stop)
		self.facts: list[events.Event] = []

	def managers(self) -> ProcessManagers:
		return ProcessManagers(find_managers(str(self.bench), self.setting()))

	def registered(self, number: int) -> None:
		eventually(lambda: self.admin.scard("rq:workers") == number, f"{number} workers are registered")

	def note(self, event: events.Event) -> None:
		self.facts.append(event)

	def operation(self, strategy: Strategy, **options: object) -> Operation:
		options = Options(strategy, **{"web": False, **options})
		return operation_for(self.port(self.managers()), options, self.note, "operation-1")

	def port(self, managers: ProcessManagers) -> Bench:
		return port_of(self.rq, self.bench, managers, lease=self.lease)

	def programs(self) -> dict[str, Process]:
		return {process.name: process for process in self.managers().list()}

	def run_busy(self, id: str, queue: str = "short") -> None:
		"""A job that runs until it is let go."""
		self.rq.enqueue(id, queue, kwargs={"waits": True, "counts": True})
		eventually(lambda: self.runs(id) == b"1", "it runs")

	@contextmanager
	def counted_load(self) -> Iterator[Load]:
		"""Jobs come all the time. In the end each of them has run, and once."""
		with Load(lambda id, queue: self.rq.enqueue(id, queue, kwargs={"counts": True})) as load:
			eventually(lambda: any(map(self.runs, load.ids)), "jobs run")
			yield load
		eventually(lambda: all(map(self.runs, load.ids)), "each job has run")
		self.assertEqual(set(map(self.runs, load.ids)), {b"1"})

	def restart_in_turn(self, strategies: Iterable[Strategy]) -> None:
		"""Under load; each replaces every process, and loses no job."""
		before = self.programs()
		with self.counted_load() as load:
			for strategy in strategies:
				report = self.operation(strategy).run()
				self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []), strategy)
				before = self.assert_all_new(before)
		self.assertGreater(len(load.ids), 5)

	def replace_a_busy_one(self) -> None:
		"""Its job is let go when all else is done."""
		self.run_busy("job-1")
		before = self.programs()

		def let_go(event: events.Event) -> None:
			self.facts.append(event)
			if isinstance(event, events.HandedOver):
				self.rq.finish("job-1")

		self.note = let_go
		report = self.operation(Strategy.NO_WAIT_WORKERS).run()
		(handed_over,) = self.told(events.HandedOver)
		self.assertEqual(len(handed_over.processes), 1)
		self.assertEqual((report.outcome, report.account.lost), (Phase.DONE, []))
		self.assertTrue(self.rq.queue("short").fetch_job("job-1").is_finished)
		self.assertEqual(self.runs("job-1"), b"1")
		self.assert_all_new(before)

	def assert_all_new(self, before: Mapping[str, Process]) -> dict[str, Process]:
		"""The same programs as before, each with another process. Returns them."""
		after = self.programs()
		self.assertEqual(sorted(after), sorted(before))
		self.assertFalse([name for name, one in after.items() if one.is_same_as(before[name])])
		return after

	def told(self, kind: type[Fact]) -> list[Fact]:
		"""Facts of this kind, in their order."""
		return [event for event in self.facts if isinstance(event, kind)]

	def setting(self) -> dict:
		"""What common_site_config.json says of managers."""
		return {}

	def command(self, *words: str) -> subprocess.Popen:
		"""As a person types it in the bench."""
		config = {"redis_queue": self.server.url(), "bench_id": self.rq.id, **self.setting()}
		return type_command(self.bench, config, *words)

	def runs(self, id: str) -> bytes | None:
		return self.rq.connection.get(runs_key(id))
