"""From a row that says Queued to a process of its own. The ticket decides who launches it; nobody does so twice."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import frappe

from fmx_restart.adapters.systemd.cgroup import unit_of
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
	away = [sys.executable, *AWAY, str(here.output_of(operation)), *way_out(operation), *words]
	subprocess.run(away, check=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
	return True


def way_out(
	operation: str, environ: Mapping[str, str] = os.environ, cgroup: Path = Path("/proc/self/cgroup")
) -> list[str]:
	"""
	Words before the command where systemd itself runs this worker or web server: a unit that stops takes every process of
	its cgroup along, whatever its session, so the operation gets a scope of its own. supervisord's children share the
	cgroup of supervisord, which is not restarted.
	"""
	unit, is_users = unit_of(cgroup)
	if unit is None or "SUPERVISOR_ENABLED" in environ:
		return []
	systemd_run = shutil.which("systemd-run") or "/usr/bin/systemd-run"
	user = ["--user"] if is_users else []
	return [systemd_run, *user, "--scope", "--quiet", "--collect", f"--unit=fmx-restart-{operation}", "--"]


def identity(operation: str, origin: str, requested_by: str) -> list[str]:
	return [
		"--yes",
		"--operation",
		operation,
		"--origin",
		origin.lower(),
		"--requested-by",
		requested_by,
	]
