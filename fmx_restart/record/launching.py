"""From a row that says Queued to a process of its own. The ticket decides who launches it; nobody does so twice."""

from __future__ import annotations

import shlex
import subprocess
import sys

import frappe

from fmx_restart.record import here, rows

QUEUE = "short"
TIMEOUT = 60  # seconds for RQ's job and for the launch itself
HELPER = ("-m", "frappe.utils.bench_helper", "frappe", "safe-restart")
AWAY = ("-m", "fmx_restart.record.away")


def enqueue(operation: str) -> None:
	"""The job is put when the row is committed, in front of others: who asked for a restart is waiting."""
	frappe.enqueue(
		"fmx_restart.record.launching.launch",
		queue=QUEUE,
		timeout=TIMEOUT,
		at_front=True,
		enqueue_after_commit=True,
		operation=operation,
	)


def launch(operation: str) -> bool:
	"""False when somebody else launched it, or it was cancelled. What runs this ends before the operation begins to wait."""
	if not here.ticket().take(operation):
		return False
	row = frappe.db.get_value(rows.DOCTYPE, operation, ["command", "origin", "requested_by"], as_dict=True)
	here.journal_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
	asked = shlex.split(row.command)[2:]  # bench safe-restart …
	words = [sys.executable, *HELPER, *asked, *identity(operation, row.origin, row.requested_by)]
	away = [sys.executable, *AWAY, str(here.errors_of(operation)), *words]
	subprocess.run(away, check=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
	return True


def identity(operation: str, origin: str, requested_by: str) -> list[str]:
	return [
		"--yes",
		"--json",
		"--operation",
		operation,
		"--origin",
		origin.lower(),
		"--requested-by",
		requested_by,
	]
