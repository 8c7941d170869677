"""Which processes are this bench's, and what each of them is. A name alone proves nothing."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from pathlib import PurePath

import psutil

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.command_line import is_worker_command, split_words
from fmx_restart.adapters.process_stat import is_numbered_here
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.adapters.supervisor.programs import Trace, kind_of
from fmx_restart.engine.ports import ProcessKind

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


def working_directory(pid: int) -> str:
	"""Empty where the process is gone, or is another user's."""
	try:
		return psutil.Process(pid).cwd()
	except (psutil.Error, OSError):  # OSError: psutil's answer for one that is ending at this moment
		return ""


def places_in_environment(pid: int) -> list[str]:
	try:
		environment = psutil.Process(pid).environ()
	except (psutil.Error, OSError):
		return []
	return [environment[name] for name in PLACES if environment.get(name, "").startswith("/")]
