"""The bench's programs under supervisor: stop and start orders, their states, and their logs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from xmlrpc.client import Fault

from supervisor.states import ProcessStates
from supervisor.xmlrpc import Faults

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.log_end import MOST, last_lines, size_of
from fmx_restart.adapters.log_text import plain, without_jobs
from fmx_restart.adapters.managers.kind import Where
from fmx_restart.adapters.managers.orders import faults_of
from fmx_restart.adapters.managers.programs import Program, kinds_of
from fmx_restart.adapters.managers.supervisor.configuration import read_settings
from fmx_restart.adapters.managers.supervisor.connection import SYSTEM_WIDE, TIMEOUT, Address, asking, connect
from fmx_restart.adapters.managers.supervisor.place import Place, as_seen, host_of
from fmx_restart.adapters.managers.supervisor.programs import full_name, is_one_program, program_of
from fmx_restart.adapters.managers.supervisor.sudo import (
	SudoServer,
	Supervisorctl,
	allowed,
	not_allowed,
	not_safe,
)
from fmx_restart.adapters.managers.supervisor.update import SupervisorConfiguration, call
from fmx_restart.adapters.process_table import identity_of, user_name
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import LogTail, ManagerSettings, Process, ProcessKind, ProcessState


@frozen
class Order:
	"""`calls` as system.multicall takes them; they are answered in their order."""

	name: str
	verb: str
	calls: tuple[Mapping, ...]
	fine: frozenset[int]  # faults that mean there was nothing to do

	@classmethod
	def stop(cls, name: str) -> Order:
		"""An order that does not wait for the stop. A program that is not running is no error."""
		return cls(name, "stop", (call("stopProcess", name, False),), frozenset({Faults.NOT_RUNNING}))

	@classmethod
	def start(cls, name: str) -> Order:
		"""Asks for the state before: while a program is stopping, supervisor says yes and does nothing."""
		calls = (call("getProcessInfo", name), call("startProcess", name, False))
		# SPAWN_ERROR comes only when the crash is quick enough; the state tells it in either case
		return cls(name, "start", calls, frozenset({Faults.ALREADY_STARTED, Faults.SPAWN_ERROR}))

	@classmethod
	def leave(cls, name: str) -> Order:
		"""A signal past supervisor's own stop, which would kill what has not ended in time."""
		return cls(name, "end", (call("signalProcess", name, "TERM"),), frozenset({Faults.NOT_RUNNING}))

	def fault(self, answers: Iterator[object]) -> ProcessFault | None:
		"""Takes the answers to its own calls from `answers`."""
		ours = [next(answers) for _ in self.calls]
		try:
			for answer in ours:
				self._check(answer)
		except ProcessFault as fault:
			return fault
		return None

	def _check(self, answer: object) -> None:
		if not isinstance(answer, Mapping):
			return
		with asking(f"{self.verb} {self.name}", fine=self.fine):
			if "faultCode" in answer:
				raise Fault(answer["faultCode"], answer["faultString"])
			if answer["state"] == ProcessStates.STOPPING:
				raise ProcessFault(f"{self.name} cannot be started: it is still stopping")


LOG_READ = 65536  # bytes of a log that are looked at
LOG_TAIL = 4096  # characters of it that are shown
STATES = {
	ProcessStates.STOPPED: ProcessState.STOPPED,
	ProcessStates.STARTING: ProcessState.STARTING,
	ProcessStates.RUNNING: ProcessState.RUNNING,
	ProcessStates.BACKOFF: ProcessState.RETRYING,
	ProcessStates.STOPPING: ProcessState.STOPPING,
	ProcessStates.EXITED: ProcessState.EXITED,
	ProcessStates.FATAL: ProcessState.FAILED,
	ProcessStates.UNKNOWN: ProcessState.FAILED,
}


class SupervisorProcesses:
	"""
	One connection, for one thread. Whoever cannot be sure that supervisord is there uses discovery.py:
	here every refusal is a ProcessFault.
	"""

	def __init__(
		self, address: Address, bench_path: str, *, timeout: float = TIMEOUT, host: str = ""
	) -> None:
		"""`host`: the name of its machine, where that is not this one; that of the address where nobody tells."""
		self.address, self.host = address, host or host_of(address)
		self._bench = BenchFolder(bench_path)
		self.timeout = timeout
		self._server = connect(address, timeout)
		self.supervisor = self._server.supervisor
		self.configuration = SupervisorConfiguration(self, self._bench)
		self._sudo: Supervisorctl | None = None  # where sudo is what lets us ask
		self._may_ask_sudo = True
		self._place = Place(self._server)
		self.is_here = True  # by its last answer: on this machine, in our pid namespace
		self._kinds: dict[str, ProcessKind | None] = {}  # None: not of this bench
		self._programs: dict[str, Program] = {}
		self._logs: dict[str, dict[str, str]] = {}  # program → stream → file
		#: program → file → its size when the old process had ended
		self._marks: dict[str, dict[str, int]] = {}

	@property
	def where(self) -> Where:
		"""A socket says nothing of the machine behind it: its path stands for the host then."""
		host = "" if self.is_here else self.host
		return Where(self.address.url, self.address.source, host, self.address.username or "")

	def list(self) -> list[Process]:
		try:
			return self._list()
		except ProcessFault as fault:
			if not (isinstance(fault.__cause__, PermissionError) and self._take_sudo()):
				raise
		return self._list()

	def _take_sudo(self) -> bool:
		"""Whether it lets us do without the socket. Asked once: its rules are read by a process each time."""
		control, may_ask = None, self._may_ask_sudo
		self._may_ask_sudo = False
		with suppress(OSError):  # it does not answer either
			control = allowed(self.address) if may_ask else None
		if control is None:
			return False
		self._sudo, self._server = control, SudoServer(control, self.timeout)
		self.supervisor, self._place = self._server.supervisor, Place(self._server)
		return True

	def _list(self) -> list[Process]:
		with asking("list its programs"):
			infos = {full_name(info): info for info in self.supervisor.getAllProcessInfo()}
			self.is_here = self._place.is_here(infos.values())
			if not infos.keys() <= self._kinds.keys():
				self._learn({name: as_seen(info, is_here=self.is_here) for name, info in infos.items()})
			self._logs = {name: logs_in(info) for name, info in infos.items()}
			host = "" if self.is_here else self.host
			return [
				to_process(info, kind, self._programs[name], host)
				for name, info in infos.items()
				if (kind := self._kinds.get(name))
			]

	def order(
		self, *, stop: Collection[str] = (), start: Collection[str] = (), leave: Collection[str] = ()
	) -> dict[str, ProcessFault]:
		"""
		One request for all (supervisor's system.multicall), which it answers when the last one is ordered. A start while
		the program is still stopping is a fault: supervisor would say yes and do nothing.
		"""
		orders = [*map(Order.stop, stop), *map(Order.start, start), *map(Order.leave, leave)]
		if not orders:
			return {}
		try:
			with asking(f"stop or start {', '.join(order.name for order in orders)}"):
				answers = iter(self.multicall(call for order in orders for call in order.calls))
				return {order.name: fault for order in orders if (fault := order.fault(answers))}
		except ProcessFault as fault:
			return dict.fromkeys((order.name for order in orders), fault)

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""One that was told to stop stays down then."""

		def kill(name: str) -> None:
			with asking(f"kill {name}", fine=frozenset({Faults.NOT_RUNNING})):
				self.supervisor.signalProcess(name, "SIGKILL")

		return faults_of((name, kill) for name in names)

	def check_orders(self, names: Collection[str]) -> None:
		"""Whoever may ask supervisord may order it, too; sudo may allow one and not the other."""
		if self._sudo is None:
			return
		if several := next((name for name in sorted(names) if not is_one_program(name)), ""):
			raise ProcessFault(
				f"{several} cannot be ordered by sudo: supervisorctl takes that name for several programs",
				hint="Rename it in supervisor's configuration, or let this user use supervisord's socket.",
			)
		orders = self._sudo.orders_for(sorted(names))
		with asking("show its rules"):
			lacking = self._sudo.refusals(orders)
		if lacking != []:
			raise not_allowed(lacking or orders, self._rule())

	def check_updates(self, groups: Collection[str]) -> None:
		"""As check_orders, for what takes over what changed of these groups."""
		if self._sudo is None:
			return
		orders = self._sudo.orders_to_update(sorted(groups))
		with asking("show its rules"):
			lacking = self._sudo.refusals(orders)
		if lacking == []:
			return
		if self._sudo.files_are_roots():
			raise not_allowed(lacking or orders, self._rule())
		raise not_safe(lacking or orders, self._sudo.config, self.command("update", *sorted(groups)))

	def _rule(self) -> str:
		"""For all programs of this bench, those that run and those that the files name."""
		configs = self.supervisor.getAllConfigInfo()
		written = [program_of({**config, "pid": 0}, config) for config in configs]
		names = {program.name for program in kinds_of(written, self._bench)}
		names |= {name for name, kind in self._kinds.items() if kind}
		return self._sudo.rule(user_name(os.geteuid()), names)

	def mark_log(self, name: str) -> None:
		self._marks[name] = {
			path: size
			for stream, path in self._logs_of(name).items()
			if (size := self._size_of(name, stream, path)) is not None
		}

	def log_tail(self, name: str) -> str:
		"""Of its stderr log, else of its stdout log; the last 4 kB of what is new."""
		for stream, path in self._logs_of(name).items():
			mark = self._marks.get(name, {}).get(path)
			if mark is not None and (tail := self._tail(name, stream, path, mark)):
				return tail
		return ""

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		"""Of its stderr log and of its stdout log, which may be the same file."""
		streams: dict[str, str] = {}
		for stream, path in self._logs_of(name).items():
			streams.setdefault(path, stream)
		return [self._end_of(name, stream, path, count) for path, stream in streams.items()]

	def log_files(self, name: str) -> tuple[str, str]:
		logs = self._logs_of(name)
		out = logs.get("stdout", "")
		return out, logs.get("stderr", out)

	def start_command(self, names: Collection[str]) -> str:
		return self.command("start", *names)

	def status_command(self) -> str:
		return self.command("status")

	def setup_command(self) -> str:
		return "bench setup supervisor"

	def settings(self) -> ManagerSettings:
		server = SudoServer(self._sudo, self.timeout) if self._sudo else None
		return read_settings(self.address, self._bench.path, server=server)

	def command(self, *words: str) -> str:
		"""supervisorctl reads the system-wide files by itself. A login stands in the file that named the address."""
		if self._sudo:
			return shlex.join(self._sudo.typed(*words))
		address, source = self.address, self.address.source
		where = ["-s", address.url]
		if address.username:
			where = (
				["-c", source]
				if source.startswith("/")
				else [*where, "-u", address.username, "-p", "PASSWORD"]
			)
		return shlex.join(["supervisorctl", *([] if source in SYSTEM_WIDE else where), *words])

	def multicall(self, calls: Iterable[Mapping]) -> list[object]:
		"""Their answers, in their order. A fault is a mapping with a faultCode. Raises what the connection raises."""
		return self._server.system.multicall(list(calls))

	def forget_programs(self) -> None:
		"""Those of a group that was updated run other commands, under the same names."""
		self._kinds, self._programs = {}, {}

	def fingerprint(self) -> tuple[int, frozenset[tuple]]:
		"""What tells whether two addresses are of one supervisord: its pid, and what it runs. Raises ProcessFault."""
		with asking("list its programs"):
			pid, infos = self.supervisor.getPID(), self.supervisor.getAllProcessInfo()
			return pid, frozenset((full_name(it), it["pid"], it["start"]) for it in infos if it["pid"])

	def wait_for(self, seconds: float | None = None) -> None:
		"""For each answer from now on, on another connection; None: as long as at first."""
		self._server("transport").wait_for(self.timeout if seconds is None else seconds)
		self.close()

	def close(self) -> None:
		"""Hang up. The next call connects again."""
		self._server("close")()

	def _logs_of(self, name: str) -> dict[str, str]:
		"""Stream → file, the more telling one first."""
		if name not in self._logs:
			with asking(f"show the log of {name}"):
				self._logs[name] = logs_in(self.supervisor.getProcessInfo(name))
		return self._logs[name]

	def _tail(self, name: str, stream: str, path: str, mark: int) -> str:
		size = self._size_of(name, stream, path)
		begin = mark if size is None or size >= mark else 0  # a smaller one was rotated meanwhile
		offset = max(begin, (size or 0) - LOG_READ)
		text = read_from(path, offset) if self.is_here else None
		if text is None:
			text = self._read_log(name, stream, offset)
		is_shared = self._is_shared(name, path)
		return without_jobs(plain(text), is_shared=is_shared, is_cut=offset > begin).rstrip()[-LOG_TAIL:]

	def _end_of(self, name: str, stream: str, path: str, count: int) -> LogTail:
		"""From supervisord, where the file is not ours to read, or another machine's."""
		if not self.is_here:
			return self._told_end_of(name, stream, path, count)
		try:
			lines = last_lines(path, count + 1)
			is_cut = len(lines) > count or (size_of(path) or 0) > MOST
			return LogTail(path, tuple(map(plain, lines[-count:])), is_cut=is_cut)
		except PermissionError as error:
			return self._told_end_of(name, stream, path, count, error.strerror)
		except OSError as error:
			return LogTail(path, (), error.strerror)

	def _told_end_of(self, name: str, stream: str, path: str, count: int, fault: str = "") -> LogTail:
		text = self._read_log(name, stream, -LOG_READ, 0)
		return LogTail(path, tuple(plain(text).splitlines()[-count:]), "" if text else fault)

	def _size_of(self, name: str, stream: str, path: str) -> int | None:
		"""Bytes of a log, on whichever machine it is; None where it cannot be looked at."""
		if self.is_here:
			return size_of(path)
		ask = getattr(self.supervisor, f"tailProcess{stream.capitalize()}Log")
		with suppress(ProcessFault), asking(f"show the log of {name}"):
			return ask(name, 0, 0)[1]
		return None

	def _is_shared(self, name: str, path: str) -> bool:
		return any(path in logs.values() for other, logs in self._logs.items() if other != name)

	def _read_log(self, name: str, stream: str, offset: int, length: int = LOG_READ) -> str:
		"""From supervisord, where the file is not ours to read. It fails where the cut falls inside a character."""
		ask = getattr(self.supervisor, f"readProcess{stream.capitalize()}Log")
		try:
			with asking(f"show the log of {name}"):
				return ask(name, offset, length)
		except ProcessFault:
			return ""

	def _learn(self, infos: Mapping[str, Mapping]) -> None:
		configs = {full_name(config): config for config in self.supervisor.getAllConfigInfo()}
		programs = {name: program_of(info, configs.get(name, {})) for name, info in infos.items()}
		kinds = kinds_of(programs.values(), self._bench)
		self._programs = programs
		self._kinds = {name: kinds.get(program) for name, program in programs.items()}


def to_process(info: Mapping, kind: ProcessKind, program: Program, host: str = "") -> Process:
	"""
	A program as supervisord reports it. An exit with a code that is not among its `exitcodes` counts as failed. `host`: as
	in Process.
	"""
	state = STATES.get(info["state"], ProcessState.FAILED)
	if state is ProcessState.EXITED and info["exitstatus"] not in program.exitcodes:
		state = ProcessState.FAILED
	failed = state in (ProcessState.FAILED, ProcessState.RETRYING)
	return Process(
		name=program.name,
		kind=kind,
		state=state,
		pid=info["pid"] or None,
		started=float(info["start"]) or None,
		group=program.group,
		detail=(info["spawnerr"] or info["statename"]) if failed else "",
		incarnation=incarnation_of(info, host) if info["pid"] else "",
		host=host,
	)


def incarnation_of(info: Mapping, host: str) -> str:
	"""On this machine not by supervisor's own start time: that is in whole seconds, and moves when the clock is set back."""
	return f"{info['pid']}@{info['start']}" if host else identity_of(info["pid"])


def logs_in(info: Mapping) -> dict[str, str]:
	"""Of an entry of getAllProcessInfo: stream → file."""
	paths = {stream: info.get(f"{stream}_logfile") or "" for stream in ("stderr", "stdout")}
	return {stream: path for stream, path in paths.items() if path.startswith("/")}


def read_from(path: str, offset: int) -> str | None:
	"""None where the log is not ours to read."""
	try:
		with Path(path).open("rb") as log:
			log.seek(offset)
			return log.read(LOG_READ).decode(errors="replace")
	except OSError:
		return None
