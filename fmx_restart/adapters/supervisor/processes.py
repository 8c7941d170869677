"""The programs of this bench that supervisor runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from xmlrpc.client import ProtocolError

from supervisor.states import ProcessStates

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.process_stat import identity_of
from fmx_restart.adapters.supervisor.addresses import SYSTEM_WIDE
from fmx_restart.adapters.supervisor.connection import TIMEOUT, Address, asking, connect
from fmx_restart.adapters.supervisor.orders import Order
from fmx_restart.adapters.supervisor.programs import Program, full_name, kinds_of
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import Process, ProcessKind, ProcessState

LOG_TAIL = 4096  # bytes
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

	def list(self) -> list[Process]:
		with asking("list its programs"):
			infos = {full_name(info): info for info in self._supervisor.getAllProcessInfo()}
			if not infos.keys() <= self._kinds.keys():
				self._learn(infos)
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

	def log_tail(self, name: str) -> str:
		"""Its stderr log, else its stdout log; about 4 kB."""
		with asking(f"show the log of {name}"):
			return self._tail(name, "stderr") or self._tail(name, "stdout")

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

	def _tail(self, name: str, stream: str) -> str:
		ask = getattr(self._supervisor, f"tailProcess{stream.capitalize()}Log")
		try:
			return ask(name, 0, LOG_TAIL)[0]
		except ProtocolError as error:
			if error.errcode != 500:
				raise
			# supervisord fails where the cut falls inside a character; the file itself is ours to read, mostly
			return read_tail(self._supervisor.getProcessInfo(name)[f"{stream}_logfile"])

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


def read_tail(path: str) -> str:
	"""Empty where the log is not ours to read."""
	try:
		with Path(path).open("rb") as log:
			log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
			return log.read(LOG_TAIL).decode(errors="replace")
	except OSError:
		return ""
