"""What a worker of a pool knows of its pool: the process that started it, and starts another one when it leaves."""

from __future__ import annotations

import json
import os
from multiprocessing import parent_process
from typing import NamedTuple

from fmx_restart.worker.owners import born

#: A field of a worker's record: the name of its pool, under which that answers requests for a reload
POOL = "fmx_pool"
VARIABLE = "FMX_RESTART_POOL"  # of the environment: from a pool of this app to its workers


def pool_key(bench_id: str, name: str) -> str:
	"""The pool's record: pid, hostname, and the fields of a worker's record that are about reloads. It expires."""
	return f"rq:fmx:{bench_id}:pool:{name}"


class Membership(NamedTuple):
	"""Of this process in a pool."""

	pid: int  # of the pool's process
	name: str = ""  # of the pool; empty where it is none of this app's
	reloads: int = 0  # how often the pool was reloaded before it started this worker
	answered: int = 0  # the newest request that its code need not follow
	since: str = ""  # when the pool's process started, in the kernel's ticks

	@property
	def is_over(self) -> bool:
		"""The pool's process is gone: nobody tells this worker to leave any more, or starts another one in its place."""
		return bool(self.since) and born(self.pid) != self.since


def membership() -> Membership | None:
	"""None for a worker that is no pool's."""
	parent = parent_process()
	if parent is None:
		return None
	told = Membership(parent.pid)
	try:
		pid, *values = json.loads(os.environ.get(VARIABLE, "[0]"))
		if pid == parent.pid:
			told = Membership(pid, *values)
	except (ValueError, TypeError):
		pass
	return told._replace(since=born(parent.pid))


def tell_workers(name: str, reloads: int, answered: int) -> None:
	"""In the pool's process, for those that it starts from now on."""
	os.environ[VARIABLE] = json.dumps([os.getpid(), name, reloads, answered])
