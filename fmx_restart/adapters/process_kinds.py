"""What a process of a bench is, and which paths it was started with: by its words and its working directory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePath

import psutil

from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind

KINDS = {
	"worker": ProcessKind.WORKER,
	"worker-pool": ProcessKind.WORKER,
	"schedule": ProcessKind.SCHEDULER,
	"serve": ProcessKind.WEB,
	"socketio": ProcessKind.SOCKETIO,
}
GUNICORN = {"gunicorn", "gunicorn:"}  # with the colon: the title it gives itself
#: frappe/pilot's own panel: gunicorn, or a server to develop with, beside each bench. It runs no code of the apps
PANEL = "admin.backend."
REALTIME = "frappe.realtime.server"  # socketio in Python
DATA_STORES = ("redis", "valkey", "keydb", "mariadb", "mysqld", "postgres")


@frozen
class Trace:
	"""What tells where a program runs and what it is: its configuration, or its running process."""

	words: tuple[str, ...]
	directory: str

	@property
	def paths(self) -> list[str]:
		"""The absolute paths among the words, options such as --chdir=/path included."""
		values = [word.rpartition("=")[2] for word in self.words]
		joined = [os.path.join(self.directory, value) for value in values if "/" in value]  # noqa: PTH118
		return [path for path in joined if path.startswith("/")]


def kind_of(words: list[str]) -> ProcessKind | None:
	"""What a command line runs: worker, scheduler, web, socketio; None for anything else."""
	if is_panel(words):
		return None
	command = bench_command(words)
	if command in KINDS:
		return KINDS[command]
	if any(_is_web(word) for word in words):
		return ProcessKind.WEB
	return ProcessKind.SOCKETIO if any(_is_socketio(word) for word in words) else None


def is_data_store(words: Iterable[str]) -> bool:
	"""Redis or the database: a restart leaves it alone, even in the bench's group of programs."""
	names = (PurePath(word).name for word in words if not word.startswith("-"))
	return any(store in name for name in names for store in DATA_STORES)


def is_panel(words: Iterable[str]) -> bool:
	"""A restart leaves it alone, as Redis: pilot's tasks run below it."""
	return any(word.strip("[]").startswith(PANEL) for word in words)


def running_trace(pid: int) -> Trace:
	"""From the process table: a wrapper script's configuration says little. Empty where we may not look."""
	try:
		process = psutil.Process(pid) if pid else None
		words = tuple(split_words(process.cmdline())) if process else ()
	except (psutil.Error, OSError):
		return Trace((), "")
	return Trace(words, working_directory(pid) if process else "")


def working_directory(pid: int) -> str:
	"""Empty where the process is gone, or is another user's."""
	try:
		return psutil.Process(pid).cwd()
	except (psutil.Error, OSError):  # OSError: psutil's answer for one that is ending at this moment
		return ""


def _is_web(word: str) -> bool:
	return PurePath(word).name in GUNICORN or word.strip("[]").partition(":")[0] == "frappe.app"


def _is_socketio(word: str) -> bool:
	path = PurePath(word)
	return (
		word == REALTIME
		or path.name == "socketio.js"
		or (path.suffix in {".js", ".ts"} and "realtime" in path.parts)
	)
