"""A whole bench in one process: web, code, migrations and settings under a manager, RQ's queues, a clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fmx_restart.engine.errors import OperationError, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions
from fmx_restart.engine.ports import (
	Bench,
	CodeFault,
	HostProcess,
	LiveMessages,
	NewWorkers,
	ProcessKind,
	ProcessManagers,
	ProcessState,
	Setting,
	WebFault,
	WebMethod,
	WebWay,
)
from fmx_restart.engine.web_answers import Tally, WebAnswers, never
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.leases import InMemoryFence, InMemoryLease, Slot
from fmx_restart.testing.processes import InMemoryHost, InMemoryProcesses, Program
from fmx_restart.testing.queue import InMemoryQueue, InMemoryRequests

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
		self.managers: dict[str, InMemoryProcesses] = {"": self.processes}
		self.web = InMemoryWeb(self.processes, self.clock)
		self.web.settings = self.settings
		self.nginx = InMemoryNginx(self.clock)
		self.code, self.realtime = InMemoryCode(self.clock), InMemoryRealtime(self.clock)
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
			requests=self.requests,
			nginx=self.nginx,
		)

	def add_host(
		self, name: str, workers: Mapping[str, tuple[str, ...]], boot: float = 1.5
	) -> InMemoryProcesses:
		"""
		Another machine with a process manager and a process table of its own: none of its pids means anything here. Both
		managers go by the names of their machines from then on.
		"""
		host = InMemoryHost(name)
		programs = [Program(worker, ProcessKind.WORKER, start_takes=boot) for worker in workers]
		there = InMemoryProcesses(self.clock, *programs, host=host, is_elsewhere=True)
		self.managers = {self.host.name: self.processes, name: there}
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
			)
			program.on_stop = lambda program=program: self._stop_workers(f"{name}/{program.name}@")
			program.on_start()
		return there

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


class InMemoryRealtime:
	"""Browsers are back so many seconds after it began to keep messages."""

	def __init__(self, clock: FakeClock) -> None:
		self.outcome, self.takes = LiveMessages(), 1.0
		self.kept_at: float | None = None
		self.is_open = False
		self.looks: list[float] = []
		self._clock = clock

	def keep(self) -> None:
		self.kept_at, self.is_open = self._clock.now(), True

	def is_settled(self) -> bool:
		self.looks.append(self._clock.now())
		return self.kept_at is None or self._clock.now() - self.kept_at >= self.takes

	def result(self) -> LiveMessages:
		return self.outcome

	def end(self) -> None:
		self.is_open = False


HANGS = float("inf")


def no_effect() -> None:
	"""What a migration does besides, unless a test says otherwise."""


@dataclass
class Script:
	"""How the migration of one site goes. `seconds` may be HANGS."""

	seconds: float = 5.0
	exit_code: int = 0
	prints: str = ""
	ignores_term: bool = False
	leaves_children: bool = False  # when it ends by itself, processes of it stay
	is_startable: bool = True
	on_start: Callable[[], object] = no_effect


class InMemoryRun:
	def __init__(self, clock: FakeClock, site: str, script: Script) -> None:
		self.log = f"/in-memory/logs/{site}.log"
		self.signals: list[str] = []
		self._clock, self._script, self._began = clock, script, clock.now()
		self._unread = script.prints
		self._ended_by: int | None = None

	def output(self) -> str:
		unread, self._unread = self._unread, ""
		return unread

	def exit_code(self) -> int | None:
		if self._ended_by is not None:
			return self._ended_by
		return self._script.exit_code if self._clock.now() >= self._began + self._script.seconds else None

	def terminate(self) -> None:
		self.signals.append("TERM")
		if not self._script.ignores_term:
			self._end(-15)

	def kill(self) -> None:
		self.signals.append("KILL")
		self._end(-9)

	def is_gone(self) -> bool:
		return self._ended_by is not None or (
			self.exit_code() is not None and not self._script.leaves_children
		)

	def age(self) -> float:
		return 0.0 if self.is_gone() else self._clock.now() - self._began

	def _end(self, code: int) -> None:
		ended_by_itself = self.exit_code()
		self._ended_by = code if ended_by_itself is None else ended_by_itself


class AdoptedInMemoryRun:
	"""As whoever did not start it sees it: no output, no exit code."""

	def __init__(self, run: InMemoryRun) -> None:
		self.log = run.log
		self.terminate, self.kill, self.is_gone, self.age = run.terminate, run.kill, run.is_gone, run.age

	def output(self) -> str:
		return ""

	def exit_code(self) -> int | None:
		return None


@dataclass
class InMemoryMigrations:
	"""`scripts`: site → how it goes; a site that is not named succeeds. `runs` holds what was started."""

	clock: FakeClock
	scripts: dict[str, Script] = field(default_factory=dict)
	backups: dict[str, Script] = field(default_factory=dict)
	findings: list[Finding] = field(default_factory=list)
	runs: dict[str, InMemoryRun] = field(default_factory=dict)

	def inspect(self, site: str, options: MigrationOptions) -> list[Finding]:
		findings = [finding for finding in self.findings if finding.site == site]
		if site in self.runs and not self.runs[site].is_gone():
			findings.append(Finding(site, Gravity.BLOCKS, "another migration of it is under way"))
		return findings

	def start(self, site: str, options: MigrationOptions) -> InMemoryRun:
		return self._start(site, self.scripts.get(site, Script()))

	def start_backup(self, site: str) -> InMemoryRun:
		return self._start(f"{site}-backup", self.backups.get(site, Script(prints="a backup\n")))

	def adopt(self, log: str) -> AdoptedInMemoryRun:
		return AdoptedInMemoryRun(next(run for run in self.runs.values() if run.log == log))

	def backup_file(self, site: str, run: InMemoryRun) -> str | None:
		return f"/in-memory/{site}.sql.gz" if run.exit_code() == 0 else None

	def _start(self, name: str, script: Script) -> InMemoryRun:
		if not script.is_startable:
			raise WrongEnvironment("the command is not there")
		script.on_start()
		self.runs[name] = InMemoryRun(self.clock, name, script)
		return self.runs[name]


class InMemorySettings:
	"""`files`: site → keys and values. `unreadable` and `unwritable` name the sites whose file is damaged."""

	def __init__(self) -> None:
		self.files: dict[str, dict[str, object]] = defaultdict(dict)
		self.unreadable: set[str] = set()
		self.unwritable: set[str] = set()

	def read(self, site: str, key: str) -> Setting:
		if site in self.unreadable:
			raise WrongEnvironment(f"the configuration of {site} cannot be read")
		file = self.files[site]
		return Setting(site, key, file.get(key), key in file)

	def replace(self, old: Setting, new: Setting) -> bool:
		now = self.read(old.site, old.key)
		if not any(is_same(now, setting) for setting in (old, new)):
			return False
		if not is_same(now, new):
			self._write(new)
		return True

	def _write(self, new: Setting) -> None:
		if new.site in self.unwritable:
			raise WrongEnvironment(f"the configuration of {new.site} cannot be written")
		if new.is_present:
			self.files[new.site][new.key] = new.value
		else:
			self.files[new.site].pop(new.key, None)


def is_same(one: Setting, other: Setting) -> bool:
	"""JSON tells 0 from false, Python's == does not."""
	return one == other and type(one.value) is type(other.value)


ADDRESS = "127.0.0.1:8000"
SITE = "one.localhost"
CLOSED = "HTTP 503"
WAITS = "waits"
STRANGER_TEXT = "pid {pid}, a web server of this bench that no process manager runs, listens {how}"


class InMemoryNginx:
	"""`fault`: what its test raises; `refusal`: what the order to reload raises. `reloads`: when it was reloaded."""

	def __init__(self, clock: FakeClock) -> None:
		self.fault: OperationError | None = None
		self.refusal: OperationError | None = None
		self.reloads: list[float] = []
		self._clock = clock

	def test(self) -> None:
		if self.fault:
			raise self.fault

	def reload(self) -> None:
		if self.refusal:
			raise self.refusal
		self.reloads.append(self._clock.now())


WORKERS = 2  # of each web program


class InMemoryWeb:
	"""
	Every web program of `processes` answers while it runs, but for what a test says: `broken` is what is wrong with all
	sites, `sites` what is wrong with single ones (None: nothing), `orphan` listens at the address in place of all
	programs and answers well, `hidden` says why sockets cannot be seen. `named`: sites that someone typed.
	"""

	def __init__(self, processes: InMemoryProcesses, clock: FakeClock) -> None:
		self.broken: str | None = None
		self.sites: dict[str, str | None] = {SITE: None}
		self.named: tuple[str, ...] = ()
		self.orphan: HostProcess | None = None
		self.is_stray = True  # the orphan is a web server of this bench
		self.hidden = ""
		self.web_way = WebWay()
		self.refuses_order = ""  # why an order to linger cannot be given
		self.ordered: list[HostProcess] = []  # masters whose workers were ordered to linger
		self.is_set_up = True  # the next process would take over from old workers
		self.hold_fault = ""  # why requests cannot wait
		self.hands_over = True  # old workers hand over their connections when their master has ended
		self.held: list[HostProcess] = []  # masters from whose end on requests wait
		self.let_go_at: float | None = None
		self.leftovers: list[int] = []  # pids that may still answer while requests are held
		self.new_fault = ""  # what new workers answer with, where old ones linger
		self.address = ADDRESS
		self._processes, self._clock = processes, clock
		self._answered: list[str] = []
		self.settings: InMemorySettings | None = None
		self._tally: Tally | None = None  # while it is measured what users get
		self._watched = ""  # the site for which
		self._told: str | None = None  # what users got at the last look
		self._waits_since: float | None = None
		self._is_ordered: Callable[[str], bool] = never
		processes.when_changed = self._note

	def taken(self, families: Collection[Sequence[HostProcess]]) -> WebFault | None:
		return self._taken()

	def begin(self, family: Sequence[HostProcess], is_ordered: Callable[[str], bool] = never) -> None:
		is_up = self._is_served()
		self._answered = [site for site in self.sites if is_up and self._reason(site) is None]
		site = next(iter([*self._answered, *self.sites]))
		self._tally, self._watched, self._is_ordered = Tally(ADDRESS, site=site), site, is_ordered
		self._told = None
		self._note()

	def restart_begins(self) -> None:
		if self._tally:
			self._tally.restart_begins(self._clock.now())

	def ask_seldom(self) -> None:
		"""Nothing is asked here: whatever changes is known at once."""

	def answers(self) -> tuple[WebAnswers, ...]:
		self._note()
		return (self._tally.answers(self._clock.now()),) if self._tally else ()

	def end(self) -> tuple[WebAnswers, ...]:
		answers, self._tally = self.answers(), None
		return answers

	def fault(self, family: Sequence[HostProcess]) -> WebFault | None:
		if self.hidden:
			return None if self._is_served() else WebFault("connection refused", ADDRESS)
		if fault := self._taken():
			return fault
		if not self._runs(family):
			reason = f"its process (pid {family[0].pid}) does not listen yet" if family else "it does not run"
			return WebFault(reason, ADDRESS, SITE)
		faults = {site: self._reason(site) for site in self._answered or self.sites}
		if None in faults.values():
			return None
		site, reason = next(iter(faults.items()))
		return WebFault(reason or "", ADDRESS, site, is_answer=True)

	def unproved(self, family: Sequence[HostProcess]) -> str:
		return self.hidden

	def way(self, family: Sequence[HostProcess]) -> WebWay:
		return self.web_way

	def order_to_linger(
		self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]
	) -> None:
		if self.refuses_order:
			raise ProcessFault(self.refuses_order)
		self.ordered = [*self.ordered, family[0]]

	def new_workers(self, family: Sequence[HostProcess]) -> NewWorkers | None:
		"""Of a program that took over: up means that all of its workers answer, but for what a test says."""
		old = [*self.ordered, *self.held]
		if not old or not family or family[0] in old:
			return None
		ready = WORKERS if self._runs(family) and not self.new_fault else 0
		return NewWorkers(ready, WORKERS, (self.new_fault,) if self.new_fault else ())

	def lingering(self) -> bool:
		return bool(self.ordered) and (bool(self.new_fault) or not self._all_up())

	def may_be_taken_over(self) -> bool:
		return self.is_set_up

	def end_lingering(self) -> None:
		self.ordered = []

	def way_to_hold(self, family: Sequence[HostProcess]) -> WebWay:
		return WebWay(reason=self.hold_fault) if self.hold_fault else WebWay(WebMethod.HOLD)

	def hold_requests(self, family: Sequence[HostProcess], *, seconds: float, logs: tuple[str, str]) -> None:
		if self.hold_fault:
			raise ProcessFault(self.hold_fault)
		self.held = [*self.held, family[0]]

	def are_requests_held(self) -> bool:
		return self.hands_over or not self.held

	def old_web(self) -> list[int]:
		return self.leftovers

	def let_requests_go(self) -> None:
		if self.held:
			self._note()
			self.held, self.let_go_at = [], self._clock.now()
			self._note()

	def withdraw_orders(self) -> None:
		running = {program.pid for program in self._programs() if is_up(program.state)}
		self.ordered = [master for master in self.ordered if master.pid not in running]

	def broken_sites(self) -> list[WebFault]:
		asked = dict.fromkeys([*self.named, *self._answered])
		return [
			WebFault(reason, ADDRESS, site, is_answer=True)
			for site in asked
			if site in self.sites and (reason := self._reason(site))
		]

	def _reason(self, site: str) -> str | None:
		return self.broken or self.sites[site]

	def _taken(self) -> WebFault | None:
		if self.orphan is None:
			return None
		pid = self.orphan.pid
		return WebFault(
			STRANGER_TEXT.format(pid=pid, how="in its place"),
			ADDRESS,
			is_taken=True,
			is_stray=self.is_stray,
			holder=self.orphan,
			remedy=f"End it: kill {pid} (or bench doctor --fix). Then type bench safe-restart --no-workers.",
		)

	def _runs(self, family: Sequence[HostProcess]) -> bool:
		pids = {process.pid for process in family}
		return any(process.pid in pids and is_up(process.state) for process in self._programs())

	def _is_served(self) -> bool:
		"""By whomever."""
		return self.orphan is not None or bool(self.ordered) or self._all_up()

	def _all_up(self) -> bool:
		return all(is_up(process.state) for process in self._programs())

	def _programs(self) -> tuple[Program, ...]:
		return self._processes.of_kind(ProcessKind.WEB)

	def _note(self) -> None:
		"""A program came up or went down, or may have. Until now users got what they got at the last look."""
		if self._tally is None:
			return
		now, before = self._clock.now(), self._told
		self._told = self._users_get()
		if self._told == WAITS:
			self._waits_since = now if self._waits_since is None else self._waits_since
		elif self._told == "" and self._waits_since is not None:
			self._tally.good(self._waits_since, now)
			self._waits_since = None
		for told in (before, self._told) if before is not None else (self._told,):
			if told == WAITS:
				continue
			if told == "":
				self._tally.good(now, now)
			elif told == CLOSED and self._is_ordered(self._watched):
				self._tally.closed(now)
			else:
				self._tally.failed(now, told)

	def _users_get(self) -> str:
		"""What is wrong with it; empty for a good answer."""
		if not self._is_served():
			return WAITS if self.held and self.hands_over else "connection refused"
		if self.settings and self.settings.files.get(self._watched, {}).get("maintenance_mode"):
			return CLOSED
		return self._reason(self._watched) or ""


def is_up(state: ProcessState) -> bool:
	"""It runs, and does not only start."""
	return state is ProcessState.RUNNING
