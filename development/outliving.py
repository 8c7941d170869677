"""What tests leave running: each run of pytest marks what it starts, and looks at its end for what outlived it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from development.description import Bench
from development.processes import Process, command_line, environment, find_all
from development.services import is_below_our_supervisord, is_our_supervisord

#: An environment variable that each process inherits which a test starts.
MARK = "FMX_TEST_RUN"
SHOWN_WORDS = 200  # characters of a command line


def mark_what_is_started() -> None:
	"""From now on, what this process and its children start is known as this run's."""
	os.environ[MARK] = f"{os.getpid()}-{time.time_ns()}"


def outliving(benches: Iterable[Bench], *, patience: float) -> list[Process]:
	"""
	What this run has started and what still runs after `patience` seconds. Not what the benches' supervisors run: a test may
	start a supervisor anew, and a bench goes on after its tests.
	"""
	benches, mark = list(benches), f"{MARK}={os.environ[MARK]}"

	def is_left(pid: int) -> bool:
		return mark in environment(pid) and not any(belongs_to(bench, pid) for bench in benches)

	deadline = time.monotonic() + patience
	while (left := find_all(is_left)) and time.monotonic() < deadline:
		time.sleep(0.1)
	return left


def belongs_to(bench: Bench, pid: int) -> bool:
	return is_our_supervisord(bench, pid) or is_below_our_supervisord(bench, pid)


def described(process: Process) -> str:
	return f"pid {process.pid}: {' '.join(command_line(process.pid))[:SHOWN_WORDS]}"
