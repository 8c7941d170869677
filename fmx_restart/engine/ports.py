"""
What the engine needs from the outside, in the engine's words. Adapters implement these; the in-memory
twins in adapters/in_memory pass the same contract tests as the real ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Protocol

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.machine import Machine
from fmx_restart.engine.migration import Finding, MigrationOptions
from fmx_restart.engine.places import Beat, Ids, Inventory, no_beat
from fmx_restart.engine.waiting import Clock


class WorkerState(str, Enum):
	"""RQ's own words (rq/worker.py WorkerStatus)."""

	STARTED = "started"
	IDLE = "idle"
	BUSY = "busy"
	SUSPENDED = "suspended"


@dataclass(frozen=True)
class Worker:
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
	is_recorded: bool = (
		True  # False: Redis lost its record, this is what was known before and what it wrote since
	)


@dataclass(frozen=True)
class StartedJob:
	"""An entry of RQ's started registry. `worker` is the worker's name as the job's hash tells it."""

	id: str
	worker: str | None
	expires: float  # seconds since the epoch: RQ moves the entry to failed after this


@dataclass(frozen=True)
class HostProcess:
	"""
	A process of this machine. `identity` tells it from every other that ever has its pid: an opaque token in which no wall
	clock takes part. Empty where it is not known (an older version noted it): such a process is never signalled.
	"""

	pid: int
	identity: str = ""


@dataclass(frozen=True)
class LocalWorkers:
	"""Where the workers of a look are, by their names. How that is known stands in engine/local_workers.py."""

	running: Mapping[str, HostProcess] = field(default_factory=dict)  # on this machine
	ended: frozenset[str] = frozenset()  # they were processes of this machine
	silent: frozenset[str] = frozenset()  # not of this machine, and nothing was heard of them for too long
	companions: frozenset[str] = frozenset()  # running; the process' command does not say that it is a worker
	doubtful: frozenset[str] = (
		frozenset()
	)  # running, unless another worker is that process: nothing tells which

	def __contains__(self, worker: Worker) -> bool:
		return worker.name in self.running or worker.name in self.ended

	@property
	def pids(self) -> set[int]:
		return {process.pid for process in self.running.values()}


@dataclass(frozen=True)
class Look:
	"""What Redis says about this bench at one instant, read in one round trip."""

	time: float  # seconds since the epoch, by Redis' clock
	workers: tuple[Worker, ...]
	depths: Mapping[str, int]  # queue → jobs waiting
	started: tuple[StartedJob, ...]
	suspension: str | None  # the value of rq:suspended
	other_benches: Mapping[str, int] = field(default_factory=dict)  # on the same Redis database: id → workers
	local: LocalWorkers | None = None  # None: nobody has compared it with the process table


@dataclass(frozen=True)
class Job:
	"""What people may know of a job: never its arguments."""

	id: str
	site: str
	method: str
	queue: str
	started: float | None  # seconds since the epoch
	timeout: float | None  # seconds; None where RQ sets no limit
	is_own: bool = False  # of this app: nobody enqueued it


@dataclass(frozen=True)
class PutBack:
	pushed: list[str] = field(default_factory=list)
	refused: list[str] = field(
		default_factory=list
	)  # the fence was not ours any more: someone may be popping them


@dataclass(frozen=True)
class UnreadableRecord:
	"""Something that another program wrote, of which at least one field could not be read. Fit for printing."""

	kind: str  # job, worker, queue, …
	name: str
	reason: str  # without anything of its contents


@dataclass(frozen=True)
class UnreadableRecords:
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
		then somebody may not be back yet.
		"""

	def wake(self, workers: Collection[Worker]) -> None:
		"""Give each worker a reason to leave its blocking pop, so that it sees the fence (rq #526)."""

	def ask_to_leave(self, queue: str, names: Collection[str]) -> str:
		"""
		A pill to the front of the queue: whichever of these workers takes it finishes it and leaves, any other one
		ignores it. Returns its id, for statuses(): queued while nobody took it, failed where it could not run.
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
	TAKEN = "taken"  # it was free and is ours now
	KEPT = "kept"  # it was ours and stays so
	FOREIGN = "foreign"  # somebody else has it; nothing was written


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
		"""Be an owner no more; the queue moves when none is left. False where it was none any more."""

	def holder(self) -> str | None:
		"""The value of the suspension: the note of one of its owners, or what a stranger wrote. None when there is none."""


LONGEST_EXTENSION = 86400.0  # seconds that one request may add


class Wish(str, Enum):
	"""What somebody asks of an operation under way."""

	CANCEL = "cancel"
	EXTEND = "extend"  # give running jobs more time
	FORCE = "force"  # their time is over now


@dataclass(frozen=True)
class Request:
	wish: Wish
	by: str
	seconds: float = 0.0  # how much longer, with EXTEND


@dataclass(frozen=True)
class Mail:
	requests: tuple[Request, ...] = ()  # in the order in which they came
	unreadable: tuple[str, ...] = ()  # of each entry that is no request: why, in a few words


class Requests(Protocol):
	"""What was asked of this operation, from wherever: another terminal, Desk, another machine."""

	def take(self) -> Mail:
		"""Each entry once, and only so many at a time. One that cannot be read keeps no other from being taken."""


class ProcessKind(str, Enum):
	WEB = "web"
	WORKER = "worker"
	SCHEDULER = "scheduler"
	SOCKETIO = "socketio"
	OTHER = "other"


class ProcessState(str, Enum):
	RUNNING = "running"
	STARTING = "starting"
	STOPPING = "stopping"
	STOPPED = "stopped"  # somebody stopped it on purpose, or it was never started
	EXITED = "exited"  # ended by itself, as its configuration allows
	FAILED = "failed"  # the manager gave up
	RETRYING = "retrying"  # it ended soon after its start, and the manager will try again


@dataclass(frozen=True)
class Process:
	name: str  # as the manager calls it, group included
	kind: ProcessKind
	state: ProcessState
	pid: int | None = None
	started: float | None = (
		None  # seconds since the epoch, by the manager's clock (whole seconds); for people
	)
	detail: str = ""  # the manager's own words about a failure
	incarnation: str = ""  # the identity of the process that it is (HostProcess); empty while it is down or where nobody knows
	has_workers: bool = False  # a registered RQ worker is in its process tree, whatever its command says

	@property
	def runs_jobs(self) -> bool:
		"""To stop it is to stop a worker."""
		return self.has_workers or self.kind is ProcessKind.WORKER

	def is_same_as(self, earlier: Process) -> bool:
		"""Whether it was not started since then."""
		is_known = self.incarnation and earlier.incarnation
		return self.pid == earlier.pid and (not is_known or self.incarnation == earlier.incarnation)


class Processes(Protocol):
	"""The process manager, as far as it runs this bench. Redis is never among them."""

	def list(self) -> list[Process]: ...

	def stop(self, name: str) -> None:
		"""Order it to stop and return at once. A process that is down already is fine."""

	def start(self, name: str) -> None:
		"""Order it to start and return at once. A process that is up already is fine."""

	def order(self, *, stop: Collection[str] = (), start: Collection[str] = ()) -> dict[str, ProcessFault]:
		"""All of it in one conversation, however slow the manager is. Returns what it would not do, by name."""

	def mark_log(self, name: str) -> None:
		"""Its old process has ended: what is in its log from now on is of its successor."""

	def log_tail(self, name: str) -> str:
		"""
		The last lines that were written since mark_log, nothing about jobs among them. Empty when there is no log, when it
		was not marked, or when it cannot be told what is new in it.
		"""

	def start_command(self, names: Collection[str]) -> str:
		"""What a person types to start these programs. Asks nobody."""


class Likeness(IntEnum):
	"""How far a process agrees with the record of a worker that has its pid, by what it is and not by when it began."""

	NONE = 0  # it is something else, or another bench's, or we may not look at it
	BENCH = 1  # a process of this bench whose command does not tell whether it is a worker
	WORKER = 2  # it runs a worker of this bench
	NAMED = 3  # its title names this very worker


class Host(Protocol):
	"""The process table of the machine we are on."""

	name: str  # as RQ writes it into a worker's hash
	machine: Machine

	def me(self) -> HostProcess:
		"""The process we are."""

	def process(self, pid: int) -> HostProcess | None:
		"""The process that has this pid now; None where there is none, or only a zombie."""

	def head(self, pid: int, heads: Collection[int]) -> int | None:
		"""The one of these pids that the process is, or descends from: the nearest. None where there is none."""

	def likeness(self, process: HostProcess, worker: Worker) -> Likeness:
		"""How far it can be that worker."""

	def family(self, *pids: int) -> list[HostProcess]:
		"""These processes, which come first, and all their descendants, as they are now."""

	def horses(self, pid: int) -> list[HostProcess]:
		"""The job processes below a worker: its descendants that lead a process group of their own, as RQ makes each do."""

	def alive(self, processes: Iterable[HostProcess]) -> list[HostProcess]:
		"""Those that still run, and are no zombies. One whose identity is not known counts while its pid is taken."""

	def terminate(self, process: HostProcess) -> None:
		"""SIGTERM if it is still the same process: a worker at work finishes its job and leaves."""

	def end(self, processes: Iterable[HostProcess]) -> None:
		"""SIGKILL to each that is still the same process. Those that are gone are fine."""

	def knows_all_clients(self, address: str) -> bool:
		"""
		Whether everybody who is connected to this server is a process of a bench that we see; a worker that we do not see is
		none then. False where that cannot be told.
		"""

	def orphan_horses(self, managed: Collection[int]) -> list[HostProcess]:
		"""This bench's job processes that lost their worker. `managed`: pids the manager or RQ knows."""


@dataclass(frozen=True)
class WebFault:
	reason: str  # in a few words
	address: str = ""  # where it was asked: 127.0.0.1:8000, unix:/path
	site: str = ""  # for which site; empty where it was asked for none
	is_answer: bool = False  # the server is up, and says itself that something is wrong
	is_taken: bool = False  # another process listens at the address
	is_stray: bool = False  # which is a web server of this bench that no process manager runs, with old code
	holder: HostProcess | None = None  # that process, where it can be seen
	remedy: str = ""  # what to type; empty where only a log can tell

	def __str__(self) -> str:
		about = f" (site {self.site})" if self.site else ""
		return f"{self.address}{about}: {self.reason}" if self.address else self.reason


class Web(Protocol):
	"""
	The bench's web server, asked over HTTP where its processes listen. A `family` is a web program's process and all its
	descendants; it is empty where the program does not run. No call takes longer than a second or two.
	"""

	def taken(self, families: Collection[Sequence[HostProcess]]) -> WebFault | None:
		"""
		Who keeps one of these programs from its address, or shares it, if anybody does: an old web server that no process
		manager runs, a stranger. Changes nothing.
		"""

	def begin(self, family: Sequence[HostProcess]) -> None:
		"""Find out, beside us, which sites answer before the restart."""

	def watch(self) -> None:
		"""Measure from now on how long users get no answer. Returns when the old server has answered once, or has not."""

	def outage(self) -> float | None:
		"""
		Seconds without an answer since watch, which ends with this. None where it did not answer before, or does not now,
		or nobody watched.
		"""

	def fault(self, family: Sequence[HostProcess]) -> WebFault | None:
		"""
		None when one of these processes answers as it should, for a site that was answered before, or for any where none
		was. An answer of somebody else is a fault; where it cannot be known who answers, the answer counts: see unproved.
		"""

	def unproved(self, family: Sequence[HostProcess]) -> str:
		"""Why it cannot be known that one of these processes answered; empty where it is known. After a good answer."""

	def broken_sites(self) -> list[WebFault] | None:
		"""
		After a good answer: sites that answered before the restart, or that somebody named, and that are not answered now.
		None while they are still being asked.
		"""

	@property
	def address(self) -> str:
		"""Where it answered last, or should."""


@dataclass(frozen=True)
class CodeFault:
	module: str  # what cannot be imported
	error: str  # the exception, in one line
	traceback: str  # its last lines


class Code(Protocol):
	"""The Python code on the disk, as web and workers would load it if they were started now."""

	def start_check(self) -> None:
		"""Begin it, beside us. Raises OSError when the machine has no room for that."""

	def faults(self) -> list[CodeFault] | None:
		"""
		Those found so far; None as long as the first part is not done: what every web and worker process loads. The
		second part, the web application as a whole, takes seconds.
		"""

	def is_checked(self) -> bool:
		"""Nothing more will come: both parts are done, or it has ended early, or was never begun."""

	def end_check(self) -> None:
		"""Whoever has seen enough gives the processor back."""


class Run(Protocol):
	"""A command on one site, in a process group of its own. Whoever asks is never kept waiting."""

	log: str  # the file that gets all its output

	def output(self) -> str:
		"""What it printed since the last time."""

	def exit_code(self) -> int | None:
		"""None while it runs."""

	def terminate(self) -> None:
		"""TERM to each of its processes that is proved to be its own."""

	def kill(self) -> None:
		"""KILL to each of its processes that is proved to be its own."""

	def is_gone(self) -> bool:
		"""No process of it is left, children included."""

	def age(self) -> float:
		"""Seconds since the oldest process began that is left of it, by the kernel's own clock; 0 where none is."""


class Migrations(Protocol):
	"""What migrates and backs up a site of this bench, and what is known about it before."""

	def inspect(self, site: str, options: MigrationOptions) -> list[Finding]:
		"""What speaks against migrating this site now. Changes nothing."""

	def start(self, site: str, options: MigrationOptions) -> Run:
		"""Raises WrongEnvironment when the command cannot be started; nothing was changed then."""

	def start_backup(self, site: str) -> Run:
		"""As start; Frappe's own backup of the database."""

	def adopt(self, log: str) -> Run:
		"""The run that writes this log, started by a process that died since. Its exit code is never known."""

	def backup_file(self, site: str, run: Run) -> str | None:
		"""The file that a backup which has ended says it wrote, if it is there."""


@dataclass(frozen=True)
class Setting:
	"""One key of a site's configuration file. An absent key is not the same as one that is null or 0."""

	site: str
	key: str
	value: int | float | str | bool | None = None
	is_present: bool = False


class SiteSettings(Protocol):
	"""The sites' configuration files. Raises WrongEnvironment for a file that cannot be read or written."""

	def read(self, site: str, key: str) -> Setting: ...

	def replace(self, old: Setting, new: Setting) -> bool:
		"""Set `new` where `old` stands, and change nothing else. False where neither of both stands."""


@dataclass(frozen=True)
class Trouble:
	"""Something that is wrong with the bench, found by the doctor's check of that name."""

	check: str
	text: str
	remedy: str


class Health(Protocol):
	"""The doctor, who looks at the bench while the operation goes its way. Nobody waits for him."""

	def troubles(self) -> list[Trouble] | None:
		"""None as long as he is still looking. Asking for the first time begins it."""


@dataclass(frozen=True)
class OtherOperation:
	operation: str
	pid: int


class OtherOperations(Protocol):
	"""Operations and recoveries of this bench on this machine, as the kernel knows them: it needs no clock and no Redis."""

	def at_work(self) -> OtherOperation | None:
		"""One, besides ourselves, whose process is alive and that has begun to change the bench."""


@dataclass(frozen=True)
class Bench:
	"""One bench, as the engine sees it."""

	id: str
	path: str
	queue: Queue
	processes: Processes
	host: Host
	web: Web
	lock: Lease
	fence: Fence
	clock: Clock
	migrations: Migrations | None = None
	settings: SiteSettings | None = None
	requests: Requests | None = None
	health: Health | None = None
	code: Code | None = None
	others: OtherOperations | None = None
