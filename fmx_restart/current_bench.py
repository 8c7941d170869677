"""
The bench that a command is typed in, as far as its files tell. Imports no library: this is what a command needs before its
first line, and before the process of its operation begins.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from fmx_restart.adapters.bench import bench_folder, bench_id, bench_path, read_config
from fmx_restart.adapters.journal_files import journals_of, newest
from fmx_restart.adapters.user import who_types
from fmx_restart.engine.identity import new_operation_id


def frappe_is_imported() -> bool:
	"""`python -m fmx_restart` and the guardian never import it: they must work when it cannot be imported."""
	return "frappe" in sys.modules


def identity(config: dict) -> tuple[str, str]:
	"""The bench's id, by Frappe's rule: the names of its queues begin with it. And its folder."""
	path = bench_path()
	return bench_id(config, path), bench_folder(path)


def journal_folder() -> Path:
	"""Raises WrongEnvironment outside of a bench."""
	return journals_of(identity(read_config())[1])


def next_operation_id() -> str:
	"""Sorts after every operation of this bench that has a journal. Raises WrongEnvironment outside of a bench."""
	last = newest(journal_folder())
	return new_operation_id(last.stem if last else "")


def requester() -> str:
	"""Who typed it, for whoever finds the bench held: sudo's caller rather than root."""
	return f"{who_types()}@{socket.gethostname()}"
