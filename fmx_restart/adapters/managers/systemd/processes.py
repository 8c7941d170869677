"""The bench's programs under systemd, each a unit: stop and start orders, their states, and their logs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.managers.kind import Where
from fmx_restart.adapters.managers.names import SYSTEMD
from fmx_restart.adapters.managers.orders import naming_what_is_down
from fmx_restart.adapters.managers.programs import Program, kinds_of
from fmx_restart.adapters.managers.systemd.logs import Outputs, UnitLogs
from fmx_restart.adapters.managers.systemd.permission import Permission
from fmx_restart.adapters.managers.systemd.states import detail_of, main_pid, state_of
from fmx_restart.adapters.managers.systemd.systemctl import Systemctl, runtime_folder
from fmx_restart.adapters.managers.systemd.units import command_of, folder_of, has_socket, seconds
from fmx_restart.adapters.process_kinds import kind_of, running_trace
from fmx_restart.adapters.process_table import identity_of, read_stat
from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.ports import (
	LogTail,
	ManagerSettings,
	Process,
	ProcessKind,
	ProcessState,
	ProgramSettings,
)

EVERY = "*.service"  # that is loaded
PROPERTIES = (
	*("Id", "LoadState", "ActiveState", "SubState", "Result", "Job", "PartOf"),
	*("MainPID", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestampMonotonic"),
	*("ExecStart", "WorkingDirectory", "StandardOutput", "StandardError"),
	*("FragmentPath", "DropInPaths"),
	*("KillMode", "KillSignal", "TimeoutStopUSec", "Restart", "TriggeredBy"),
)
FAILED = (ProcessState.FAILED, ProcessState.RETRYING)
DOWN = (ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED)
#: systemd's TERM reaches the process of a running job as soon as the unit is told to stop
REACHES_JOBS = ("control-group",)
#: When the main process has ended, systemd ends what is left of the unit
ENDS_LEFTOVERS = ("control-group", "mixed")
RESTARTS = {"always": "true", "no": "false"}


class SystemdProcesses:
	"""`source`: who named it. One unit is one program."""

	def __init__(self, systemctl: Systemctl, bench_path: str, source: str) -> None:
		self.systemctl, self._source = systemctl, source
		self._bench = BenchFolder(bench_path)
		self._permission = Permission(systemctl)
		self._logs = UnitLogs(systemctl)
		self._kinds: dict[str, ProcessKind | None] = {}  # None: not of this bench
		self._answers: dict[str, Mapping[str, str]] = {}  # of the bench's units, by the last look
		self._told: dict[str, str] = {}  # unit → the last order of ours

	@property
	def where(self) -> Where:
		"""Its private socket, as systemctl finds it."""
		folder = runtime_folder() if self.systemctl.is_users else "/run"
		return Where(f"unix://{folder}/systemd/private", self._source)

	def list(self) -> list[Process]:
		with naming_what_is_down(self._told, self.start_command):
			self._look()
		return [self._process(name, answer) for name, answer in self._answers.items()]

	def order(self, *, stop: Collection[str] = (), start: Collection[str] = ()) -> dict[str, ProcessFault]:
		"""A start while the unit is still stopping is a fault: it would wait, and nobody would know of it."""
		if not (stop or start):
			return {}
		try:
			self._look()
			known = {name: self._state(name, answer) for name, answer in self._answers.items()}
			faults = {name: unknown(name) for name in (*stop, *start) if name not in known}
			to_stop = [name for name in stop if name in known and known[name] not in DOWN]
			to_start = [name for name in start if name in known]
			faults |= {
				name: still_stopping(name) for name in to_start if known[name] is ProcessState.STOPPING
			}
			self._told |= {**dict.fromkeys(to_stop, "stop"), **dict.fromkeys(to_start, "start")}
			failed = [name for name in to_start if known[name] is ProcessState.FAILED]
			to_start = [name for name in to_start if known[name] in DOWN]
			self._permission.forget_failures(failed)
			return {
				**faults,
				**self._permission.order("stop", to_stop),
				**self._permission.order("start", to_start),
			}
		except ProcessFault as fault:
			return dict.fromkeys((*stop, *start), fault)

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""All of them are on this machine."""
		return {}

	def check_orders(self, names: Collection[str]) -> None:
		self._permission.check(
			names, running=[n for n in names if self._answers.get(n, {}).get("SubState") == "running"]
		)

	def settings(self) -> ManagerSettings:
		"""Also of units that are not the bench's: their processes are none that have lost their parent."""
		answers = self.systemctl.show([EVERY], (*PROPERTIES, "ControlPID"))
		self._look()
		pids = {
			whole_number(answer.get(name)) or 0 for answer in answers for name in ("MainPID", "ControlPID")
		}
		parents = {stat.parent for pid in pids if pid and (stat := read_stat(pid))}
		return ManagerSettings(
			tuple(self._settings_of(name, answer) for name, answer in self._answers.items()),
			frozenset((pids | parents) - {0}),
		)

	def mark_log(self, name: str) -> None:
		self._logs.mark(name, self._outputs(name))

	def log_tail(self, name: str) -> str:
		outputs = self._outputs(name)
		others = (Outputs.of(answer) for other, answer in self._answers.items() if other != name)
		shared = {place for one in others for place in one.places if place.startswith("/")}
		tail = self._logs.tail(name, outputs, shared)
		is_down = self._state(name, self._answers[name]) in FAILED
		return tail or (self._logs.words_of_systemd(name) if is_down else "")

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		return list(self._logs.tails(name, self._outputs(name), count))

	def log_files(self, name: str) -> tuple[str, str]:
		with suppress(ProcessFault):
			outputs = self._outputs(name)
			return tuple(place if place.startswith("/") else "" for place in (outputs.out, outputs.err))
		return "", ""

	def start_command(self, names: Collection[str]) -> str:
		return shlex.join(self.systemctl.typed("start", *names))

	def status_command(self) -> str:
		names = [name for name, kind in self._kinds.items() if kind] or [f"{Path(self._bench.path).name}-*"]
		return shlex.join(["systemctl", *(["--user"] if self.systemctl.is_users else []), "status", *names])

	def setup_command(self) -> str:
		return "bench setup systemd"

	def _look(self) -> None:
		"""At the units that are known to be the bench's, and at those that are named like its own. Raises ProcessFault."""
		ours = [name for name, kind in self._kinds.items() if kind]
		wanted = [*ours, f"{Path(self._bench.path).name}-*.service"] if self._kinds else [EVERY]
		answers = {answer.get("Id", ""): answer for answer in self.systemctl.show(wanted, PROPERTIES)}
		loaded = {name: it for name, it in answers.items() if it.get("LoadState") == "loaded" or main_pid(it)}
		if not loaded.keys() <= self._kinds.keys():
			self._learn(loaded)
		self._answers = {name: answer for name, answer in loaded.items() if self._kinds.get(name)}

	def _learn(self, answers: Mapping[str, Mapping[str, str]]) -> None:
		programs = [program_of(answer) for answer in answers.values()]
		kinds = {
			program.name: kind
			for program, kind in kinds_of(programs, self._bench).items()
			if program.pid or kind is not ProcessKind.OTHER
		}
		self._kinds |= {name: kinds.get(name) for name in answers}

	def _state(self, name: str, answer: Mapping[str, str]) -> ProcessState:
		return state_of(answer, told=self._told.get(name, ""))

	def _process(self, name: str, answer: Mapping[str, str]) -> Process:
		pid, state = main_pid(answer), self._state(name, answer)
		return Process(
			name=name,
			kind=self._kinds[name],
			state=state,
			pid=pid or None,
			started=began_at(pid),
			detail=detail_of(answer) if state in FAILED else "",
			incarnation=identity_of(pid) if pid else "",
			group=group_of(answer),
			stop_reaches_jobs=answer.get("KillMode") in REACHES_JOBS,
			ends_leftovers=answer.get("KillMode") in ENDS_LEFTOVERS,
			keeps_sockets=has_socket(answer),
		)

	def _settings_of(self, name: str, answer: Mapping[str, str]) -> ProgramSettings:
		pid = main_pid(answer)
		words = command_of(answer)
		return ProgramSettings(
			name=name,
			group=group_of(answer),
			kind=self._kinds[name],
			words=words if kind_of(list(words)) else running_trace(pid).words or words,
			pid=pid,
			stop_seconds=seconds(answer.get("TimeoutStopUSec", "infinity")),
			stop_signal=whole_number(answer.get("KillSignal")),
			kills_group=answer.get("KillMode") in ENDS_LEFTOVERS,
			stops_group=answer.get("KillMode") in REACHES_JOBS,
			restarts=RESTARTS.get(answer.get("Restart", ""), "unexpected"),
			section="Service",
			file=answer.get("FragmentPath", ""),
			manager_kind=SYSTEMD,
		)

	def _outputs(self, name: str) -> Outputs:
		"""Raises ProcessFault for a unit that is not the bench's."""
		if name not in self._answers:
			self._look()
		if name not in self._answers:
			raise unknown(name)
		return Outputs.of(self._answers[name])


def program_of(answer: Mapping[str, str]) -> Program:
	"""A unit, as rules that know no systemd look at it."""
	outputs = Outputs.of(answer)
	return Program(
		name=answer.get("Id", ""),
		group=group_of(answer),
		command=shlex.join(command_of(answer)),
		directory=folder_of(answer),
		logfiles=tuple(place for place in outputs.places if place.startswith("/")),
		pid=main_pid(answer),
	)


def group_of(answer: Mapping[str, str]) -> str:
	"""The target that it is part of, else itself."""
	targets = [name for name in answer.get("PartOf", "").split() if name.endswith(".target")]
	return min(targets) if targets else answer.get("Id", "")


def began_at(pid: int) -> float | None:
	"""Seconds since the epoch."""
	with suppress(psutil.Error, OSError):
		return psutil.Process(pid).create_time() if pid else None
	return None


def unknown(name: str) -> ProcessFault:
	"""The unit is not of this bench, or there is none of that name."""
	return ProcessFault(f"systemd has no unit {name} of this bench")


def still_stopping(name: str) -> ProcessFault:
	"""As supervisor's."""
	return ProcessFault(f"{name} cannot be started: it is still stopping")
