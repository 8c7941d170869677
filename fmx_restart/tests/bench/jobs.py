"""Jobs for the workers of the development bench: one ends when the test says so, one ignores TERM."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
from fmx_workload.jobs import note

LOOK_EVERY = 0.05  # seconds
LINK = 0.3  # seconds of one link of a chain: Frappe itself needs a third of that, and a core


def hold(token: str, journal: str, gate: str, patience: float = 180.0, secret: str = "") -> None:
	"""Run until the file `gate` exists. The journal tells when it began and ended, as that of the workload does."""
	note(journal, token, "start", "")
	deadline = time.monotonic() + patience
	while not Path(gate).exists() and time.monotonic() < deadline:
		time.sleep(LOOK_EVERY)
	note(journal, token, "end", "")


def fail(token: str, journal: str, secret: str = "") -> None:
	note(journal, token, "start", "")
	raise ValueError(secret)


def tell_worker(token: str, journal: str, told: str) -> None:
	"""Note when the worker that runs this job was born."""
	worker = psutil.Process(os.getppid())
	with Path(told).open("a") as file:
		file.write(f"{worker.pid} {worker.create_time()}\n")
	note(journal, token, "start", "")
	note(journal, token, "end", "")


def fork(token: str, journal: str, gate: str, patience: float = 180.0) -> None:
	"""A job that ends at once and leaves a process behind, in a session of its own, until the file `gate` exists."""
	note(journal, token, "start", "")
	if os.fork() == 0:
		os.setsid()
		hold(token + "-child", journal, gate, patience)
		os._exit(0)
	note(journal, token, "end", "")


def again(token: str, journal: str, gate: str) -> None:
	"""A job that puts itself into its queue once more, until the file `gate` exists."""
	import frappe

	note(journal, token, "start", "")
	time.sleep(LINK)
	if not Path(gate).exists():
		frappe.enqueue(__name__ + ".again", queue="short", token=token, journal=journal, gate=gate)
	note(journal, token, "end", "")


def stubborn(token: str, journal: str, seconds: float) -> None:
	"""A job that takes no notice of a TERM."""
	signal.signal(signal.SIGTERM, signal.SIG_IGN)
	note(journal, token, "start", "")
	deadline = time.monotonic() + seconds
	while time.monotonic() < deadline:
		time.sleep(LOOK_EVERY)
	note(journal, token, "end", "")


def polite(token: str, journal: str, cursor: int = 0) -> None:
	"""A job that works until it is asked to end, and ends for good when it goes on."""
	import fmx_restart

	note(journal, token, "start", "")
	deadline = time.monotonic() + 60
	while not cursor and time.monotonic() < deadline:
		if fmx_restart.should_stop():
			return fmx_restart.resume_later(cursor=1)
		time.sleep(LOOK_EVERY)
	return note(journal, token, "end", "")
