"""What a worker of a pool knows of its pool: the process that started it, and starts another one when it leaves."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from multiprocessing import parent_process

from fmx_restart.worker.owners import born

#: A field of a worker's record: the name of its pool, under which that answers requests for a reload
POOL = "fmx_pool"
VARIABLE = "FMX_RESTART_POOL"  # of the environment: from a pool of this app to its workers


def pool_key(bench_id: str, name: str) -> str:
	"""The pool's record: pid, hostname, and the fields of a worker's record that are about reloads. It expires."""
	return f"rq:fmx:{bench_id}:pool:{name}"


class Membership:
	"""
	Of this process in a pool. `pid`: of the pool's process; `name`: of the pool, empty where it is none of this app's; `reloads`: how
	often the pool was reloaded before it started this worker; `answered`: the newest request that its code need not follow.
	"""

	def __init__(self, pid: int, name: str = "", reloads: int = 0, answered: int = 0) -> None:
		self.pid, self.name, self.reloads, self.answered = pid, name, reloads, answered
		self._since = born(pid)

	@property
	def is_over(self) -> bool:
		"""The pool's process is gone: nobody tells this worker to leave any more, or starts another one in its place."""
		return bool(self._since) and born(self.pid) != self._since


def membership() -> Membership | None:
	"""None for a worker that is no pool's."""
	parent = parent_process()
	if parent is None:
		return None
	with suppress(ValueError, TypeError):
		pid, *values = json.loads(os.environ.get(VARIABLE, "[0]"))
		if pid == parent.pid:
			return Membership(pid, *values)
	return Membership(parent.pid)


def tell_workers(name: str, reloads: int, answered: int) -> None:
	"""In the pool's process, for those that it starts from now on."""
	os.environ[VARIABLE] = json.dumps([os.getpid(), name, reloads, answered])
