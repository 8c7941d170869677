"""Facts about workers and their jobs."""

from __future__ import annotations

from fmx_restart.engine.events.operation import Event, Level
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import (
	Job,
	Trouble,
	UnreadableRecords,
	Worker,
)


@frozen
class RecordsUnreadable(Event):
	"""Other programs wrote them. Nothing ends because of them: what they say counts as not known."""

	level = Level.WARNING

	records: UnreadableRecords  # all since the beginning


@frozen
class NoWorkersFound(Event):
	"""Redis lists no worker of this bench: there is nothing to drain."""

	level = Level.WARNING


@frozen
class WorkersUnmanaged(Event):
	"""Started by hand, on another machine, or lost by their manager: they are left as they are, with old code."""

	level = Level.WARNING

	workers: tuple[Worker, ...]


@frozen
class Advised(Event):
	"""What a person may set up, so that less is lost by what this operation has no part in."""

	level = Level.NOTE

	advice: Trouble


@frozen
class WorkerDoesNotAnswer(Event):
	"""A worker of another machine took no wake-up: it is gone, or hangs. It is not waited for."""

	level = Level.WARNING

	name: str
	host: str
	pid: int


@frozen
class WorkersParked(Event):
	"""Every worker that could take a job now waits under the fence."""

	idle: int  # workers that wait under the fence
	busy: int  # workers that still run a job
	seconds: float


@frozen
class RunningJob:
	"""A job that the drain waits for, and who runs it."""

	job: Job
	worker: str
	pid: int | None
	elapsed: float | None  # seconds
	most_left: float | None  # seconds until RQ's own limit ends it; None where there is no limit


@frozen
class StillRunning(Event):
	"""What the drain waits for."""

	workers: tuple[Worker, ...]
	jobs: tuple[RunningJob, ...]
	orphans: tuple[int, ...]  # pids of job processes that lost their worker
	depths: dict[str, int]
	left: float  # seconds until the drain gives up
	#: seconds that the jobs take if they take as long as their like did; None: not known
	likely: float | None = None


@frozen
class Drained(Event):
	"""No job runs any more."""

	seconds: float
	jobs: int  # how many it waited for


@frozen
class QueueNearLimit(Event):
	"""At `limit` waiting jobs frappe.enqueue begins to raise; the time-out's policy applies now."""

	level = Level.WARNING

	queue: str
	depth: int
	limit: int


@frozen
class JobsCondemned(Event):
	"""Told before they are killed: whoever cleans up after us reads here what is still to be done for them."""

	ids: tuple[str, ...]
	requeue: bool
	reason: str  # what each of them is told to have failed for


@frozen
class JobsInterrupted(Event):
	"""Jobs that were killed on purpose, as their time was over."""

	level = Level.WARNING
	jobs: tuple[Job, ...]
	requeued: tuple[str, ...]  # ids of those that wait at the front of their queue again


@frozen
class JobsAbandoned(Event):
	"""They had started, someone else killed their workers, and nobody works on them any more."""

	level = Level.WARNING

	jobs: tuple[Job, ...]


@frozen
class JobsPutBack(Event):
	"""Jobs that were popped by a worker that never started them (rq #2236) wait at the front again."""

	ids: tuple[str, ...]


@frozen
class JobsNotPutBack(Event):
	"""They stood in no list, and the fence lapsed before they could be put back: a worker may be popping them."""

	level = Level.WARNING

	ids: tuple[str, ...]
