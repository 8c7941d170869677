"""
The poison pill of a rolling restart: a job that makes the worker that runs it leave. The worker is at work at that
moment by definition, so it finishes the pill, pops nothing more and ends (rq/worker.py request_stop): no race.
Imported by every worker that gets one: nothing but rq here.
"""

from __future__ import annotations

import os
import signal

from rq import get_current_job
from rq.worker import Worker


def leave(names: list[str], **_frappe) -> None:
	"""TERM to the worker that runs this, if it is one of `names`. A fresh one that got the pill ignores it."""
	job = get_current_job()
	if job.worker_name not in names:
		return
	pid = int(job.connection.hget(Worker.redis_worker_namespace_prefix + job.worker_name, "pid"))
	if pid in (os.getppid(), os.getpid()):  # its horse's parent; a worker that doesn't fork runs this itself
		os.kill(pid, signal.SIGTERM)
