"""What is known to run a bench and cannot be used: asked where no process manager was found that can."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path, PurePath

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import Role, processes_of
from fmx_restart.adapters.managers.honcho.tree import above
from fmx_restart.adapters.managers.kind import Obstacle, Refusal
from fmx_restart.adapters.process_kinds import working_directory
from fmx_restart.adapters.process_table import ProcessTable, Row

OVERMIND = "overmind"
SOCKET = ".overmind.sock"  # in the folder where overmind was started
#: They run a Procfile, as honcho does
OTHERS = {"foreman", "forego", "goreman", "hivemind", OVERMIND}
ANSWERS_WITHIN = 0.5  # seconds
BY_HAND = (
	"To restart without losing a job, type bench safe-restart hold --drain, then restart web, workers and scheduler by {how},"
	" then type bench safe-restart release."
)


def unsupported(bench_path: str, table: ProcessTable) -> Iterator[Refusal]:
	"""What runs the bench, and how a person restarts it."""
	bench = BenchFolder(bench_path)
	if runner := overmind_of(bench, table) or other_runner(bench, table):
		text = f"{runner} runs this bench, and is not supported yet"
		yield Refusal(Obstacle.UNSUPPORTED, text, BY_HAND.format(how=runner.partition(" ")[0]))
	elif gunicorn := with_companions(bench, table):
		text = (
			f"gunicorn (pid {gunicorn.pid}) runs web and workers of this bench in one process tree, and no process manager that is"
			" supported runs gunicorn"
		)
		yield Refusal(Obstacle.UNSUPPORTED, text, BY_HAND.format(how="what has started gunicorn"))


def overmind_of(bench: BenchFolder, table: ProcessTable) -> str:
	"""By its socket, or by its process: its programs are children of tmux. Empty where it does not run."""
	file = Path(bench.path, SOCKET)
	if is_answered(file):
		return f"{OVERMIND} ({file})"
	rows = [row for row in table.rows.values() if name_of(row) == OVERMIND]
	pids = [row.pid for row in rows if bench.owns(working_directory(row.pid) or "/")]
	return f"{OVERMIND} (pid {pids[0]})" if pids else ""


def is_answered(file: Path) -> bool:
	"""Whether somebody listens at this socket. Nothing is sent."""
	with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as connection:
		if stat.S_ISSOCK(file.stat().st_mode):
			connection.settimeout(ANSWERS_WITHIN)
			connection.connect(str(file))
			return True
	return False


def other_runner(bench: BenchFolder, table: ProcessTable) -> str:
	"""The program above one of the bench's processes; empty where there is none that is known."""
	for pid in processes_of(bench, table):
		for row in above(table.rows[pid], table):
			if (name := name_of(row)) in OTHERS:
				return f"{name} (pid {row.pid})"
	return ""


def name_of(row: Row) -> str:
	"""Of the program that it runs; the script's where an interpreter runs it."""
	names = [PurePath(word).name.rstrip(":") for word in row.words[:2]]
	return next((name for name in names if name in OTHERS), "")


def with_companions(bench: BenchFolder, table: ProcessTable) -> Row | None:
	"""gunicorn's main process with a worker of the bench below it."""
	roles = processes_of(bench, table)
	for pid, role in roles.items():
		if role is Role.WORKER:
			web = [row for row in above(table.rows[pid], table) if roles.get(row.pid) is Role.WEB]
			if web:
				return web[-1]
	return None
