"""How findings speak of jobs, times and numbers."""

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
	return f"{worker.name[:12]} (pid {worker.pid or 'unknown'} on {worker.host}, {','.join(worker.queues)})"


def listed(names: Sequence[str]) -> str:
	rest = len(names) - SHOWN
	return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def count(number: int, noun: str) -> str:
	return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def error_name(error: BaseException) -> str:
	"""
	What was raised, and where. Not its text: that may quote a password, a job's arguments, or anything else of what could
	not be read.
	"""
	places = traceback.extract_tb(error.__traceback__)
	ours = [place for place in places if "fmx_restart" in Path(place.filename).parts]
	where = [f", {Path(place.filename).name} line {place.lineno}" for place in (ours or places)[-1:]]
	return f"{type(error).__name__}{''.join(where)}"


def span(seconds: float) -> str:
	"""The two largest units."""
	for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
		if seconds >= size:
			whole, rest = divmod(int(seconds), size)
			return f"{whole} {unit} {rest // small} {part}" if rest // small else f"{whole} {unit}"
	return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
