"""Jobs for the workers of the development bench: one ends when the test says so, one ignores TERM."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
from fmx_workload.jobs import note

LOOK_EVERY = 0.02  # seconds


def hold(token: str, journal: str, gate: str, patience: float = 180.0, secret: str = "") -> None:
	"""Run until the file `gate` exists. The journal tells when it began and ended, as that of the workload does."""
	note(journal, token, "start", "")
	deadline = time.monotonic() + patience
	while not Path(gate).exists() and time.monotonic() < deadline:
		time.sleep(LOOK_EVERY)
	note(journal, token, "end", "")


def tell_worker(token: str, journal: str, told: str) -> None:
	"""Note when the worker that runs this job was born."""
	worker = psutil.Process(os.getppid())
	with Path(told).open("a") as file:
		file.write(f"{worker.pid} {worker.create_time()}\n")
	note(journal, token, "start", "")
	note(journal, token, "end", "")


def stubborn(token: str, journal: str, seconds: float) -> None:
	"""A job that takes no notice of a TERM."""
	signal.signal(signal.SIGTERM, signal.SIG_IGN)
	note(journal, token, "start", "")
	deadline = time.monotonic() + seconds
	while time.monotonic() < deadline:
		time.sleep(LOOK_EVERY)
	note(journal, token, "end", "")
