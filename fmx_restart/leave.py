"""
The poison pill of a rolling restart: a job that makes the worker that runs it leave. The worker is at work at that
moment by definition, so it finishes the pill, pops nothing more and ends (rq/worker.py request_stop): no race.
So it is where the manager tells the worker to end, as long as the pill keeps it at work.
Imported by every worker that gets one: nothing but rq here.
"""

from __future__ import annotations

import os
import signal
import time

from rq import get_current_job
from rq.worker import Worker

TOLD_WITHIN = 30.0  # seconds that a manager has to tell its worker
LOOK_EVERY = 0.05  # seconds


def leave(names: list[str], told: tuple[str, ...] = (), within: float = TOLD_WITHIN, **_frappe) -> None:
	"""
	TERM to the worker that runs this, if it is one of `names`. A fresh one that got the pill ignores it. `told`: those of them whose
	managers tell them to end; only one that has not heard of that `within` seconds gets the TERM from here.
	"""
	job = get_current_job()
	if job.worker_name not in names:
		return
	key = Worker.redis_worker_namespace_prefix + job.worker_name
	if job.worker_name in told and hears(job.connection, key, within):
		return
	pid = int(job.connection.hget(key, "pid"))
	if pid in (os.getppid(), os.getpid()):  # its horse's parent; a worker that doesn't fork runs this itself
		os.kill(pid, signal.SIGTERM)


def hears(connection, key: str, within: float) -> bool:
	"""Whether the worker with this record is told to end within so many seconds. It notes that itself (rq/worker.py _shutdown)."""
	deadline = time.monotonic() + within
	while not connection.hexists(key, "shutdown_requested_date"):
		if time.monotonic() > deadline:
			return False
		time.sleep(LOOK_EVERY)
	return True
