"""
gunicorn below honcho: its main process has to stay, as honcho ends all programs with it. When it is told to hang up it starts workers, which
load the code on the disk, and lets the old ones finish their requests and leave. Its listening socket stays, so no request
fails. With --preload the main process keeps the code that it has loaded, and gives it to new workers.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePath

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.command_line import split_words
from fmx_restart.adapters.process_kinds import GUNICORN, working_directory
from fmx_restart.adapters.process_table import ProcessTable, Row, identity_of
from fmx_restart.engine.ports import ProcessState

APPLICATION = re.compile(r"\[?([\w.]+):[\w.]+(?:\(.*\))?\]?")
FRAPPE = "frappe.app"
PRELOAD, ABBREVIATED = "--preload", "--pr"  # its parser takes the beginning of an option for the whole
CONFIGURATION = "gunicorn.conf.py"
OPTIONS = ("-c", "--config")
MODULE = "python:"  # in place of a configuration file
VARIABLE = "GUNICORN_CMD_ARGS"
PRELOADS = re.compile(r"^\s*preload_app\s*=\s*(?!False\b)", re.MULTILINE)
#: A new worker that cannot load its code ends the main process, and with it all that honcho runs: so it is tried before
TRIAL = "import importlib, sys; importlib.import_module(sys.argv[1])"
TRIED_WITHIN = 60.0  # seconds


def is_gunicorn(words: Iterable[str]) -> bool:
	"""By its program, or by the title that it gives itself."""
	return any(PurePath(word).name in GUNICORN for word in words)


def workers_of(master: Row, table: ProcessTable) -> tuple[Row, ...]:
	"""The oldest first. A companion that is no gunicorn is none."""
	below = [row for row in table.children.get(master.pid, ()) if is_gunicorn(split_words(row.words))]
	return tuple(sorted(below, key=lambda row: (row.began, row.pid)))


def may_be_preloaded(words: list[str], environ: dict[str, str], line: str, folder: str) -> bool:
	"""
	By its options, its environment and its configuration file. `words`: of its process, a title may stand in their place.
	`line`: of the Procfile; where neither tells how it was started, it may be.
	"""
	is_title = any(word in GUNICORN and word.endswith(":") for word in words)
	told = [*([] if is_title else words), *split_words(line), *words_in(environ.get(VARIABLE, ""))]
	if any(PRELOAD.startswith(word) for word in told if word.startswith(ABBREVIATED)) or (
		is_title and not line
	):
		return True
	named = [told[at + 1] for at, word in enumerate(told[:-1]) if word in OPTIONS]
	named += [word.partition("=")[2] for word in told if word.startswith("--config=")]
	named += [word[2:] for word in told if word.startswith("-c") and word not in OPTIONS]
	if any(name.startswith(MODULE) for name in named):
		return True  # it is not imported here
	files = (Path(folder, name.removeprefix("file:")) for name in named or [CONFIGURATION])
	return any(PRELOADS.search(text_of(file)) for file in files)


def words_in(text: str) -> list[str]:
	"""As a shell takes them; none where a quote is not closed, with which gunicorn does not start."""
	with suppress(ValueError):
		return shlex.split(text)
	return []


def text_of(file: Path) -> str:
	"""Empty where there is none to read."""
	with suppress(OSError):
		return file.read_text(errors="replace")
	return ""


def line_in(procfile: str, name: str) -> str:
	"""The command of a program's line; empty where the file has none."""
	wanted = f"{name.partition('.')[0]}:"
	lines = (line for line in text_of(Path(procfile)).splitlines() if line.startswith(wanted))
	return next((line.removeprefix(wanted).strip() for line in lines), "")


class Change:
	"""Its workers are replaced: the new code is tried, then the main process hangs up, then the old workers leave."""

	def __init__(
		self, bench: BenchFolder, master: Row, workers: Iterable[Row], environ: dict[str, str]
	) -> None:
		"""Raises OSError where the code cannot be tried."""
		self.master, self.old = master, {row.identity for row in workers}
		self.fault, self._is_told = "", False
		self._output = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the change
		self._until = time.monotonic() + TRIED_WITHIN
		self._trial = subprocess.Popen(
			[interpreter(bench, master), "-c", TRIAL, module_of(master)],
			cwd=working_directory(master.pid),
			env=environ,
			stdin=subprocess.DEVNULL,
			stdout=subprocess.DEVNULL,
			stderr=self._output,
		)

	def state(self, workers: Iterable[Row]) -> ProcessState:
		"""`workers`: those that it has now. Hangs up once the code is tried."""
		if not self._is_told and not self.fault:
			self._follow_trial()
		if self.fault:
			return ProcessState.FAILED
		now = {row.identity for row in workers}
		if not self._is_told or now & self.old:
			return ProcessState.STOPPING
		return ProcessState.RUNNING if now else ProcessState.STARTING

	def _follow_trial(self) -> None:
		code = self._trial.poll()
		if code is None and time.monotonic() > self._until:
			self._trial.kill()
			self._trial.wait()
			self.fault = f"its new code was not loaded within {TRIED_WITHIN:.0f} s"
		elif code:
			self._output.seek(0)
			lines = self._output.read().decode(errors="replace").strip().splitlines()
			self.fault = f"its new code cannot be loaded: {lines[-1] if lines else f'exit code {code}'}"
		elif code == 0:
			self._hang_up()

	def _hang_up(self) -> None:
		self._is_told = True
		if identity_of(self.master.pid) == self.master.identity:
			with suppress(ProcessLookupError):
				os.kill(self.master.pid, signal.SIGHUP)


def interpreter(bench: BenchFolder, master: Row) -> str:
	"""Its own, as far as its command tells."""
	first = master.words[0] if master.words else ""
	return first if PurePath(first).name.startswith("python") else str(Path(bench.path, "env/bin/python"))


def module_of(master: Row) -> str:
	"""What its workers import."""
	found = (APPLICATION.fullmatch(word) for word in reversed(split_words(master.words)))
	return next((match[1] for match in found if match), FRAPPE)
