"""systemd: the unit of a process, the units of a bench, and a scope of its own for an operation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import WORKER_COMMANDS, bench_command, split_words
from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.frozen import frozen

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


def login_of(file: Path) -> str | None:
	"""The scope of a login's session that a process' cgroup file names: session-5.scope."""
	name = path_in(file).name
	return name if name.startswith("session-") and name.endswith(".scope") else None


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
	"""
	One mapping for each unit that is loaded, by systemd's own property names. Empty where systemd does not answer.
	`units` may hold patterns such as bench-*.
	"""
	program = shutil.which("systemctl")
	if program is None:
		return []
	words = [program, *(["--user"] if user else []), "--no-pager", "show"]
	words += [f"--property={','.join(properties)}", "--", *units]
	try:
		done = subprocess.run(
			words,
			capture_output=True,
			text=True,
			errors="replace",
			timeout=TIMEOUT,
			stdin=subprocess.DEVNULL,
		)
	except (OSError, subprocess.TimeoutExpired):
		return []
	return parse(done.stdout) if done.returncode == 0 else []


def parse(text: str) -> list[dict[str, str]]:
	"""Blocks of Name=value lines, an empty line between two units. A name that comes twice keeps both, by lines."""
	units = []
	for block in re.split(r"\n\s*\n", text.strip()):
		unit: dict[str, str] = {}
		for line in block.splitlines():
			name, is_property, value = line.partition("=")
			if is_property:
				unit[name] = f"{unit[name]}\n{value}" if name in unit else value
		if unit:
			units.append(unit)
	return units


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
)
ARGUMENTS = re.compile(r"argv\[\]=(.*?) ; ")
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


def units_of(bench: BenchFolder, more: Iterable[str] = ()) -> list[Unit]:
	"""`more`: names of units that are known to run something of this bench. Supervisor's comes along, whosever it is."""
	names = [f"{Path(bench.path).name}-*.service", *SUPERVISORS, *more]
	return units_in(show(list(dict.fromkeys(names)), PROPERTIES), bench)


def units_in(answers: Iterable[Mapping[str, str]], bench: BenchFolder) -> list[Unit]:
	"""The units that concern this bench, each once, from systemctl's answers."""
	loaded = (unit_from(answer) for answer in answers if answer.get("LoadState") == "loaded")
	return [unit for unit in dict.fromkeys(loaded) if unit.is_manager or is_ours(unit, bench)]


def is_ours(unit: Unit, bench: BenchFolder) -> bool:
	"""Its folder or its command lies in this bench."""
	paths = [unit.folder, *unit.words]
	return any(bench.owns(path) for path in paths if path.startswith("/"))


def unit_from(answer: Mapping[str, str]) -> Unit:
	"""What `systemctl show` says of one unit; what it leaves out is empty, and 0 stands for no main process."""
	command = ARGUMENTS.search(answer.get("ExecStart", ""))
	files = [answer.get("FragmentPath", ""), *answer.get("DropInPaths", "").split()]
	return Unit(
		name=answer.get("Id", ""),
		words=tuple(split_words(command[1])) if command else (),
		main_pid=whole_number(answer.get("MainPID")) or 0,
		folder=answer.get("WorkingDirectory", "").lstrip("!-"),
		kill_mode=answer.get("KillMode", ""),
		stop_seconds=seconds(answer.get("TimeoutStopUSec", "infinity")),
		oom_policy=answer.get("OOMPolicy", ""),
		restarts=whole_number(answer.get("NRestarts")) or 0,
		started=answer.get("ExecMainStartTimestamp", ""),
		files=tuple(file for file in files if file),
	)


OWN_CGROUP = Path("/proc/self/cgroup")
SCOPE_TIMEOUT = 2.0  # seconds for an answer of systemd, and for the move
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")


def way_out(operation: str, environ: Mapping[str, str] = os.environ, cgroup: Path = OWN_CGROUP) -> list[str]:
	"""
	Words before the command where systemd itself runs this worker or web server: the operation gets a scope of its own.
	supervisord's children share the cgroup of supervisord, which is not restarted.
	"""
	unit, is_users = unit_of(cgroup)
	if unit is None or "SUPERVISOR_ENABLED" in environ:
		return []
	systemd_run = shutil.which("systemd-run") or "/usr/bin/systemd-run"
	user = ["--user"] if is_users else []
	return [systemd_run, *user, "--scope", "--quiet", "--collect", f"--unit={name_of(operation)}", "--"]


def move_out(operation: str, environ: Mapping[str, str] = os.environ, cgroup: Path = OWN_CGROUP) -> str:
	"""
	Moves this process, and with it all that it starts from now on, into a scope where that is needed. Returns what the
	person should know where it is needed and cannot be had.
	"""
	unit, is_users = unit_of(cgroup)
	if unit is not None and "SUPERVISOR_ENABLED" not in environ:
		return "" if is_moved(operation, cgroup, first_users=is_users) else warning(f"{unit} stops.")
	if unit is None and (login := login_of(cgroup)) and ends_with_login():
		ends = f"{login} ends. loginctl enable-linger would prevent that."
		return "" if is_moved(operation, cgroup, first_users=os.getuid() != 0) else warning(ends)
	return ""


def warning(when: str) -> str:
	"""The sentence for an operation in somebody else's control group. `when`: what would kill it."""
	return (
		f"systemd gave the operation no scope of its own, so it will be killed when {when}"
		" If that happens, bench safe-restart recover cleans up."
	)


def ends_with_login() -> bool:
	"""logind's KillUserProcesses, for this user. False where logind does not answer."""
	names = "KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers"
	answer = output_of("loginctl", "show-user", *(f"--property={name}" for name in names))
	settings = dict(line.partition("=")[::2] for line in (answer or "").splitlines())
	user = os.environ.get("USER", "")
	only = settings.get("KillOnlyUsers", "").split()
	is_excluded = user in settings.get("KillExcludeUsers", "").split()
	return settings.get("KillUserProcesses") == "yes" and not is_excluded and (not only or user in only)


def is_moved(operation: str, cgroup: Path, *, first_users: bool) -> bool:
	"""The other systemd is asked where the first one refuses: an ordinary user may not ask that of the system's."""
	return any(is_moved_by(operation, cgroup, users=users) for users in (first_users, not first_users))


def is_moved_by(operation: str, cgroup: Path, *, users: bool) -> bool:
	"""
	Ask systemd, of the machine or of the user, for a scope of the operation's own, and wait until this process is in it.
	False where that fails.
	"""
	scope = f"{name_of(operation)}.scope"
	properties = ["2", "PIDs", "au", "1", str(os.getpid()), "CollectMode", "s", "inactive-or-failed"]
	words = ["call", *MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", scope, "fail", *properties, "0"]
	if output_of("busctl", *(["--user"] if users else []), *words) is None:
		return False
	until = time.monotonic() + SCOPE_TIMEOUT
	while scope not in cgroup.read_text():
		if time.monotonic() > until:
			return False
		time.sleep(0.01)
	return True


def output_of(program: str, *words: str) -> str | None:
	"""None where it fails, or does not answer in time."""
	path = shutil.which(program)
	environ = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", **os.environ}
	try:
		done = subprocess.run(
			[path or program, *words],
			capture_output=True,
			text=True,
			timeout=SCOPE_TIMEOUT,
			stdin=subprocess.DEVNULL,
			env=environ,
		)
	except (OSError, subprocess.TimeoutExpired):
		return None
	return done.stdout if done.returncode == 0 else None


def name_of(operation: str) -> str:
	"""The scope's name without its ending."""
	return f"fmx-restart-{operation}"
