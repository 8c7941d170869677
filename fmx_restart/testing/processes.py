"""A process table and a process manager that exist only in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import count

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.ports import (
	HostProcess,
	Likeness,
	LogTail,
	ManagerSettings,
	Process,
	ProcessKind,
	ProcessState,
	Stays,
	Worker,
)
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.configuration import InMemoryConfiguration


def ignore_kill(_pid: int) -> None:
	"""What follows from a kill, unless a bench says otherwise."""


@dataclass(frozen=True)
class Entry:
	process: HostProcess
	parent: int | None
	is_horse: bool
	likeness: Likeness
	title: str


class InMemoryHost:
	def __init__(self, name: str = "host-1") -> None:
		self.name, self.machine = name, Machine(name, name, f"boot-of-{name}")
		self.processors = 64
		self.booting: set[int] = set()  # pids
		self.killed: list[int] = []
		self.when_killed: Callable[[int], object] = ignore_kill  # what a test's bench makes of it
		self.when_terminated: Callable[[int], object] = ignore_kill
		self.has_unseen_clients: Callable[[], bool] = lambda: False
		self._entries: dict[int, Entry] = {}
		self._identities = count(1)

	def add(
		self,
		pid: int,
		*,
		parent: int | None = None,
		is_horse: bool = False,
		likeness: Likeness = Likeness.WORKER,
		title: str = "",
	) -> HostProcess:
		"""
		A process is born. A horse is one that runs this bench's jobs: it is an orphan once its worker is gone. `likeness`:
		what its command says. `title`: the worker that its title names.
		"""
		process = HostProcess(pid, f"#{next(self._identities)}")
		self._entries[pid] = Entry(process, parent, is_horse, likeness, title)
		return process

	def remove(self, pid: int) -> None:
		"""A process ends; its children live on as orphans. One that ended already is fine."""
		self._entries.pop(pid, None)

	def me(self) -> HostProcess:
		return HostProcess(1, "#0")

	def process(self, pid: int) -> HostProcess | None:
		return self._entries[pid].process if pid in self._entries else None

	def head(self, pid: int, heads: Collection[int]) -> int | None:
		return next((one for one in self._line(pid) if one in heads), None)

	def likeness(self, process: HostProcess, worker: Worker) -> Likeness:
		entry = self._entries.get(process.pid)
		if entry is None or entry.process != process:
			return Likeness.NONE
		if entry.title:
			return Likeness.NAMED if entry.title == worker.name else Likeness.NONE
		return entry.likeness

	def knows_all_clients(self, address: str) -> bool:
		return not self.has_unseen_clients()

	def family(self, *pids: int) -> list[HostProcess]:
		below = [
			entry.process
			for entry in self._entries.values()
			if self.head(entry.process.pid, pids) is not None
		]
		return sorted(below, key=lambda process: process.pid not in pids)

	def horses(self, pid: int) -> list[HostProcess]:
		below = (process for process in self.family(pid) if process.pid != pid)
		return [process for process in below if self._entries[process.pid].is_horse]

	def alive(self, processes: Iterable[HostProcess]) -> list[HostProcess]:
		now = {pid: entry.process.identity for pid, entry in self._entries.items()}
		return [
			process
			for process in processes
			if process.identity in ("", now.get(process.pid)) and process.pid in now
		]

	def is_runnable(self, pid: int) -> bool:
		return pid in self._entries and pid in self.booting

	def terminate(self, process: HostProcess) -> None:
		if process.identity and self.alive([process]):
			self.when_terminated(process.pid)

	def end(self, processes: Iterable[HostProcess]) -> None:
		for process in self.alive(process for process in processes if process.identity):
			self.remove(process.pid)
			self.killed.append(process.pid)
			self.when_killed(process.pid)

	def orphan_horses(self, managed: Collection[int]) -> list[HostProcess]:
		elders = set().union(*(self._line(pid) for pid in managed))
		return [
			entry.process
			for pid, entry in self._entries.items()
			if entry.is_horse and pid not in elders and set(managed).isdisjoint(self._line(pid))
		]

	def _line(self, pid: int | None) -> list[int]:
		"""The process and its ancestors, as far as they are alive."""
		line = []
		while pid in self._entries:
			line.append(pid)
			pid = self._entries[pid].parent
		return line


RETRY = 1.0  # seconds between two attempts to start a program
WARM = 0.05  # seconds between two looks at whether a program that was told to stop is still at work
UP = {ProcessState.STARTING, ProcessState.RUNNING}


def at_rest() -> bool:
	"""In the place of a state change: nothing happens."""
	return False


def nothing() -> None:
	"""What happens besides, unless a test says otherwise."""


@dataclass
class Program:
	"""One program and how it behaves. Change a field at any time; the next order follows it."""

	name: str
	kind: ProcessKind = ProcessKind.OTHER
	group: str = ""  # empty: it is alone in its own
	stop_takes: float = 0.0  # seconds from the order to the end
	start_takes: float = 0.0  # seconds from the order until it counts as running
	refuses_to_stop: bool = False
	crashes_at_start: bool = False
	ends_leftovers: bool = False  # as in Process
	keeps_sockets: bool = False
	has_replicas: bool = False
	rolls_out: bool = False
	gap: str = ""
	is_alone: bool = False  # in a container with a host name of its own, from its start on
	attempts: int = 1  # how often the manager tries, a second apart, until it gives up
	log: str = ""  # what it writes at each start
	written: str = ""
	log_mark: int | None = None  # how much was written when its old process had ended
	on_start: Callable[[], object] = nothing
	on_stop: Callable[[], object] = nothing
	stays: Stays | None = None  # as in Process: the manager refuses every order
	#: as in Process; one that does not stay starts anew by itself when it is told to stop
	ends_all: bool = False
	on_leave: Callable[[], object] = nothing  # it was told to end when its job has
	is_at_work: Callable[[], bool] = at_rest  # it ends only when this is over, as a busy worker does
	state: ProcessState = ProcessState.RUNNING
	pid: int | None = None
	started: float | None = None  # seconds since the epoch
	detail: str = ""


class InMemoryProcesses:
	"""All programs are running at first. `orders` holds every order as ("stop", name) or ("start", name). It answers unless `is_away`."""

	def __init__(
		self,
		clock: FakeClock,
		*programs: Program,
		host: InMemoryHost | None = None,
		is_elsewhere: bool = False,
	) -> None:
		self.orders: list[tuple[str, str]] = []
		self._clock = clock
		self._host = host or InMemoryHost()
		self._is_elsewhere = is_elsewhere
		self.is_away = False
		self.lags = 0.0  # seconds by which what it tells is old, as where nodes report to a server
		self._told: list[tuple[float, list[Process]]] = []  # what it would have told, and when
		self.forbids: ProcessFault | None = None  # why nobody may order it anything
		self._pids = count(1001)
		self._programs = {program.name: program for program in programs}
		self.when_changed: Callable[[], object] = nothing  # a program came up or went down
		self.configuration = InMemoryConfiguration(self)
		for program in programs:
			if program.state in UP:
				self._spawn(program)

	@property
	def host_name(self) -> str:
		"""As in Process."""
		return self._host.name if self._is_elsewhere else ""

	def __getitem__(self, name: str) -> Program:
		"""The program itself, for tests that change how it behaves."""
		return self._programs[name]

	def put_group(self, group: str, programs: Iterable[Program]) -> None:
		"""In place of the programs that the group has, none of which runs. It starts them."""
		others = {name: it for name, it in self._programs.items() if (it.group or it.name) != group}
		self._programs = {**others, **{program.name: program for program in programs}}
		for program in programs:
			self._spawn_again(program)

	def of_kind(self, kind: ProcessKind) -> tuple[Program, ...]:
		"""For other twins: whether the manager answers or not."""
		return tuple(program for program in self._programs.values() if program.kind is kind)

	def list(self) -> list[Process]:
		self._answer()
		now, current = self._clock.now(), self._as_they_are()
		if not self.lags:
			return current
		self._told.append((now, current))
		old_enough = [it for it in self._told if it[0] <= now - self.lags] or self._told[:1]
		self._told = [old_enough[-1], *(it for it in self._told if it[0] > now - self.lags)]
		return old_enough[-1][1]

	def _as_they_are(self) -> list[Process]:
		return [
			Process(
				program.name,
				program.kind,
				program.state,
				program.pid,
				program.started,
				program.detail,
				incarnation=self._incarnation(program),
				group=program.group or program.name,
				ends_leftovers=program.ends_leftovers,
				keeps_sockets=program.keeps_sockets,
				has_replicas=program.has_replicas,
				rolls_out=program.rolls_out,
				gap=program.gap,
				alone_since=program.started if program.is_alone else None,
				dies_with_job=program.is_alone,
				host=self.host_name,
				stays=program.stays,
				ends_all=program.ends_all,
			)
			for program in self._programs.values()
		]

	def stop(self, name: str) -> None:
		"""Its process is down `stop_takes` seconds later, unless it refuses."""
		program = self._named(name)
		if program.stays:
			raise ProcessFault(f"{name} cannot be stopped: {program.stays.reason}")
		self.orders.append(("stop", name))
		if program.ends_all:
			self._host.remove(program.pid or 0)
			self._spawn_again(program)
			return
		if program.state is ProcessState.RETRYING:
			program.state = ProcessState.STOPPED
		if program.state not in UP:  # one that failed stays so: there is nothing to stop
			return
		program.state = ProcessState.STOPPING
		self.when_changed()
		if not program.refuses_to_stop:
			self._later(program.stop_takes, program, lambda: self._end_at_rest(program))

	def start(self, name: str) -> None:
		program = self._named(name)
		self.orders.append(("start", name))
		if program.state is ProcessState.STOPPING:
			raise ProcessFault(f"{name} cannot be started: it is still stopping")
		if program.state in {*UP, ProcessState.RETRYING}:
			return
		program.detail = ""
		self._spawn_again(program)

	def restart(self, name: str) -> None:
		"""Its successor is there `start_takes` seconds later, and only then it ends; it stays where that crashes."""
		program = self._named(name)
		self.orders.append(("restart", name))
		program.state = ProcessState.STOPPING
		self._later(program.start_takes, program, lambda: self._roll_out(program))

	def _roll_out(self, program: Program) -> None:
		if program.crashes_at_start:
			program.state, program.detail = ProcessState.FAILED, "it crashes at its start"
			return
		self._end(program, ProcessState.EXITED)
		self._spawn_again(program)

	def leave(self, name: str) -> None:
		"""A TERM: its process ends when it is not at work any more, however long that takes."""
		program = self._named(name)
		self.orders.append(("leave", name))
		if program.state in UP:
			program.on_leave()
			self._leave(program, program.pid)

	def _leave(self, program: Program, pid: int | None) -> None:
		if program.pid == pid and program.is_at_work():
			self._clock.after(WARM, lambda: self._leave(program, pid))
		elif program.pid == pid:
			self._end(program, ProcessState.EXITED)

	def order(
		self,
		*,
		stop: Collection[str] = (),
		start: Collection[str] = (),
		leave: Collection[str] = (),
		restart: Collection[str] = (),
	) -> dict[str, ProcessFault]:
		if self.is_away:
			return {name: ProcessFault("it did not answer") for name in (*stop, *start, *leave, *restart)}
		faults, ways = {}, (self.stop, self.start, self.leave, self.restart)
		for order, names in zip(ways, (stop, start, leave, restart), strict=True):
			for name in names:
				try:
					order(name)
				except ProcessFault as fault:
					faults[name] = fault
		return faults

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		faults = {}
		for name in names:
			try:
				if self._named(name).pid:
					self.orders.append(("kill", name))
					self._end(self._named(name), ProcessState.STOPPED, "")
			except ProcessFault as fault:
				faults[name] = fault
		return faults

	def check_orders(self, names: Collection[str]) -> None:
		if self.forbids:
			raise self.forbids

	def settings(self) -> ManagerSettings:
		pids = {program.pid for program in self._programs.values() if program.pid}
		return ManagerSettings((), frozenset(pids))

	def status_command(self) -> str:
		return "in-memory status"

	def setup_command(self) -> str:
		return "in-memory setup"

	def start_command(self, names: Collection[str]) -> str:
		return f"in-memory start {' '.join(names)}"

	def mark_log(self, name: str) -> None:
		program = self._named(name)
		program.log_mark = len(program.written)

	def log_tail(self, name: str) -> str:
		program = self._named(name)
		return "" if program.log_mark is None else program.written[program.log_mark :]

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		lines = self._named(name).written.splitlines()
		return [LogTail(f"{name}.log", tuple(lines[-count:]), is_cut=len(lines) > count)]

	def log_files(self, name: str) -> tuple[str, str]:
		return "", ""

	def end(self, name: str, state: ProcessState = ProcessState.STOPPED, detail: str = "") -> None:
		"""It ends without an order: killed from outside, crashed (FAILED) or done (EXITED)."""
		self._end(self._named(name), state, detail)

	def _answer(self) -> None:
		if self.is_away:
			raise ProcessFault("it did not answer")

	def _incarnation(self, program: Program) -> str:
		process = self._host.process(program.pid) if program.pid else None
		return process.identity if process else ""

	def _named(self, name: str) -> Program:
		if name not in self._programs:
			raise ProcessFault(f"there is no program {name}")
		return self._programs[name]

	def _spawn(self, program: Program) -> None:
		program.pid = next(self._pids)
		program.written += program.log
		program.started = float(int(self._clock.time()))  # managers keep whole seconds
		likeness = Likeness.WORKER if program.kind is ProcessKind.WORKER else Likeness.BENCH
		self._host.add(program.pid, likeness=likeness)
		if program.state is ProcessState.STARTING:
			self._host.booting.add(program.pid)

	def _finish_start(self, program: Program) -> None:
		self._host.booting.discard(program.pid)
		if program.crashes_at_start:
			self._crash(program)
			return
		program.state = ProcessState.RUNNING
		self.when_changed()
		program.on_start()

	def _crash(self, program: Program) -> None:
		program.attempts -= 1
		state = ProcessState.RETRYING if program.attempts > 0 else ProcessState.FAILED
		self._end(program, state, "Exited too quickly (process log may have details)")
		if state is ProcessState.RETRYING:
			self._later(RETRY, program, lambda: self._spawn_again(program))

	def _spawn_again(self, program: Program) -> None:
		program.state = ProcessState.STARTING
		self._spawn(program)
		self._later(program.start_takes, program, lambda: self._finish_start(program))

	def _end_at_rest(self, program: Program) -> None:
		if program.is_at_work():
			self._later(WARM, program, lambda: self._end_at_rest(program))
		else:
			self._end(program, ProcessState.STOPPED)

	def _end(self, program: Program, state: ProcessState, detail: str = "") -> None:
		if program.pid is not None:
			self._host.remove(program.pid)
		program.state, program.pid, program.detail = state, None, detail
		self.when_changed()
		program.on_stop()

	def _later(self, seconds: float, program: Program, action: Callable[[], object]) -> None:
		"""Do it in so many seconds, unless the process has changed by then. At once for zero seconds."""
		pid, state = program.pid, program.state
		if seconds <= 0:
			action()
		else:
			self._clock.after(seconds, lambda: (program.pid, program.state) == (pid, state) and action())
