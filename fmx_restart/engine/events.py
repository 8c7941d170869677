"""
What happened, as facts without sentences. The terminal, --json and the journal are listeners; each owns
its wording. Times are seconds; instants are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmx_restart.engine.machine import Machine
from fmx_restart.engine.migration import Finding, SiteMigration
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import (
	CodeFault,
	HostProcess,
	Job,
	ProcessKind,
	Request,
	Setting,
	Trouble,
	UnreadableRecords,
	WebFault,
	Worker,
)
from fmx_restart.engine.report import Report


@dataclass(frozen=True)
class Event:
	"""The base of every fact; a listener may ask for this type only."""


@dataclass(frozen=True)
class OperationStarted(Event):
	operation: str
	bench: str
	strategy: str
	host: str = ""
	process: HostProcess | None = None
	options: Options | None = None
	machine: Machine | None = None
	format: int = 0  # of the journal that begins with this fact; 0 from versions that noted none


@dataclass(frozen=True)
class WentIntoBackground(Event):
	"""Stands in journals of older versions only: from here on the operation ran in this process."""

	process: HostProcess


@dataclass(frozen=True)
class Requested(Event):
	"""Somebody asked for it while the operation was under way; `refusal` says why it is not done."""

	request: Request
	refusal: str = ""


@dataclass(frozen=True)
class RequestsIgnored(Event):
	"""Entries of the mailbox that are no requests. Nothing of what was written there is told: anyone may have done so."""

	count: int
	reasons: tuple[str, ...]  # each once


@dataclass(frozen=True)
class JournalLost(Event):
	"""The journal cannot be written any more. Nothing is begun without it; what was begun is finished."""

	reason: str


@dataclass(frozen=True)
class NotUnderstood(Event):
	"""In place of a fact that another version wrote, or whose line is damaged. Only for showing: no journal holds it."""

	reason: str


@dataclass(frozen=True)
class RecoveryStarted(Event):
	"""The process of an operation died in this phase; from here on another one puts things right."""

	operation: str
	phase: Phase
	by: HostProcess


@dataclass(frozen=True)
class TakenOver(Event):
	"""A person said that the operation's machine is gone for good: this one sees to what it can see."""

	operation: str
	host: str  # of the operation
	by: str  # host name of this machine


@dataclass(frozen=True)
class LeftElsewhere(Event):
	"""An operation of another machine died there, and left nothing that stays. Its end is for that machine to write."""

	operation: str
	host: str


@dataclass(frozen=True)
class RecoveryFailed(Event):
	"""It will be tried again: by the next safe-restart, by the scheduler, or by safe-restart --recover."""

	reason: str


@dataclass(frozen=True)
class MigrationAdopted(Event):
	"""A migration whose operation died goes on; the queue stays fenced until it has ended."""

	site: str
	log: str


@dataclass(frozen=True)
class PhaseEntered(Event):
	phase: Phase


@dataclass(frozen=True)
class Planned(Event):
	plan: Plan


@dataclass(frozen=True)
class TroubleFound(Event):
	"""The doctor's finding, told beside the restart; it keeps nothing from being restarted."""

	trouble: Trouble


@dataclass(frozen=True)
class RecordsUnreadable(Event):
	"""Other programs wrote them. Nothing ends because of them: what they say counts as not known."""

	records: UnreadableRecords  # all since the beginning


@dataclass(frozen=True)
class NoWorkersFound(Event):
	"""Redis lists no worker of this bench: there is nothing to drain."""


@dataclass(frozen=True)
class WorkersUnmanaged(Event):
	"""Started by hand, on another machine, or lost by their manager: they are left as they are, with old code."""

	workers: tuple[Worker, ...]


@dataclass(frozen=True)
class CodeBroken(Event):
	"""Web and workers could not load it as it is on the disk now."""

	fault: CodeFault


@dataclass(frozen=True)
class CodeNotChecked(Event):
	reason: str


@dataclass(frozen=True)
class OtherBenchesPause(Event):
	"""rq:suspended is one key per Redis database: the fence stops these workers as well."""

	benches: dict[str, int]  # bench id → workers


@dataclass(frozen=True)
class ForeignSuspension(Event):
	"""Somebody else suspended the queue. It stays as it is, also afterwards."""

	holder: str


@dataclass(frozen=True)
class FenceShared(Event):
	"""An operation of another bench on this Redis holds the queue suspended as well."""

	holder: str


@dataclass(frozen=True)
class FenceLapsed(Event):
	"""
	The fence had expired before we renewed it; it stands again. While all can be undone the drain looks again, later it
	is a fault.
	"""

	phase: Phase = Phase.DRAIN
	seconds: float = 0.0  # since it was renewed last


@dataclass(frozen=True)
class ClockSet(Event):
	"""Redis' clock jumped by so many seconds. Forward: what was to expire in that time is gone, records of workers too."""

	seconds: float


@dataclass(frozen=True)
class QueueAway(Event):
	"""Redis does not answer; the operation goes on asking until its time is up."""

	reason: str


@dataclass(frozen=True)
class ManagerAway(Event):
	"""The process manager does not answer in the middle of a restart; the operation goes on asking."""

	reason: str


@dataclass(frozen=True)
class WorkerDoesNotAnswer(Event):
	"""A worker of another machine took no wake-up: it is gone, or hangs. It is not waited for."""

	name: str
	host: str
	pid: int


@dataclass(frozen=True)
class WorkersParked(Event):
	idle: int  # workers that wait under the fence
	busy: int  # workers that still run a job
	seconds: float


@dataclass(frozen=True)
class RunningJob:
	"""A job that the drain waits for, and who runs it."""

	job: Job
	worker: str
	pid: int | None
	elapsed: float | None  # seconds
	most_left: float | None  # seconds until RQ's own limit ends it; None where there is no limit


@dataclass(frozen=True)
class StillRunning(Event):
	workers: tuple[Worker, ...]
	jobs: tuple[RunningJob, ...]
	orphans: tuple[int, ...]  # pids of job processes that lost their worker
	depths: dict[str, int]
	left: float  # seconds until the drain gives up


@dataclass(frozen=True)
class Drained(Event):
	seconds: float
	jobs: int  # how many it waited for


@dataclass(frozen=True)
class QueueNearLimit(Event):
	"""At `limit` waiting jobs frappe.enqueue begins to raise; the time-out's policy applies now."""

	queue: str
	depth: int
	limit: int


@dataclass(frozen=True)
class JobsCondemned(Event):
	"""Told before they are killed: whoever cleans up after us reads here what is still to be done for them."""

	ids: tuple[str, ...]
	requeue: bool
	reason: str  # what each of them is told to have failed for


@dataclass(frozen=True)
class JobsInterrupted(Event):
	jobs: tuple[Job, ...]
	requeued: tuple[str, ...]  # ids of those that wait at the front of their queue again


@dataclass(frozen=True)
class JobsAbandoned(Event):
	"""They had started, somebody else killed their workers, and nobody works on them any more."""

	jobs: tuple[Job, ...]


@dataclass(frozen=True)
class ProcessStopping(Event):
	"""Told before it is asked to leave: whoever cleans up after us starts what nobody else will."""

	name: str
	kind: ProcessKind
	pid: int | None
	incarnation: str = ""


@dataclass(frozen=True)
class ProcessDown(Event):
	name: str
	pid: int | None
	seconds: float  # since it was told to stop


@dataclass(frozen=True)
class ProcessUp(Event):
	name: str
	kind: ProcessKind
	old_pid: int | None
	new_pid: int | None
	seconds: float  # since it went down


@dataclass(frozen=True)
class ProcessRetried(Event):
	"""It ended soon after its start. Its manager tries again, and we wait for that."""

	name: str
	detail: str


@dataclass(frozen=True)
class ProcessFailed(Event):
	name: str
	reason: str
	log_tail: str


@dataclass(frozen=True)
class RollingStopped(Event):
	"""So many processes did not come back that no further worker is replaced."""

	failed: tuple[str, ...]
	not_replaced: tuple[str, ...]  # they stay in service, with the code they were started with


@dataclass(frozen=True)
class HandedOver(Event):
	"""
	These processes are replaced when their jobs end; the operation goes on in the background. `exit_code`: with which
	the command that began the operation ends now.
	"""

	processes: tuple[str, ...]
	jobs: tuple[Job, ...]
	exit_code: int = 0


@dataclass(frozen=True)
class WebTaken(Event):
	"""Known before anything is touched: somebody keeps web from its address, and the restart will not bring it up."""

	fault: WebFault


@dataclass(frozen=True)
class WebUnproved(Event):
	"""Web answers, and whether it is the new process that does cannot be known."""

	address: str
	reason: str


@dataclass(frozen=True)
class StillVerifying(Event):
	"""What verify waits for: told when it takes more than a moment, and when it changes."""

	programs: tuple[str, ...]  # not up yet
	unregistered: tuple[str, ...]  # worker programs that Redis does not list yet
	leftovers: tuple[int, ...]  # pids of old processes
	web: tuple[WebFault, ...]


@dataclass(frozen=True)
class OrphansFound(Event):
	"""Job processes that lost their worker go on with the code they were started with."""

	pids: tuple[int, ...]


@dataclass(frozen=True)
class JobsPutBack(Event):
	"""Jobs that were popped by a worker that never started them (rq #2236) wait at the front again."""

	ids: tuple[str, ...]


@dataclass(frozen=True)
class JobsNotPutBack(Event):
	"""They stood in no list, and the fence lapsed before they could be put back: a worker may be popping them."""

	ids: tuple[str, ...]


@dataclass(frozen=True)
class MigrationFinding(Event):
	"""Known before anything was touched, and gone on in spite of it."""

	finding: Finding


@dataclass(frozen=True)
class SettingChanged(Event):
	"""Told before it is written: whoever cleans up after us reads here what was found."""

	found: Setting
	new: Setting


@dataclass(frozen=True)
class SettingWasOn(Event):
	"""It is on already, and stays so afterwards."""

	site: str
	key: str


@dataclass(frozen=True)
class SettingRestored(Event):
	found: Setting


@dataclass(frozen=True)
class SettingLeft(Event):
	"""Somebody else changed it since we did. It stays as they set it."""

	found: Setting


@dataclass(frozen=True)
class SettingFault(Event):
	site: str
	key: str
	reason: str


@dataclass(frozen=True)
class BackupStarted(Event):
	site: str
	log: str


@dataclass(frozen=True)
class BackupEnded(Event):
	site: str
	file: str
	seconds: float


@dataclass(frozen=True)
class MigrationsPlanned(Event):
	"""The first of them starts now; --resume reads this list and what became of each."""

	sites: tuple[str, ...]


@dataclass(frozen=True)
class MigrationStarted(Event):
	site: str
	log: str
	timeout: float  # seconds


@dataclass(frozen=True)
class MigrationOutput(Event):
	"""A line of its output, secrets hidden. The log holds them all."""

	site: str
	line: str


@dataclass(frozen=True)
class MigrationEnded(Event):
	migration: SiteMigration


@dataclass(frozen=True)
class MigrationsStopped(Event):
	"""Somebody asked us to stop: the migration under way was finished, these sites are not tried."""

	sites: tuple[str, ...]


@dataclass(frozen=True)
class Ended(Event):
	report: Report
