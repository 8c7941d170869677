"""The programs of this bench that supervisor runs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from supervisor.states import ProcessStates

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.process_stat import identity_of
from fmx_restart.adapters.supervisor.addresses import SYSTEM_WIDE
from fmx_restart.adapters.supervisor.connection import TIMEOUT, Address, asking, connect
from fmx_restart.adapters.supervisor.log_text import plain, without_jobs
from fmx_restart.adapters.supervisor.orders import Order
from fmx_restart.adapters.supervisor.programs import Program, full_name, kinds_of
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Process, ProcessKind, ProcessState

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

	def __init__(self, address: Address, bench_path: str, *, timeout: float = TIMEOUT) -> None:
		self.address = address
		self._bench = BenchFolder(bench_path)
		self._server = connect(address, timeout)
		self._supervisor = self._server.supervisor
		self._kinds: dict[str, ProcessKind | None] = {}  # None: not of this bench
		self._programs: dict[str, Program] = {}
		self._logs: dict[str, dict[str, str]] = {}  # program → stream → file
		self._marks: dict[
			str, dict[str, int]
		] = {}  # program → file → its size when the old process had ended

	def list(self) -> list[Process]:
		with asking("list its programs"):
			infos = {full_name(info): info for info in self._supervisor.getAllProcessInfo()}
			if not infos.keys() <= self._kinds.keys():
				self._learn(infos)
			self._logs = {name: logs_in(info) for name, info in infos.items()}
			return [
				to_process(info, kind, self._programs[name])
				for name, info in infos.items()
				if (kind := self._kinds.get(name))
			]

	def stop(self, name: str) -> None:
		self._insist(stop=[name])

	def start(self, name: str) -> None:
		"""Raises ProcessFault while it is still stopping: supervisor would say yes and do nothing."""
		self._insist(start=[name])

	def order(self, *, stop: Collection[str] = (), start: Collection[str] = ()) -> dict[str, ProcessFault]:
		"""One request for all (supervisor's system.multicall), which it answers when the last one is ordered."""
		orders = [Order.stop(name) for name in stop] + [Order.start(name) for name in start]
		if not orders:
			return {}
		try:
			with asking(f"stop or start {', '.join(order.name for order in orders)}"):
				answers = iter(
					self._server.system.multicall([call for order in orders for call in order.calls])
				)
				return {order.name: fault for order in orders if (fault := order.fault(answers))}
		except ProcessFault as fault:
			return dict.fromkeys((order.name for order in orders), fault)

	def mark_log(self, name: str) -> None:
		self._marks[name] = {
			path: size for path in self._logs_of(name).values() if (size := size_of(path)) is not None
		}

	def log_tail(self, name: str) -> str:
		"""Of its stderr log, else of its stdout log; the last 4 kB of what is new."""
		for stream, path in self._logs_of(name).items():
			mark = self._marks.get(name, {}).get(path)
			if mark is not None and (tail := self._tail(name, stream, path, mark)):
				return tail
		return ""

	def start_command(self, names: Collection[str]) -> str:
		"""supervisorctl reads the system-wide files by itself. A login stands in the file that named the address."""
		address, source = self.address, self.address.source
		where = ["-c", source] if address.username and source.startswith("/") else ["-s", address.url]
		return shlex.join(["supervisorctl", *([] if source in SYSTEM_WIDE else where), "start", *names])

	def close(self) -> None:
		"""Hang up. The next call connects again."""
		self._server("close")()

	def _insist(self, **order: list[str]) -> None:
		for fault in self.order(**order).values():
			raise fault

	def _logs_of(self, name: str) -> dict[str, str]:
		"""Stream → file, the more telling one first."""
		if name not in self._logs:
			with asking(f"show the log of {name}"):
				self._logs[name] = logs_in(self._supervisor.getProcessInfo(name))
		return self._logs[name]

	def _tail(self, name: str, stream: str, path: str, mark: int) -> str:
		size = size_of(path)
		begin = mark if size is None or size >= mark else 0  # a smaller one was rotated meanwhile
		offset = max(begin, (size or 0) - LOG_READ)
		text = read_from(path, offset)
		if text is None:
			text = self._read_log(name, stream, offset)
		is_shared = self._is_shared(name, path)
		return without_jobs(plain(text), is_shared=is_shared, is_cut=offset > begin).rstrip()[-LOG_TAIL:]

	def _is_shared(self, name: str, path: str) -> bool:
		return any(path in logs.values() for other, logs in self._logs.items() if other != name)

	def _read_log(self, name: str, stream: str, offset: int) -> str:
		"""From supervisord, where the file is not ours to read. It fails where the cut falls inside a character."""
		ask = getattr(self._supervisor, f"readProcess{stream.capitalize()}Log")
		try:
			with asking(f"show the log of {name}"):
				return ask(name, offset, LOG_READ)
		except ProcessFault:
			return ""

	def _learn(self, infos: Mapping[str, Mapping]) -> None:
		configs = {full_name(config): config for config in self._supervisor.getAllConfigInfo()}
		programs = {name: Program.from_reports(info, configs.get(name, {})) for name, info in infos.items()}
		kinds = kinds_of(programs.values(), self._bench)
		self._programs = programs
		self._kinds = {name: kinds.get(program) for name, program in programs.items()}


def to_process(info: Mapping, kind: ProcessKind, program: Program) -> Process:
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
		detail=(info["spawnerr"] or info["statename"]) if failed else "",
		# not by supervisor's own start time: that is in whole seconds, and moves when the clock is set back
		incarnation=identity_of(info["pid"]) if info["pid"] else "",
	)


def logs_in(info: Mapping) -> dict[str, str]:
	"""Of an entry of getAllProcessInfo: stream → file."""
	found = {stream: info.get(f"{stream}_logfile") or "" for stream in ("stderr", "stdout")}
	return {stream: path for stream, path in found.items() if path.startswith("/")}


def size_of(path: str) -> int | None:
	try:
		return Path(path).stat().st_size
	except OSError:
		return None


def read_from(path: str, offset: int) -> str | None:
	"""None where the log is not ours to read."""
	try:
		with Path(path).open("rb") as log:
			log.seek(offset)
			return log.read(LOG_READ).decode(errors="replace")
	except OSError:
		return None
