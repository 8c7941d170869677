"""Whether the worker that has a claim lives. What one machine tells of itself counts there only."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from redis import Redis
from rq.worker import Worker

from fmx_restart.worker.claims import Claim

#: Fields of a worker's record: that it is one of this app's, the process space it is in, the start time of its process
IS_OURS, SPACE, BORN = "fmx_worker", "fmx_space", "fmx_born"
CLAIMS_OF = "1"  # the form of claims that it writes
RECORDS_BACK = 60  # seconds after a start of Redis in which workers that live write their records again
SLOW = 30.0  # seconds after which a job that was popped elsewhere and not started is given to another worker


@cache
def process_space() -> str:
	"""What a pid is unique in: this boot of this machine, and this pid namespace. Empty where that cannot be told."""
	with suppress(OSError):
		boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
		return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
	return ""


def born(pid: int | str) -> str:
	"""When that process started, in the kernel's ticks; empty if it is gone, or only waits for its parent."""
	try:
		fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
	except OSError:
		return ""
	return "" if fields[0] in "ZX" else fields[19]


def identity() -> str:
	"""Of this process, for its claims."""
	return f"{process_space()} {os.getpid()} {born(os.getpid())}"


def mark(connection: Redis, key: str, **others: str | int) -> None:
	"""`key`: of this worker's own record. `others`: more fields."""
	about = {IS_OURS: CLAIMS_OF, SPACE: process_space(), BORN: born(os.getpid()), **others}
	connection.hset(key, mapping=about)


def is_gone(connection: Redis, owner: str, claim: Claim) -> bool:
	"""
	On this machine its process tells. Elsewhere it is gone with its record, which RQ lets expire, also while Redis is away; a job
	that it only popped is given to another one before: START settles who runs it.
	"""
	record = Worker.redis_worker_namespace_prefix + owner
	pipe = connection.pipeline(transaction=False)
	(*told, death), (now, _) = pipe.hmget(record, SPACE, "pid", BORN, "death").time().execute()
	space, _, process = (claim.process or " ".join((field or b"").decode() for field in told)).rpartition(
		"] "
	)
	if f"{space}]" == process_space():
		pid, _, since = process.partition(" ")
		return born(pid) != since
	if death:
		return True
	if not told[1]:
		return connection.info("server")["uptime_in_seconds"] > RECORDS_BACK
	return claim.state == "popped" and now - claim.at > SLOW
