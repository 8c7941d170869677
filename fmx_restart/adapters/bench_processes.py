"""Which processes are this bench's, what each of them is, and which of them lost their parent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from enum import Enum
from pathlib import PurePath

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import is_worker_command, split_words
from fmx_restart.adapters.managers.names import SERVERS
from fmx_restart.adapters.managers.systemd.units import is_main_process
from fmx_restart.adapters.process_kinds import Trace, kind_of, working_directory
from fmx_restart.adapters.process_table import ProcessTable, Row, is_numbered_here
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.web.files import takes_part

#: What a job starts to make a PDF or a picture.
BROWSERS = {
	"chrome",
	"chrome-headless-shell",
	"chromium",
	"chromium-browser",
	"google-chrome",
	"headless_shell",
	"wkhtmltopdf",
}
#: Programs that run a bench's processes; an editor that has socketio.js open is none of them.
RUNNERS = ("python", "gunicorn", "node", "bench", "uv", "rq:worker")
#: Frappe's and bench's own ways to tell a process where its bench is.
PLACES = ("FRAPPE_BENCH_ROOT", "SITES_PATH")


class Role(str, Enum):
	WORKER = "worker"  # or the process of a job: the two look alike from outside
	WEB = "web server"
	SCHEDULER = "scheduler"
	REALTIME = "realtime server"
	BROWSER = "browser"


ROLES = {
	ProcessKind.WEB: Role.WEB,
	ProcessKind.SCHEDULER: Role.SCHEDULER,
	ProcessKind.SOCKETIO: Role.REALTIME,
	ProcessKind.WORKER: Role.WORKER,
}


def role_of(words: Iterable[str]) -> Role | None:
	"""None for everything else a bench may run: a migration, a console, Redis."""
	words = split_words(words)
	if not words:
		return None
	program = PurePath(words[0]).name
	if program in BROWSERS:
		return Role.BROWSER
	if not program.startswith(RUNNERS):
		return None
	return Role.WORKER if is_worker_command(words) else ROLES.get(kind_of(words))


def processes_of(bench: BenchFolder, table: ProcessTable) -> dict[int, Role]:
	"""Pid → role, of the processes that are proved to be this bench's."""
	roles = {pid: role_of(row.words) for pid, row in table.rows.items()}
	return {
		pid: role for pid, role in roles.items() if role and belongs_to(bench, pid, table.rows[pid].words)
	}


def belongs_to(bench: BenchFolder, pid: int, words: Iterable[str]) -> bool:
	"""
	By its working directory, else by a path it was started with, else by its environment. A container's process is not: the
	same path means another folder there.
	"""
	folder = working_directory(pid)
	if folder and bench.is_other_bench(folder):
		return False
	paths = [folder] if folder and bench.owns(folder) else []
	paths = paths or [*Trace(tuple(split_words(words)), folder).paths, *places_in_environment(pid)]
	return any(bench.owns(path) for path in paths) and is_numbered_here(pid)


def places_in_environment(pid: int) -> list[str]:
	"""Absolute folders that a process's environment names; none where it is gone or another user's."""
	try:
		environment = psutil.Process(pid).environ()
	except (psutil.Error, OSError):
		return []
	return [environment[name] for name in PLACES if environment.get(name, "").startswith("/")]


SYSTEM_INITS = {"systemd", "init"}
#: They start one program and adopt whatever loses its parent.
CONTAINER_INITS = {"tini", "tini-static", "docker-init", "dumb-init", "catatonit"}


@frozen
class Orphan:
	pid: int
	identity: str  # as in HostProcess
	role: Role
	age: float  # seconds
	memory: int  # bytes, with all its descendants
	members: int  # it and its descendants


def find_orphans(bench: BenchFolder, table: ProcessTable, managed: Collection[int] | None) -> list[Orphan]:
	"""
	`managed`: the pids that the process manager says are its own; None where it does not answer. Where PID 1 itself starts
	processes and nobody can tell those from adopted ones, none is found: better none than a wrong one.
	"""
	if managed is None and table.init and table.init.name in SERVERS:  # a container may run one as its PID 1
		return []
	candidates = [row for row in adopted(table) if row.pid not in (managed or ())]
	if not candidates:
		return []
	roles = processes_of(bench, ProcessTable(candidates))
	return [
		Orphan(
			row.pid, row.identity, roles[row.pid], table.age(row), table.memory(row), len(table.family(row))
		)
		for row in candidates
		if row.pid in roles and not is_main_process(row.pid) and not lingers(row.pid)
	]


def lingers(pid: int) -> bool:
	"""An old web worker that serves until new ones answer, and leaves by itself."""
	with suppress(OSError):
		return takes_part(pid)
	return False


def adopted(table: ProcessTable) -> list[Row]:
	"""Children of those who take in what has lost its parent."""
	init = table.init
	if init is None:
		return []
	children = sorted(table.children.get(init.pid, ()), key=lambda row: (row.began, row.pid))
	if not table.is_whole_machine and init.name not in SYSTEM_INITS | SERVERS:
		# the oldest is what the container was started for
		children = children[1:] if init.name in CONTAINER_INITS else []
	sessions = [row for row in table.rows.values() if row.name == "systemd" and row.pid != init.pid]
	return [*children, *(child for user in sessions for child in table.children.get(user.pid, ()))]
