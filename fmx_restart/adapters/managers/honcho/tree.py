"""
Which honcho runs a bench, as `bench start` does, and which programs it runs: by the process table alone, as nobody can ask
it. Below honcho is one process of its own for each line of the Procfile, below that a shell, and below that the program.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

import psutil

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import belongs_to
from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.managers.honcho.gunicorn import (
	is_gunicorn,
	line_in,
	may_be_preloaded,
	workers_of,
)
from fmx_restart.adapters.managers.names import SERVERS
from fmx_restart.adapters.process_kinds import is_data_store, is_panel, kind_of, working_directory
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind

HONCHO = "honcho"
INTERPRETER = "python"  # its process may be called so
START = "start"  # its command
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}
NAME = "HONCHO_PROCESS_NAME"  # in the environment of a program: its name in the terminal, as worker.1
FIRST = ".1"
IS_SERVING = (
	"WERKZEUG_RUN_MAIN"  # in the environment of the process that the reloader of bench serve starts anew
)
NO_RELOADER = "--noreload"
PROCFILE = "Procfile"


@frozen
class Honcho:
	"""One that runs programs of the bench. `procfile`: as far as its command line and its folder tell."""

	pid: int
	identity: str  # as in HostProcess
	procfile: str
	programs: tuple[Program, ...]


@frozen
class Program:
	"""One line of a Procfile."""

	name: str
	kind: ProcessKind
	row: Row | None  # its process; None while that is only about to start
	reloads: bool = False  # a web server whose reloader starts the serving process anew when a file changes
	workers: tuple[Row, ...] = ()  # of gunicorn, whose main process `row` is; the oldest first
	may_be_preloaded: bool = False  # and its main process gives them code that it keeps


def is_honcho(row: Row) -> bool:
	"""`honcho start`, also as a script that Python runs."""
	names = [PurePath(word).name for word in row.words[:2]]
	return HONCHO in names and START in row.words


def is_any_running() -> bool:
	"""Whether any process may be one, by the names that the kernel has: a look at the whole process table takes far longer."""
	return any(
		name == HONCHO or (name.startswith(INTERPRETER) and HONCHO in start_of(pid))
		for pid in psutil.pids()
		if (name := text_of(pid, "comm").strip())
	)


def start_of(pid: int) -> list[str]:
	"""The names of the first words of its command."""
	return [PurePath(word).name for word in text_of(pid, "cmdline").split("\0")[:2]]


def text_of(pid: int, file: str) -> str:
	"""Of a file in /proc; empty where there is no such process, or none that may be seen."""
	with suppress(OSError):
		return Path("/proc", str(pid), file).read_text(errors="replace")
	return ""


def is_below(row: Row, table: ProcessTable) -> bool:
	"""Whether honcho has started it, or what has."""
	return any(is_honcho(one) for one in above(row, table))


def above(row: Row, table: ProcessTable) -> list[Row]:
	"""Its parent and further ones, the nearest first."""
	rows: list[Row] = []
	while (parent := table.rows.get(row.parent)) and parent not in rows:
		rows.append(parent)
		row = parent
	return rows


def find_honchos(bench: BenchFolder, table: ProcessTable) -> list[Honcho]:
	"""Those that run a program of this bench, the oldest first. One that supervisord runs is supervisord's program."""
	heads = (row for row in table.rows.values() if is_honcho(row) and is_head(row, table))
	found = (honcho_of(row, bench, table) for row in sorted(heads, key=lambda row: (row.began, row.pid)))
	return [honcho for honcho in found if any(it.kind is not ProcessKind.OTHER for it in honcho.programs)]


def is_head(row: Row, table: ProcessTable) -> bool:
	"""Neither one of the processes that honcho has for each line of its Procfile, nor a program of supervisord's."""
	return not any(is_honcho(one) or one.name in SERVERS for one in above(row, table))


def is_below_honcho(row: Row, table: ProcessTable) -> bool:
	"""Whether its parent is one."""
	parent = table.rows.get(row.parent)
	return parent is not None and is_honcho(parent)


def honcho_of(head: Row, bench: BenchFolder, table: ProcessTable) -> Honcho:
	"""With its programs of this bench. Its own process is not proved to be the bench's: nobody signals it."""
	started = [row for row in table.family(head) if is_below_honcho(row, table) and not is_honcho(row)]
	procfile = procfile_of(head)
	programs = [program for row in started if (program := program_of(row, bench, table, procfile))]
	return Honcho(head.pid, head.identity, procfile, tuple(with_short_names(programs)))


def program_of(started: Row, bench: BenchFolder, table: ProcessTable, procfile: str) -> Program | None:
	"""
	`started`: what honcho has started, most often a shell. None for Redis, pilot's panel, and for what is not of this bench: so is
	a process of another user, whose words anybody may choose, as its interpreter is run to try new code.
	"""
	row = process_below(started, table)
	words = split_words(row.words)
	if not (is_own(started.pid) and is_own(row.pid)):
		return None
	if not belongs_to(bench, row.pid, row.words) or is_data_store(words) or is_panel(words):
		return None
	name = environment_of(started.pid).get(NAME) or f"pid {started.pid}"
	kind = kind_of(words) or ProcessKind.OTHER
	if has_reloader(row, words):
		return Program(name, kind, serving_process(row, table), reloads=True)
	if row.name not in SHELLS and is_gunicorn(words):
		environ, folder = environment_of(row.pid), working_directory(row.pid)
		is_preloaded = may_be_preloaded(words, environ, line_in(procfile, name), folder)
		return Program(name, kind, row, workers=workers_of(row, table), may_be_preloaded=is_preloaded)
	return Program(name, kind, None if row.name in SHELLS else row)


def is_own(pid: int) -> bool:
	"""Of the user that we run as."""
	with suppress(psutil.Error):
		return psutil.Process(pid).uids().effective == os.geteuid()
	return False


def process_below(started: Row, table: ProcessTable) -> Row:
	"""The first one below the shell that is something of a bench; else the first that is no shell, or the shell itself."""
	others = [row for row in table.family(started) if row.name not in SHELLS]
	ours = (row for row in others if kind_of(split_words(row.words)))
	return next(ours, next(iter(others), started))


def has_reloader(row: Row, words: list[str]) -> bool:
	"""bench serve has one, unless it was told to do without; frappe.app.serve has none where CI is set."""
	is_serve = bench_command(words) == "serve" and NO_RELOADER not in words
	return is_serve and row.name not in SHELLS and not environment_of(row.pid).get("CI")


def serving_process(reloader: Row, table: ProcessTable) -> Row | None:
	"""None while the reloader is about to start one."""
	below = table.children.get(reloader.pid, ())
	return next((row for row in below if environment_of(row.pid).get(IS_SERVING) == "true"), None)


def environment_of(pid: int) -> dict[str, str]:
	"""Empty where the process is gone, or another user's."""
	with suppress(psutil.Error, OSError):
		return psutil.Process(pid).environ()
	return {}


def with_short_names(programs: Iterable[Program]) -> Iterator[Program]:
	"""As in the Procfile (worker), where only one process has that name; else as in the terminal (worker.1)."""
	programs = list(programs)
	names = [program.name.rpartition(".")[0] for program in programs]
	for program in programs:
		short = program.name.removesuffix(FIRST)
		is_alone = short != program.name and names.count(short) == 1
		yield replace(program, name=short) if is_alone else program


def procfile_of(head: Row) -> str:
	"""Absolute. Empty where its folder cannot be seen."""
	folder, words = working_directory(head.pid), [*head.words, ""]
	named = next((value_of(words, at) for at in range(len(words)) if is_option(words[at])), PROCFILE)
	return str(Path(folder, named)) if folder else ""


def is_option(word: str) -> bool:
	"""-f FILE, --procfile FILE and --procfile=FILE."""
	return word in ("-f", "--procfile") or word.startswith("--procfile=")


def value_of(words: list[str], at: int) -> str:
	"""Of the option at this place."""
	return words[at].partition("=")[2] or words[at + 1]
