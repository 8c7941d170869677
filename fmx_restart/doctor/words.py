"""How findings speak of jobs, workers and errors."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

from fmx_restart.engine.ports import Job, Worker

SHOWN = 5  # names in one sentence


def job_name(job: Job | None, id: str) -> str:
	"""Never its arguments."""
	return f"{job.site} / {job.method} ({id})" if job else id


def worker_name(worker: Worker) -> str:
	"""A worker for a person: the beginning of its name, pid, machine, queues."""
	return f"{worker.name[:12]} (pid {worker.pid or 'unknown'} on {worker.host}, {','.join(worker.queues)})"


def listed(names: Sequence[str]) -> str:
	"""Some names, and how many more there are."""
	rest = len(names) - SHOWN
	return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def error_name(error: BaseException) -> str:
	"""
	What was raised, and where. Not its text: that may quote a password, a job's arguments, or anything else of what could
	not be read.
	"""
	places = traceback.extract_tb(error.__traceback__)
	ours = [place for place in places if "fmx_restart" in Path(place.filename).parts]
	where = [f", {Path(place.filename).name} line {place.lineno}" for place in (ours or places)[-1:]]
	return f"{type(error).__name__}{''.join(where)}"
