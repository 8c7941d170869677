"""
A bench that honcho runs, as `bench start` does. Nobody can give it an order, and when one of its programs ends it ends all. So
nothing is stopped here: web is replaced by its own reloader or by gunicorn, workers of this app and the scheduler reload in
place, and the rest stays as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.log_end import MOST, last_lines
from fmx_restart.adapters.log_text import plain
from fmx_restart.adapters.managers.honcho.gunicorn import Change, is_gunicorn
from fmx_restart.adapters.managers.honcho.tree import Honcho, Program, environment_of, find_honchos
from fmx_restart.adapters.managers.kind import Where
from fmx_restart.adapters.process_table import ProcessTable, clock, identity_of
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import changed
from fmx_restart.engine.ports import LogTail, ManagerSettings, Process, ProcessKind, ProcessState, Stays

START = "bench start"
TERMINAL = "the terminal of bench start"
AGAIN = f"To restart all, press Ctrl-C in {TERMINAL}, then type {START} there."
KEEP_JOBS = (
	"honcho kills jobs that still run 5 s after Ctrl-C: to wait for them, type bench safe-restart hold --drain before, and bench"
	" safe-restart release afterwards."
)
SETUP = f"To have them reload in place from then on, type bench safe-restart setup worker before you type {START}."
ALONE = "honcho cannot restart one program alone"
FRAPPES = Stays("of Frappe's own, which cannot reload in place", (AGAIN, KEEP_JOBS, SETUP))
STAYS = {
	ProcessKind.WORKER: FRAPPES,
	ProcessKind.SCHEDULER: FRAPPES,
	ProcessKind.WEB: Stays("without a reloader", (AGAIN,)),
}
PRELOADED = Stays(
	"of gunicorn with --preload, whose main process keeps the code that it has loaded",
	(
		AGAIN,
		"To have it replaced from then on, leave out --preload (or preload_app) before you start it again.",
	),
)
OTHER = Stays(ALONE, (AGAIN,))
#: Web imports it, so its reloader looks at it once a second
WATCHED = Path("apps", "frappe", "frappe", "app.py")
STEP = 1_000_000  # nanoseconds
STREAMS = (2, 1)  # stderr is the more telling one


class HonchoProcesses:
	"""Looks at the process table. Every refusal is a ProcessFault."""

	def __init__(self, bench_path: str, honchos: Iterable[Honcho]) -> None:
		self._bench = BenchFolder(bench_path)
		self._honchos = list(honchos)
		self._changes: dict[str, Change] = {}  # of gunicorn, by name: the last one

	@property
	def where(self) -> Where:
		"""Its Procfile, and its process: nobody can connect to it."""
		files = ", ".join(dict.fromkeys(honcho.procfile for honcho in self._honchos))
		pids = ", ".join(str(honcho.pid) for honcho in self._honchos)
		return Where(files, f"its process, pid {pids}")

	def list(self) -> list[Process]:
		"""The whole process table is read only when one of its processes has gone, or is about to come."""
		if not self._is_as_it_was():
			self._honchos = find_honchos(self._bench, ProcessTable.take()) or self._refuse()
		return [
			self._gunicorn(program) if replaces_workers(program) else process_of(program)
			for program in self._programs()
		]

	def order(
		self,
		*,
		stop: Collection[str] = (),
		start: Collection[str] = (),
		leave: Collection[str] = (),
		restart: Collection[str] = (),
	) -> dict[str, ProcessFault]:
		"""
		Web's reloader ends the serving process and starts the next one, and gunicorn its workers, so that a start is nothing to
		do.
		"""
		programs = {program.name: program for program in self._programs()}
		reloads = {name for name, program in programs.items() if program.reloads}
		serves = reloads | {name for name, program in programs.items() if replaces_workers(program)}
		able = {**dict.fromkeys(stop, reloads), **dict.fromkeys((*start, *restart), serves)}
		faults = {
			name: ProcessFault(f"{name} cannot be stopped or started: {ALONE}")
			for name, names in able.items()
			if name not in names
		}
		for name in set(restart) - faults.keys():
			try:
				self._changes[name] = change_of(self._bench, programs[name])
			except OSError as error:
				faults[name] = ProcessFault(f"the new code of {name} cannot be tried: {error}")
		for name in reloads.intersection(stop):
			try:
				self._wake_reloader()
			except OSError as error:
				faults[name] = ProcessFault(f"the reloader of {name} cannot be told: {error}")
		return faults

	def _gunicorn(self, program: Program) -> Process:
		"""Its incarnation is that of its oldest worker: its main process stays."""
		process, change = process_of(program), self._changes.get(program.name)
		oldest = program.workers[0].identity if program.workers else ""
		state = ProcessState.RUNNING if oldest else ProcessState.STARTING
		detail = ""
		if change and change.master.identity == program.row.identity:
			state, detail = change.state(program.workers), change.fault
		return changed(process, state=state, incarnation=oldest, rolls_out=True, detail=detail)

	def _wake_reloader(self) -> None:
		"""A later date of a file that it watches, by a millisecond. Its content stays, and code does not look newer than it is."""
		file = Path(self._bench.path) / WATCHED
		seen = file.stat()
		os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns + STEP))

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""All of them are on this machine."""
		return {}

	def check_orders(self, names: Collection[str]) -> None:
		"""What it cannot replace is not ordered anything."""

	def settings(self) -> ManagerSettings | None:
		return None

	def mark_log(self, name: str) -> None:
		"""The terminal keeps nothing, and no file is read for a reload that failed: the worker's record says why."""

	def log_tail(self, name: str) -> str:
		return ""

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		"""Of the files that its line of the Procfile writes to; what goes to the terminal is kept by nobody."""
		if name not in {process.name for process in self.list()}:
			raise ProcessFault(f"honcho runs no program {name}")
		files = dict.fromkeys(filter(None, self.log_files(name)))
		return [end_of(file, count) for file in files] or [
			LogTail(TERMINAL, (), "honcho shows there what it prints, and keeps nothing")
		]

	def log_files(self, name: str) -> tuple[str, str]:
		pid = next((it.row.pid for it in self._programs() if it.name == name and it.row), None)
		errors, out = (file_behind(pid, stream) if pid else "" for stream in STREAMS)
		return out, errors

	def start_command(self, names: Collection[str]) -> str:
		return START

	def status_command(self) -> str:
		return "bench safe-restart status"

	def setup_command(self) -> str:
		return "bench setup procfile"

	def _programs(self) -> list[Program]:
		"""A name that several honchos have is followed by the pid of its honcho."""
		programs = [(honcho, program) for honcho in self._honchos for program in honcho.programs]
		names = [program.name for _, program in programs]
		return [
			program
			if names.count(program.name) == 1
			else replace(program, name=f"{program.name}@{honcho.pid}")
			for honcho, program in programs
		]

	def _is_as_it_was(self) -> bool:
		programs = self._programs()
		rows = [row for program in programs for row in (program.row, *program.workers)]
		if any(replaces_workers(program) and not program.workers for program in programs):
			return False
		known = [*self._honchos, *filter(None, rows)]
		return bool(known) and None not in rows and all(identity_of(it.pid) == it.identity for it in known)

	def _refuse(self) -> list[Honcho]:
		raise ProcessFault(
			f"{START} (honcho) has ended, and all that it ran", hint=f"Type {START} in its terminal again."
		)


def replaces_workers(program: Program) -> bool:
	"""gunicorn, whose new workers load the code on the disk."""
	is_web = program.kind is ProcessKind.WEB and program.row is not None
	return is_web and not program.may_be_preloaded and is_gunicorn(split_words(program.row.words))


def change_of(bench: BenchFolder, program: Program) -> Change:
	"""Begun now. Raises OSError."""
	return Change(bench, program.row, program.workers, environment_of(program.row.pid))


def stays_of(program: Program) -> Stays | None:
	"""None for web that is replaced."""
	if program.reloads or replaces_workers(program):
		return None
	return PRELOADED if program.may_be_preloaded else STAYS.get(program.kind, OTHER)


def process_of(program: Program) -> Process:
	"""A program as the engine knows it."""
	row = program.row
	return Process(
		program.name,
		program.kind,
		ProcessState.RUNNING if row else ProcessState.STARTING,
		row.pid if row else None,
		started=round(time.time() - clock() + row.began) if row else None,
		incarnation=row.identity if row else "",
		stays=stays_of(program),
		ends_all=True,
	)


def file_behind(pid: int, stream: int) -> str:
	"""The file that a process' stream goes to; empty for a pipe or a terminal, and where it cannot be seen."""
	with suppress(OSError):
		target = Path(f"/proc/{pid}/fd/{stream}").resolve()
		return str(target) if target.is_file() else ""
	return ""


def end_of(file: str, count: int) -> LogTail:
	"""Its last lines."""
	try:
		lines = last_lines(file, count + 1)
		is_cut = len(lines) > count or Path(file).stat().st_size > MOST
		return LogTail(file, tuple(map(plain, lines[-count:])), is_cut=is_cut)
	except OSError as error:
		return LogTail(file, (), error.strerror)
