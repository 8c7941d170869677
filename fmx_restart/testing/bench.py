"""A whole bench in one process: web, code, migrations and settings under a manager, RQ's queues, a clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fmx_restart.engine.ports import (
	Bench,
	CodeFault,
	LiveMessages,
	ProcessKind,
	ProcessManagers,
	ProcessState,
)
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.holds import InMemoryHolds
from fmx_restart.testing.leases import InMemoryFence, InMemoryLease, Slot
from fmx_restart.testing.migrations import InMemoryMigrations
from fmx_restart.testing.pools import SCHEDULER
from fmx_restart.testing.processes import InMemoryHost, InMemoryProcesses, Program
from fmx_restart.testing.queue import InMemoryQueue, InMemoryRequests
from fmx_restart.testing.settings import InMemorySettings
from fmx_restart.testing.web import InMemoryNginx, InMemoryWeb

FENCE_OWNER = "fmx_restart:in-memory:"


class InMemoryBench:
	"""
	`workers`: program name → queues. A worker takes `boot` seconds to register, as a Frappe import does. `lossless`: names of
	those that run a worker of this app. `pools`: names of those that run a pool of this app, and how many workers each has. `has_scheduler`: one of this app, run by the manager.
	"""

	def __init__(
		self,
		workers: Mapping[str, tuple[str, ...]],
		boot: float = 1.5,
		clock: FakeClock | None = None,
		lossless: Collection[str] = (),
		pools: Mapping[str, int] | None = None,
		*,
		has_scheduler: bool = False,
	) -> None:
		self.lossless, self.pools = lossless, pools or {}
		self.clock, self.host = clock or FakeClock(), InMemoryHost()
		self.queue = InMemoryQueue(self.clock, host=self.host)
		self.host.when_killed = self.queue.kill_horse
		self.host.has_unseen_clients = self.queue.has_unseen_clients
		self.host.when_terminated = self._terminate
		self.queue.when_left = self._terminate
		self.queue.when_left_elsewhere = self._leave_elsewhere
		self.holds = InMemoryHolds(self.queue.suspension, "in-memory")
		self.lock_slot, self.requests = Slot(self.queue.server), InMemoryRequests()
		self.migrations, self.settings = InMemoryMigrations(self.clock), InMemorySettings()
		web = Program("web", ProcessKind.WEB, start_takes=boot)
		programs = [Program(name, ProcessKind.WORKER, start_takes=boot) for name in workers]
		schedule = Program("schedule", ProcessKind.SCHEDULER, start_takes=boot)
		schedule.on_start = lambda: self.queue.add_scheduler(schedule.pid or 0)
		schedule.on_stop = lambda: self.queue.stop_pool(SCHEDULER)
		others = [web, schedule] if has_scheduler else [web]
		self.processes = InMemoryProcesses(self.clock, *others, *programs, host=self.host)
		self.managers: dict[str, InMemoryProcesses] = {"": self.processes}
		self.web = InMemoryWeb(self.processes, self.clock)
		self.web.settings = self.settings
		self.nginx = InMemoryNginx(self.clock)
		self.code, self.realtime = InMemoryCode(self.clock), InMemoryRealtime(self.clock)
		self.notices = InMemoryNotices(self.processes)
		if has_scheduler:
			schedule.on_start()
		for program in programs:
			self.as_worker(program, workers[program.name]).on_start()

	def as_worker(self, program: Program, queues: tuple[str, ...]) -> Program:
		"""The same program, which is a worker of these queues from its next start on."""
		program.on_start = lambda: self._register(program, queues)
		program.on_stop = lambda: self._stop(program)
		program.is_at_work = lambda: self.is_at_work(program)
		return program

	def port(self, operation: str = "operation-1") -> Bench:
		"""What the engine gets: one operation's view of the bench."""
		return Bench(
			id="in-memory",
			path="/in-memory",
			queue=self.queue,
			processes=ProcessManagers(self.managers),
			host=self.host,
			web=self.web,
			lock=InMemoryLease(self.clock, self.lock_slot, operation),
			fence=InMemoryFence(self.queue.suspension, FENCE_OWNER + operation, replaces=FENCE_OWNER),
			clock=self.clock,
			migrations=self.migrations,
			settings=self.settings,
			code=self.code,
			realtime=self.realtime,
			notices=self.notices,
			requests=self.requests,
			nginx=self.nginx,
			holds=self.holds,
		)

	def add_host(
		self,
		name: str,
		workers: Mapping[str, tuple[str, ...]],
		boot: float = 1.5,
		lossless: Collection[str] = (),
		*,
		has_web: bool = False,
		replicas: int = 1,
	) -> InMemoryProcesses:
		"""
		Another machine with a process manager and a process table of its own: none of its pids means anything here. Both
		managers go by the names of their machines from then on. `replicas`: of web.
		"""
		host = InMemoryHost(name)
		programs = [Program(worker, ProcessKind.WORKER, start_takes=boot) for worker in workers]
		names = [f"web-{n + 1}" if n else "web" for n in range(replicas)] if has_web else []
		web = [
			Program(it, ProcessKind.WEB, start_takes=boot, group="web", has_replicas=replicas > 1)
			for it in names
		]
		there = InMemoryProcesses(self.clock, *web, *programs, host=host, is_elsewhere=True)
		others = {name: manager for name, manager in self.managers.items() if name}
		self.managers = {**others, self.host.name: self.processes, name: there}
		for program in programs:
			program.is_at_work = lambda program=program: self.queue.is_at_work(
				f"{name}/{worker_name(program)}"
			)
			program.on_start = lambda program=program: self.queue.add_worker(
				f"{name}/{worker_name(program)}",
				program.pid or 0,
				workers[program.name],
				host=name,
				is_unseen=True,
				is_lossless=program.name in lossless,
			)
			program.on_leave = lambda program=program: self._stop_workers(f"{name}/{program.name}@")
			program.on_stop = lambda program=program: self._stop_workers(f"{name}/{program.name}@")
			program.on_start()
		return there

	def _leave_elsewhere(self, host: str, pid: int) -> None:
		for process in self.managers[host].list() if host in self.managers else ():
			if process.pid == pid:
				self.managers[host].end(process.name, ProcessState.EXITED)

	def _terminate(self, pid: int) -> None:
		"""A worker leaves when its job is done; the manager does not bring it back (autorestart=unexpected)."""
		for process in self.processes.list():
			if process.pid == pid:
				program = self.processes[process.name]
				self.queue.stop_pool(worker_name(program))
				if self.worker_of(program) in self.queue.workers:
					self.queue.stop_worker(self.worker_of(program))
				self._leave(program, pid)

	def is_at_work(self, program: Program) -> bool:
		"""A pool is when one of its workers is."""
		members = self.queue.members(worker_name(program))
		return any(self.queue.is_at_work(it.name) for it in members) or self.queue.is_at_work(
			self.worker_of(program)
		)

	def _leave(self, program: Program, pid: int) -> None:
		if self.is_at_work(program):
			self.clock.after(0.05, lambda: self._leave(program, pid))
		elif program.pid == pid:
			self.processes.end(program.name, ProcessState.EXITED)

	def _register(self, program: Program, queues: tuple[str, ...]) -> None:
		if program.name in self.pools:
			self.queue.add_pool(worker_name(program), program.pid or 0, queues, size=self.pools[program.name])
			return
		is_lossless = program.name in self.lossless
		self.queue.add_worker(worker_name(program), program.pid or 0, queues, is_lossless=is_lossless)

	def worker_of(self, program: Program) -> str:
		"""Its worker's name now: another one after each reload."""
		first = worker_name(program)
		return next((name for name in self.queue.workers if name.partition("+")[0] == first), first)

	def _stop(self, program: Program) -> None:
		for name in [name for name in self.queue.pools if name.startswith(f"{program.name}@")]:
			self.queue.stop_pool(name)
		self._stop_workers(f"{program.name}@")

	def _stop_workers(self, prefix: str) -> None:
		for worker in list(self.queue.workers.values()):
			if worker.name.startswith(prefix):
				self.queue.stop_worker(worker.name)


def worker_name(program: Program) -> str:
	"""Another process of a program is another worker."""
	return f"{program.name}@{program.pid}"


class InMemoryCode:
	"""`broken` and `broken_web` are found by the first and the second part of a check, so many seconds after its start."""

	def __init__(self, clock: FakeClock) -> None:
		self.broken: list[CodeFault] = []
		self.broken_web: list[CodeFault] = []
		self.takes, self.web_takes = 0.05, 4.0
		self.no_room = False
		self.checks, self.is_awaited = 0, False
		self._clock = clock
		self._began: float | None = None
		self._is_ended = True

	def start_check(self, *, is_awaited: bool = False) -> None:
		if self.no_room:
			raise OSError("Cannot allocate memory")
		self.checks += 1
		self.is_awaited = is_awaited
		self._began, self._is_ended = self._clock.now(), False

	def faults(self) -> list[CodeFault] | None:
		if self._began is None or not self._is_past(self.takes):
			return None
		return self.broken + (self.broken_web if self._is_past(self.web_takes) else [])

	def is_checked(self) -> bool:
		return self._is_ended or self._is_past(self.web_takes)

	def end_check(self) -> None:
		self._is_ended = True

	def _is_past(self, seconds: float) -> bool:
		return self._began is not None and self._clock.now() - self._began >= seconds


class InMemoryNotices:
	"""What pages of Desk were told, and whether web ran then."""

	def __init__(self, processes: InMemoryProcesses) -> None:
		self.told: list[tuple[str, bool]] = []
		self.refusal = ""
		self._processes = processes

	def pause(self) -> str:
		self._note("pause")
		return self.refusal

	def back(self) -> None:
		self._note("back")

	def _note(self, state: str) -> None:
		self.told.append((state, self._processes["web"].state is ProcessState.RUNNING))


class InMemoryRealtime:
	"""Browsers are back so many seconds after it began to keep messages."""

	def __init__(self, clock: FakeClock) -> None:
		self.outcome, self.takes = LiveMessages(), 1.0
		self.hears_after = float("inf")  # seconds
		self.kept_at: float | None = None
		self.is_open = False
		self.looks: list[float] = []
		self._clock = clock

	def keep(self) -> None:
		self.kept_at, self.is_open = self._clock.now(), True

	def is_settled(self) -> bool:
		self.looks.append(self._clock.now())
		return self.kept_at is None or self._clock.now() - self.kept_at >= self.takes

	def hears_again(self) -> bool:
		return self.kept_at is not None and self._clock.now() - self.kept_at >= self.hears_after

	def result(self) -> LiveMessages:
		return self.outcome

	def end(self) -> None:
		self.is_open = False
