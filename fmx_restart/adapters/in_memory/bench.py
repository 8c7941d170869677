"""A whole bench in one process: web, scheduler and workers under a manager, RQ's queues, a clock."""

from __future__ import annotations

from collections.abc import Mapping

from fmx_restart.adapters.in_memory.clock import FakeClock
from fmx_restart.adapters.in_memory.code import InMemoryCode
from fmx_restart.adapters.in_memory.fence import InMemoryFence
from fmx_restart.adapters.in_memory.host import InMemoryHost
from fmx_restart.adapters.in_memory.lease import InMemoryLease, Slot
from fmx_restart.adapters.in_memory.migrations import InMemoryMigrations
from fmx_restart.adapters.in_memory.processes import InMemoryProcesses, Program
from fmx_restart.adapters.in_memory.queue import InMemoryQueue
from fmx_restart.adapters.in_memory.requests import InMemoryRequests
from fmx_restart.adapters.in_memory.settings import InMemorySettings
from fmx_restart.adapters.in_memory.web import InMemoryWeb
from fmx_restart.engine.ports import Bench, ProcessKind, ProcessState

FENCE_OWNER = "fmx_restart:in-memory:"


class InMemoryBench:
	"""`workers`: program name → queues. A worker takes `boot` seconds to register, as a Frappe import does."""

	def __init__(
		self, workers: Mapping[str, tuple[str, ...]], boot: float = 1.5, clock: FakeClock | None = None
	) -> None:
		self.clock, self.host = clock or FakeClock(), InMemoryHost()
		self.queue = InMemoryQueue(self.clock, host=self.host)
		self.host.when_killed = self.queue.kill_horse
		self.host.has_unseen_clients = self.queue.has_unseen_clients
		self.host.when_terminated = self._terminate
		self.queue.when_left = self._terminate
		self.lock_slot, self.requests = Slot(self.queue.server), InMemoryRequests()
		self.migrations, self.settings = InMemoryMigrations(self.clock), InMemorySettings()
		web = Program("web", ProcessKind.WEB, start_takes=boot)
		programs = [Program(name, ProcessKind.WORKER, start_takes=boot) for name in workers]
		self.processes = InMemoryProcesses(self.clock, web, *programs, host=self.host)
		self.web = InMemoryWeb(self.processes, self.clock)
		self.code = InMemoryCode(self.clock)
		for program in programs:
			program.on_start = lambda program=program: self._register(program, workers[program.name])
			program.on_stop = lambda program=program: self._stop(program)
			program.is_at_work = lambda program=program: self.queue.is_at_work(worker_name(program))
			program.on_start()

	def port(self, operation: str = "operation-1") -> Bench:
		"""What the engine gets: one operation's view of the bench."""
		return Bench(
			id="in-memory",
			path="/in-memory",
			queue=self.queue,
			processes=self.processes,
			host=self.host,
			web=self.web,
			lock=InMemoryLease(self.clock, self.lock_slot, operation),
			fence=InMemoryFence(self.queue.suspension, FENCE_OWNER + operation, replaces=FENCE_OWNER),
			clock=self.clock,
			migrations=self.migrations,
			settings=self.settings,
			code=self.code,
			requests=self.requests,
		)

	def _terminate(self, pid: int) -> None:
		"""A worker leaves when its job is done; the manager does not bring it back (autorestart=unexpected)."""
		for process in self.processes.list():
			if process.pid == pid:
				program = self.processes[process.name]
				if worker_name(program) in self.queue.workers:
					self.queue.stop_worker(worker_name(program))
				self._leave(program, pid)

	def _leave(self, program: Program, pid: int) -> None:
		if self.queue.is_at_work(worker_name(program)):
			self.clock.after(0.05, lambda: self._leave(program, pid))
		elif program.pid == pid:
			self.processes.end(program.name, ProcessState.EXITED)

	def _register(self, program: Program, queues: tuple[str, ...]) -> None:
		self.queue.add_worker(worker_name(program), program.pid or 0, queues)

	def _stop(self, program: Program) -> None:
		for worker in list(self.queue.workers.values()):
			if worker.name.startswith(f"{program.name}@"):
				self.queue.stop_worker(worker.name)


def worker_name(program: Program) -> str:
	return f"{program.name}@{program.pid}"
