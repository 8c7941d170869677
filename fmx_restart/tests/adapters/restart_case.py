"""Whole operations on real RQ workers, through whichever real managers a test has: what their tests have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.discovery import find_managers
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.engine import events
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.ports import Bench, Process, ProcessManagers
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench, InMemoryCode
from fmx_restart.tests.adapters.benches import make_bench, short_folder
from fmx_restart.tests.adapters.redis_server import RedisTestCase
from fmx_restart.tests.adapters.rq_bench import RqBench, runs_key
from fmx_restart.tests.adapters.waiting import eventually


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
		return ProcessManagers(find_managers(str(self.bench), {}))

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

	def runs(self, id: str) -> bytes | None:
		return self.rq.connection.get(runs_key(id))
