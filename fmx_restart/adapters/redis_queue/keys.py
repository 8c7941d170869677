"""RQ's key names, taken from RQ itself, for the queues of one bench."""

from __future__ import annotations

from urllib.parse import quote

import rq
from rq.job import Job
from rq.queue import Queue
from rq.registry import BaseRegistry
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import Worker

from fmx_restart.adapters.redis_queue.records import raw
from fmx_restart.worker.requests import lock_key as lock_key

SUSPENDED = WORKERS_SUSPENDED
#: Who holds the queue suspended, of every bench on this Redis database: as there is one rq:suspended, there is one of these.
FENCE_OWNERS = "rq:fmx:fence"
#: How the name of an owner begins that is a hold, of whichever bench. No operation's begins so: its bench has a name.
HOLD_STEM = "fmx_restart::hold:"
QUEUES = Queue.redis_queues_keys
QUEUE_PREFIX = Queue.redis_queue_namespace_prefix
WORKERS = Worker.redis_workers_keys
WORKER_PREFIX = Worker.redis_worker_namespace_prefix
JOB_PREFIX = Job.redis_job_namespace_prefix

#: Wake-ups are jobs whose id begins so; no reader of ours counts them.
WAKE_PREFIX = "fmx-park-"

#: From rq 2.0 on, members of the started registry are "<job id>:<execution id>".
HAS_EXECUTIONS = int(rq.VERSION.split(".")[0]) >= 2


def job_key(id: str) -> bytes:
	"""The hash in which RQ keeps a job."""
	return raw(JOB_PREFIX + id)


def worker_key(name: str) -> bytes:
	"""The hash in which RQ keeps a worker."""
	return raw(WORKER_PREFIX + name)


def queue_key(name: str) -> bytes:
	"""`name`: in full, with the bench's prefix."""
	return raw(QUEUE_PREFIX + name)


def intermediate_key(name: str) -> bytes:
	"""Where a worker that listens to one queue keeps an id between its pop and its first note."""
	return raw(f"{QUEUE_PREFIX}{name}:intermediate")


def registry_key(kind: type[BaseRegistry], name: str) -> bytes:
	"""`name`: of a queue, in full."""
	return raw(kind.key_template.format(name))


def is_wake(id: str) -> bool:
	"""True for the id of a wake-up, which no report counts."""
	return id.startswith(WAKE_PREFIX)


def started_id(member: str) -> str:
	"""The job's id in a member of the started registry."""
	id, colon, _ = member.rpartition(":")
	return id if HAS_EXECUTIONS and colon else member


def requests_key(bench_id: str, operation: str) -> str:
	"""The list of what people ask of a running operation: stop, more time, force."""
	return f"rq:fmx:{bench_id}:requests:{operation}"


def hold_owner(bench_id: str, owner: str) -> str:
	"""The name of a hold among the owners of the fence: it may have neither spaces nor colons of its own."""
	return f"{HOLD_STEM}{quote(bench_id, safe='')}:{quote(owner, safe='')}"


def hold_key(bench_id: str, owner: str) -> str:
	"""What is known of the last hold by this owner, also when it has ended."""
	return f"rq:fmx:{bench_id}:hold:{quote(owner, safe='')}"
