"""What the engine needs of RQ's queues and workers, of leases, and of the operation's mailbox."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from enum import Enum
from typing import Protocol

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ledger import Beat, Ids, Inventory, no_beat
from fmx_restart.engine.ports.processes import HostProcess


class WorkerState(str, Enum):
	"""RQ's own words (rq/worker.py WorkerStatus)."""

	STARTED = "started"
	IDLE = "idle"
	BUSY = "busy"
	SUSPENDED = "suspended"


@frozen
class ReloadRecord:
	"""
	What a worker of this app tells of reloads in place: its process goes on with the code that is there now, when it has no
	job. A worker has none of these where it cannot do that.
	"""

	process: str  # which one it is, here or anywhere: an opaque token that a reload does not change
	times: int = 0  # how often it was reloaded
	answered: int = 0  # the number of the newest request that it has followed or refused; numbers grow
	refused: str = ""  # why it refused that one: the type of an error, or a key of CANNOT in engine/reload.py


@frozen
class Membership:
	"""What a worker's record tells of its pool: one of this app, whose process has started it."""

	pool: str  # the pool's name
	times: int  # how often the pool had been reloaded by then: the worker has its code


@frozen
class Worker:
	"""One RQ worker, as its record in Redis tells."""

	name: str
	host: str
	pid: int  # 0 where the record does not tell
	queues: tuple[str, ...]  # without the bench's prefix: ("short", "default")
	state: WorkerState
	job_id: str | None  # None also for the few milliseconds before a busy worker's job has started
	born: float  # seconds since the epoch; 0 where the record does not tell
	heartbeat: float  # seconds since the epoch; 0 where the record does not tell
	expires: float | None = None  # seconds until Redis forgets it, unless it beats; None: never
	is_leaving: bool = False  # it was told to stop, and ends when its job does
	#: False: Redis lost its record, this is what was known before and what it wrote since
	is_recorded: bool = True
	is_lossless: bool = False  # of this app: a stop of it loses no job, whoever stops it
	reload: ReloadRecord | None = None  # None: it cannot be asked to reload in place
	membership: Membership | None = None  # None: no pool of this app has started it

	@property
	def pool_name(self) -> str | None:
		"""None for one that is in no pool of this app."""
		return self.membership.pool if self.membership else None


class WithoutJob:
	"""What reloads as a worker does, and is none."""

	@property
	def job_id(self) -> None:
		"""As of a worker without a job."""
		return None

	@property
	def born(self) -> None:
		"""Its record does not tell."""
		return None


@frozen
class Pool(WithoutJob):
	"""
	A process of this app that keeps a number of workers, as its own record in Redis tells. When it has reloaded, it replaces them: a few
	at a time, each when its job has ended.
	"""

	name: str  # a reload does not change it
	host: str
	pid: int
	queues: tuple[str, ...]  # without the bench's prefix
	size: int  # how many workers it keeps
	reload: ReloadRecord
	is_trying: bool = False  # whether its new code can be imported

	@property
	def state(self) -> WorkerState:
		"""It runs no job itself."""
		return WorkerState.SUSPENDED if self.is_trying else WorkerState.IDLE


@frozen
class Scheduler(WithoutJob):
	"""The scheduler of this app that has Frappe's lock, as its own record tells: it looks for requests also between two ticks."""

	host: str
	pid: int
	reload: ReloadRecord
	is_trying: bool = False  # whether its new code can be imported
	is_ticking: bool = False  # it sees a request when that is over
	name: str = "scheduler"
	queues: tuple[str, ...] = ()

	@property
	def state(self) -> WorkerState:
		"""A tick is its job."""
		if self.is_trying:
			return WorkerState.SUSPENDED
		return WorkerState.BUSY if self.is_ticking else WorkerState.IDLE


#: Who may be asked to reload in place
Reloadable = Worker | Pool | Scheduler


@frozen
class Trial:
	"""Whether the code on a worker's host can be loaded there, as that worker has tried it."""

	is_seen: bool = False  # the worker has seen that it is asked
	is_over: bool = False
	fault: str = ""  # the type of the error, and the module; empty where the code can be loaded


@frozen
class StartedJob:
	"""An entry of RQ's started registry. `worker` is the worker's name as the job's hash tells it."""

	id: str
	worker: str | None
	expires: float  # seconds since the epoch: RQ moves the entry to failed after this


@frozen
class LocalWorkers:
	"""Where the workers of a look are, by their names. How that is known stands in engine/workers.py."""

	running: Mapping[str, HostProcess] = field(default_factory=dict)  # on this machine
	ended: frozenset[str] = frozenset()  # they were processes of this machine
	silent: frozenset[str] = frozenset()  # not of this machine, and nothing was heard of them for too long
	companions: frozenset[str] = frozenset()  # running; the process' command does not say that it is a worker
	#: running, unless another worker is that process: nothing tells which
	doubtful: frozenset[str] = frozenset()

	def __contains__(self, worker: Worker) -> bool:
		return worker.name in self.running or worker.name in self.ended

	@property
	def pids(self) -> set[int]:
		"""Of those that run on this machine."""
		return {process.pid for process in self.running.values()}


@frozen
class Look:
	"""What Redis says about this bench at one instant, read in one round trip."""

	time: float  # seconds since the epoch, by Redis' clock
	workers: tuple[Worker, ...]
	depths: Mapping[str, int]  # queue → jobs waiting
	started: tuple[StartedJob, ...]
	suspension: str | None  # the value of rq:suspended
	other_benches: Mapping[str, int] = field(default_factory=dict)  # on the same Redis database: id → workers
	local: LocalWorkers | None = None  # None: nobody has compared it with the process table
	pools: tuple[Pool, ...] = ()  # those that workers of this look name, or named in an earlier one
	scheduler: Scheduler | None = None


@frozen
class Job:
	"""What people may know of a job: never its arguments."""

	id: str
	site: str
	method: str
	queue: str
	started: float | None  # seconds since the epoch
	timeout: float | None  # seconds; None where RQ sets no limit
	is_own: bool = False  # of this app: nobody enqueued it


@frozen
class PutBack:
	"""Ids of jobs, by what became of them when they were to be put back."""

	pushed: list[str] = field(default_factory=list)
	#: the fence was not ours any more: someone may be popping them
	refused: list[str] = field(default_factory=list)


@frozen
class UnreadableRecord:
	"""Something that another program wrote, of which at least one field could not be read. Fit for printing."""

	kind: str  # job, worker, queue, …
	name: str
	reason: str  # without anything of its contents


@frozen
class UnreadableRecords:
	"""How many records could not be read, and the first few of them."""

	count: int
	named: tuple[UnreadableRecord, ...]  # the first of them
	is_more: bool = False  # there are more than were counted


class Queue(Protocol):
	"""RQ's queues, workers and registries, as far as they belong to this bench."""

	def look(self) -> Look:
		"""A worker that was seen before and whose record is lost is told too, until it says that it ends."""

	def reached_at(self) -> str:
		"""
		Where Redis serves, for Host.knows_all_clients. Empty where that cannot be told, or where it has just been restarted:
		then someone may not be back yet.
		"""

	def wake(self, workers: Collection[Worker]) -> None:
		"""
		Give each worker a reason to leave its blocking pop, so that it sees the fence (rq #526). No job for those of this app:
		they look by themselves each second, and are told to look now.
		"""

	def ask_to_leave(self, queue: str, names: Collection[str], told: Collection[str] = ()) -> str:
		"""
		A pill to the front of the queue: whichever of these workers takes it finishes it and leaves, any other one
		ignores it. Returns its id, for statuses(): queued while nobody took it, failed where it could not run. `told`: those of
		them that their managers tell to end. One of these is at work with the pill until then, so that it loses no job, and
		leaves by itself where it was not told within half a minute.
		"""

	def takers(self, pills: Iterable[str]) -> dict[str, str]:
		"""Of pills that somebody is at work with the name of that worker."""

	def ask_to_reload(self, whom: Collection[Reloadable]) -> None:
		"""
		These go on with new code in the same process, or say in their records why not. A worker sees that within a second, or when
		its job has ended; a pool within three seconds, the scheduler within two, or when its tick has ended.
		"""

	def withdraw_reloads(self, whom: Collection[Reloadable]) -> None:
		"""Who has not seen such a request yet stays as it is. Nothing tells of requests any more."""

	def ask_to_try(self, workers: Collection[Worker]) -> None:
		"""
		Workers of this app that are suspended try, in a process of their own, whether the code on their hosts can be loaded. They see
		that within a second; those of an older version never do.
		"""

	def trials(self, workers: Collection[Worker]) -> dict[str, Trial]:
		"""By name: how far each has come since it was asked last."""

	def ask_scheduler_to_reload(self) -> str:
		"""
		That of this app, on whichever machine, goes on with new code, after its next tick at the latest, unless that cannot be imported. Returns
		which process it is, for people; empty where there is none.
		"""

	def recall(self) -> int:
		"""
		Take back every wake-up and pill of this operation that nobody took, also those that a dead process of it sent.
		Returns how many there were.
		"""

	def describe(self, ids: Iterable[str]) -> dict[str, Job]:
		"""Ids whose hash is gone are left out."""

	def usual_durations(self, methods: Collection[str]) -> dict[str, float]:
		"""Method → median seconds of the jobs of it that finished lately. Unknown ones are left out."""

	def inventory(self, beat: Beat = no_beat) -> Inventory:
		"""
		Read list by list and page by page, so that Redis serves others in between. A job that stands in one list all the
		while is there; so is one that goes from its queue to a worker and from there to an end, in either place.
		"""

	def unreadable(self) -> UnreadableRecords:
		"""What could not be read since the beginning, in any of the other questions: unknown there, and told here."""

	def statuses(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, str | None]:
		"""The status in each job's own hash, by RQ's words; None where the hash is gone."""

	def hashes(self, beat: Beat = no_beat) -> Ids:
		"""All that have a hash, also jobs of other benches."""

	def queued(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, float]:
		"""Those of them that belong to this bench and whose hash says queued: id → enqueued at (seconds; 0: unknown)."""

	def put_back(self, ids: Iterable[str], fence: Fence, beat: Beat = no_beat) -> PutBack:
		"""
		Push ghosts to the front of their queue, each at most once, and each only while this fence has stood ever since its
		last renewal: Redis looks at both and pushes in one act.
		"""

	def fail(self, ids: Iterable[str], reason: str) -> None:
		"""
		Jobs whose process was killed: each is failed afterwards, and says why, whoever recorded it first. One that was
		failed for this very reason before is left as it is.
		"""

	def requeue(self, ids: Iterable[str], reason: str) -> list[str]:
		"""
		Those that failed last for this reason go to the front of their queue, arguments intact. Returns those that went,
		now or when it was tried before and the answer did not arrive: nobody goes twice.
		"""


class Hold(str, Enum):
	"""What an attempt to take or renew a lease came to."""

	TAKEN = "taken"  # it was free and is ours now
	KEPT = "kept"  # it was ours and stays so
	FOREIGN = "foreign"  # someone else has it; nothing was written


class Lease(Protocol):
	"""A key with an owner and an expiry. Ours while we renew it; gone by itself when we do not."""

	seconds: float  # how long it outlives its last renewal

	def hold(self, note: str = "") -> Hold:
		"""Take or renew it: owner, note and expiry in one write."""

	def release(self) -> bool:
		"""Compare-and-delete. False if it was not ours."""

	def holder(self) -> str | None:
		"""The note of whoever has it; None when it is free."""


class Fence(Protocol):
	"""
	The suspension of the queue. It has any number of owners, each with an expiry, and stands until the last of them has
	released it or expired. Operations of other benches on the same Redis are owners as well. What someone else suspended
	(a stranger, e.g. rq suspend) is never lifted.
	"""

	seconds: float  # how long it outlives the last renewal of its owner
	taken: int  # how often hold() told TAKEN: it stood between two moments only if this is the same

	def hold(self, note: str = "") -> Hold:
		"""
		Become an owner, or renew. KEPT: it has stood ever since the last renewal. TAKEN: it had not stood before, or not
		all the time since then. FOREIGN: it has, and a stranger's suspension stands in its place; the queue stays suspended
		when that is lifted, from the next renewal on.
		"""

	def release(self) -> bool:
		"""Be an owner no more; the queue runs again when none is left. False where it was none any more."""

	def holder(self) -> str | None:
		"""The value of the suspension: the note of one of its owners, or what a stranger wrote. None when there is none."""


LONGEST_EXTENSION = 86400.0  # seconds that one request may add


class RequestKind(str, Enum):
	"""What someone asks of an operation under way."""

	CANCEL = "cancel"
	EXTEND = "extend"  # give running jobs more time
	FORCE = "force"  # their time is over now


@frozen
class Request:
	"""One entry of an operation's mailbox; `by`: the person who asks."""

	wish: RequestKind
	by: str
	seconds: float = 0.0  # how much longer, with EXTEND


@frozen
class Mail:
	"""What was taken out of an operation's mailbox at one look."""

	requests: tuple[Request, ...] = ()  # in the order in which they came
	unreadable: tuple[str, ...] = ()  # of each entry that is no request: why, in a few words


class Requests(Protocol):
	"""What was asked of this operation, from wherever: another terminal, Desk, another machine."""

	def take(self) -> Mail:
		"""Each entry once, and only so many at a time. One that cannot be read keeps no other from being taken."""


class NoRequests:
	"""For an operation that nobody can ask for anything, as a recovery is."""

	def take(self) -> Mail:
		return Mail()
