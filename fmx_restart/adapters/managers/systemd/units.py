"""systemd: the unit of a process, what systemctl says of units, and the units that concern a bench."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import WORKER_COMMANDS, bench_command, split_words
from fmx_restart.adapters.managers.systemd.systemctl import Systemctl
from fmx_restart.adapters.process_kinds import kind_of
from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind

USER_MANAGER = "user@"  # units below it are asked from that user's own systemd


def is_main_process(pid: int, *, proc: Path = Path("/proc")) -> bool:
	"""
	Whether its unit began with it: a service's main process has PID 1 for its parent and is no orphan. Where a unit
	does not tell, the process counts as its own.
	"""
	unit, is_users = unit_of(proc / str(pid) / "cgroup")
	if unit is None:
		return False
	answers = show([unit], ["Id", "MainPID", "ControlPID"], user=is_users)
	if not answers:
		return True
	return str(pid) in {answers[0].get("MainPID"), answers[0].get("ControlPID")}


def unit_of(file: Path) -> tuple[str | None, bool]:
	"""The service that a process' cgroup file names, and whether it is a user's. (None, False) for none."""
	path = path_in(file)
	if path.name.endswith(".service"):
		return path.name, USER_MANAGER in str(path) and not path.name.startswith(USER_MANAGER)
	return None, False


def path_in(file: Path) -> PurePosixPath:
	"""The service or scope in a cgroup file; "/" where it names none."""
	try:
		lines = file.read_text(errors="replace").splitlines()
	except OSError:
		return PurePosixPath("/")
	# cgroup v2 has one line, "0::/path"; in v1 systemd's own hierarchy is called name=systemd
	hierarchies = (line.partition(":")[2].partition(":")[::2] for line in lines)
	paths = (PurePosixPath(path) for controller, path in hierarchies if controller in {"", "name=systemd"})
	return next((path for path in paths if path.suffix in {".service", ".scope"}), PurePosixPath("/"))


TIMEOUT = 1.5  # seconds
UNITS = {
	"usec": 1e-6,
	"us": 1e-6,
	"msec": 1e-3,
	"ms": 1e-3,
	"s": 1,
	"min": 60,
	"h": 3600,
	"d": 86400,
	"w": 604800,
	"month": 2629800,
	"y": 31557600,
}
AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def show(units: Sequence[str], properties: Iterable[str], *, user: bool = False) -> list[dict[str, str]]:
	"""As Systemctl.show. Empty where systemd does not answer."""
	systemctl = Systemctl(user)
	with suppress(ProcessFault):
		return systemctl.show(units, properties, timeout=TIMEOUT)
	return []


def seconds(span: str) -> float | None:
	"""Of a time as systemctl prints it: 1min 30s. None for infinity, and for what cannot be read."""
	amounts = AMOUNT.findall(span)
	if not amounts or any(unit not in UNITS for _, unit in amounts):
		return 0.0 if span == "0" else None
	return sum(float(number) * UNITS[unit] for number, unit in amounts)


SUPERVISORS = ("supervisor.service", "supervisord.service")  # Debian's, and Red Hat's
PROPERTIES = (
	"Id",
	"LoadState",
	"MainPID",
	"ExecStart",
	"WorkingDirectory",
	"KillMode",
	"TimeoutStopUSec",
	"OOMPolicy",
	"NRestarts",
	"ExecMainStartTimestamp",
	"FragmentPath",
	"DropInPaths",
	"TriggeredBy",
)
ARGUMENTS = re.compile(r"argv\[\]=(.*?) ; ignore_errors=")
SCORE = re.compile(r"^\s*OOMScoreAdjust\s*=\s*(\S+)", re.MULTILINE)


@frozen
class Unit:
	name: str
	words: tuple[str, ...]  # of its command; never to be shown
	main_pid: int
	folder: str
	kill_mode: str
	stop_seconds: float | None  # None: no limit
	oom_policy: str  # empty where systemd is too old to have one
	restarts: int  # by itself, since it was started by someone
	started: str  # of its main process, in systemd's own words
	files: tuple[str, ...]  # its own, and its drop-ins in their order
	has_socket: bool = False  # another unit listens in its place while it is down
	is_users: bool = False  # of the systemd of a user, and not of the machine's

	@property
	def is_web(self) -> bool:
		"""A unit that runs the bench's web server."""
		return kind_of(list(self.words)) is ProcessKind.WEB

	@property
	def is_worker(self) -> bool:
		"""A unit that runs a worker of its own, without supervisord in between."""
		return bench_command(list(self.words)) in WORKER_COMMANDS

	@property
	def is_manager(self) -> bool:
		"""A unit that runs supervisord, which runs the programs."""
		return self.name in SUPERVISORS

	def written_score(self) -> tuple[str, str] | None:
		"""OOMScoreAdjust and the file that sets it: systemd ignores a value that is out of range, and tells none."""
		last = None
		for file in self.files:
			try:
				for value in SCORE.findall(Path(file).read_text()):
					last = value, file
			except (OSError, ValueError):
				continue
		return last


def units_of(bench: BenchFolder, more: Iterable[str] = (), *, users: bool = False) -> list[Unit]:
	"""
	`more`: names of units that are known to run something of this bench. Supervisor's comes along, whosever it is. `users`: of
	the systemd of the user that we run as.
	"""
	names = [f"{Path(bench.path).name}-*.service", *SUPERVISORS, *more]
	units = units_in(show(list(dict.fromkeys(names)), PROPERTIES, user=users), bench)
	return [replace(unit, is_users=users) for unit in units]


def units_in(answers: Iterable[Mapping[str, str]], bench: BenchFolder) -> list[Unit]:
	"""The units that concern this bench, each once, from systemctl's answers."""
	loaded = (unit_from(answer) for answer in answers if answer.get("LoadState") == "loaded")
	return [unit for unit in dict.fromkeys(loaded) if unit.is_manager or is_ours(unit, bench)]


def is_ours(unit: Unit, bench: BenchFolder) -> bool:
	"""Its folder or its command lies in this bench."""
	paths = [unit.folder, *unit.words]
	return any(bench.owns(path) for path in paths if path.startswith("/"))


def command_of(answer: Mapping[str, str]) -> tuple[str, ...]:
	"""The words of its first ExecStart, as far as they can be told apart: systemctl shows them without their quotes."""
	command = ARGUMENTS.search(answer.get("ExecStart", ""))
	return tuple(split_words(command[1])) if command else ()


def folder_of(answer: Mapping[str, str]) -> str:
	"""WorkingDirectory without systemd's marks."""
	return answer.get("WorkingDirectory", "").lstrip("!-")


def has_socket(answer: Mapping[str, str]) -> bool:
	"""A socket unit starts it."""
	return any(name.endswith(".socket") for name in answer.get("TriggeredBy", "").split())


def unit_from(answer: Mapping[str, str]) -> Unit:
	"""What `systemctl show` says of one unit; what it leaves out is empty, and 0 stands for no main process."""
	files = [answer.get("FragmentPath", ""), *answer.get("DropInPaths", "").split()]
	return Unit(
		name=answer.get("Id", ""),
		words=command_of(answer),
		main_pid=whole_number(answer.get("MainPID")) or 0,
		folder=folder_of(answer),
		kill_mode=answer.get("KillMode", ""),
		stop_seconds=seconds(answer.get("TimeoutStopUSec", "infinity")),
		oom_policy=answer.get("OOMPolicy", ""),
		restarts=whole_number(answer.get("NRestarts")) or 0,
		started=answer.get("ExecMainStartTimestamp", ""),
		files=tuple(file for file in files if file),
		has_socket=has_socket(answer),
	)
