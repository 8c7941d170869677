"""What the person asked for: built once at the edge, never changed after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.phases import Phase


class Strategy(str, Enum):
	FAST = "fast"
	WAIT_WORKERS = "wait-workers"
	NO_WAIT_WORKERS = "no-wait-workers"
	SUSPEND_RQ = "suspend-rq"
	ROLLING = "rolling"


#: these end with no job running; the others leave running jobs to themselves
DRAINING = {Strategy.WAIT_WORKERS, Strategy.FAST}


class OnTimeout(str, Enum):
	"""What happens to jobs that still run when their time is over."""

	ABORT = "abort"  # nothing is restarted, the bench goes on as it was
	REQUEUE = "requeue"  # killed, and put back at the front of their queue, once
	KILL = "kill"  # killed, and left as failed


@dataclass(frozen=True)
class Options:
	strategy: Strategy = Strategy.WAIT_WORKERS
	drain_timeout: float = 300.0  # seconds that running jobs get to finish
	on_timeout: OnTimeout = OnTimeout.ABORT
	force_kill_timeout: float = 30.0  # seconds that a busy worker gets where nobody waited for it before
	web: bool = True  # web and socketio
	workers: bool = True  # workers and scheduler
	start_stopped_web: bool = False  # a web program that somebody stopped on purpose is started, too
	rolling_share: float = 0.0  # part of a queue's workers that may be away at once, 0 to 1; at least one
	rolling_timeout: float = math.inf  # seconds for all workers
	rolling_max_failures: int = 1  # rolling stops when so many processes have not come back; at least 1
	web_sites: tuple[str, ...] = ()  # those that somebody typed: web must answer each afterwards
	sites: tuple[str, ...] = ()  # those that are migrated, and put into maintenance mode
	migration: MigrationOptions | None = None
	maintenance: frozenset[Phase] = frozenset()  # drain, migrate, restart: when the sites are closed
	queue_limit: int | None = None  # depth at which frappe.enqueue begins to raise; None: never
	ignore_code_faults: bool = False  # restart although web or workers could not load what is on the disk
	report_every: float = 5.0  # seconds between two StillRunning facts when nothing changes
	requested_by: str = ""  # shown to whoever is told that the bench is held
	origin: str = "terminal"  # from where it was asked for: terminal, desk, api, schedule

	@property
	def touches_jobs(self) -> bool:
		"""Web alone can be restarted without a job noticing; a schema cannot be changed so."""
		return self.workers or self.migration is not None

	@property
	def stops_queue(self) -> bool:
		return self.touches_jobs and self.strategy is not Strategy.ROLLING
