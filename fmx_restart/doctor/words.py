"""How findings speak of jobs, times and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from fmx_restart.engine.ports import Job, Worker

SHOWN = 5  # names in one sentence


def job_name(job: Job | None, id: str) -> str:
	"""Never its arguments."""
	return f"{job.site} / {job.method} ({id})" if job else id


def worker_name(worker: Worker) -> str:
	return f"{worker.name[:12]} (pid {worker.pid} on {worker.host}, {','.join(worker.queues)})"


def listed(names: Sequence[str]) -> str:
	rest = len(names) - SHOWN
	return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def count(number: int, noun: str) -> str:
	return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def span(seconds: float) -> str:
	"""The two largest units."""
	for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
		if seconds >= size:
			whole, rest = divmod(int(seconds), size)
			return f"{whole} {unit} {rest // small} {part}" if rest // small else f"{whole} {unit}"
	return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
