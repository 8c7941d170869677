"""What an operation leaves behind: enough to answer every question about it a month later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from fmx_restart.engine.ledger import Account
from fmx_restart.engine.migration import SiteMigration
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Change, Job, ProcessKind, ProcessState, Setting, UnreadableRecords
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.web_answers import WebAnswers

WORTH_TELLING = 0.1  # seconds that a job was waited for


@dataclass
class PhaseTime:
	"""How long a phase lasted."""

	phase: Phase
	seconds: float


@dataclass
class JobWait:
	"""A job the operation waited for, and for how many seconds."""

	job: Job
	seconds: float


class ReplacedBy(str, Enum):
	"""Who brought the new code into service."""

	MANAGER = "manager"  # it stopped the old process, or was told to start the next one
	RELOAD = "reload"  # the process itself, which goes on
	RELOADER = "reloader"  # the program's own reloader, which ended one process and started the next


@dataclass
class ProcessChange:
	"""What became of one process. Times are seconds; `new_pid` is None where it did not come back."""

	name: str
	kind: ProcessKind
	old_pid: int | None
	new_pid: int | None = None
	seconds_down: float | None = None
	old_state: ProcessState = ProcessState.RUNNING
	by: ReplacedBy = ReplacedBy.MANAGER
	workers: int = 0  # of a pool that goes on with new code: how many it keeps
	former_workers: int = 0  # of those: how many had the old code at the end, as their jobs had not ended
	is_removed: bool = False  # its manager's new configuration has it no more


class UpdateResult(str, Enum):
	"""What became of a group whose configuration changed."""

	UPDATED = "updated"
	FAILED = "failed"  # its manager would not take it over
	LEFT = "left"  # it runs by its former configuration


@dataclass
class GroupUpdate:
	"""A group of programs whose configuration changed. `reason`: why it was not updated."""

	group: str
	change: Change
	result: UpdateResult = UpdateResult.LEFT
	reason: str = ""


class GroupResult(str, Enum):
	"""What became of a group of hosts."""

	REPLACED = "replaced"  # all that was to be is new, and well
	FAILED = "failed"  # the groups after it keep the old code
	UNTOUCHED = "untouched"  # in service with the old code


@dataclass
class HostGroup:
	"""Hosts that are restarted together, while those of later groups serve. `seconds`: since its turn came."""

	hosts: list[str]
	result: GroupResult = GroupResult.UNTOUCHED
	seconds: float = 0.0


@dataclass
class KeptSetting:
	"""A setting as it was before we changed it. `reason`: why it could not be put back."""

	found: Setting
	is_restored: bool = False
	reason: str = ""


@dataclass
class Lapse:
	"""The fence had expired, or Redis had lost it, when nothing could be undone any more. A fault, whatever came of it."""

	phase: Phase
	seconds: float  # since it was renewed last


@dataclass
class Failure:
	"""Why an operation did not end as Done: the name of its error, what happened, what to type next."""

	type: str
	message: str
	hint: str


def put_back(interrupted: Iterable[Job], requeued: Iterable[str]) -> list[Job]:
	"""Those of the killed jobs that wait in their queue again."""
	ids = set(requeued)
	return [job for job in interrupted if job.id in ids]


@dataclass
class Report:
	"""Filled while the operation runs, complete when it has ended."""

	operation: str
	bench: str
	strategy: str
	started: float  # seconds since the epoch
	requested_by: str = ""
	outcome: Phase = Phase.PREFLIGHT
	seconds: float = 0.0
	phases: list[PhaseTime] = field(default_factory=list)
	waited_for: list[JobWait] = field(default_factory=list)
	#: what a drain that gave up, or was stopped, left running
	still_running: list[Job] = field(default_factory=list)
	processes: list[ProcessChange] = field(default_factory=list)
	left_alone: list[str] = field(default_factory=list)
	#: programs that run as another process, although the operation ended before its restart: others restarted them, or their
	#: job was killed
	restarted: list[str] = field(default_factory=list)
	not_replaced: list[str] = field(default_factory=list)  # a restart one by one ended before their turn
	stays: dict[str, str] = field(default_factory=dict)  # by program: why its manager cannot replace it
	#: workers that keep the old code: no process manager runs them, and they cannot reload in place
	unreached: list[str] = field(default_factory=list)
	#: groups whose configuration differs from that which they ran by
	configuration: list[GroupUpdate] = field(default_factory=list)
	hosts: list[HostGroup] = field(default_factory=list)  # in their order, where there are groups of hosts
	web: list[WebAnswers] = field(default_factory=list)  # what its users got, at each address
	interrupted: list[Job] = field(default_factory=list)  # killed on purpose
	requeued: list[str] = field(default_factory=list)  # ids of those of them that were put back
	migrations: list[SiteMigration] = field(default_factory=list)
	settings: list[KeptSetting] = field(default_factory=list)
	#: alive with old code while a schema changed, as it was forced
	old_workers: list[str] = field(default_factory=list)
	lapses: list[Lapse] = field(default_factory=list)
	held: list[QueueHold] = field(default_factory=list)  # people hold the queue; the last one ends last
	#: by someone else, who was there before or came meanwhile: no job starts at the end either
	is_suspended: bool = False
	account: Account | None = None
	unreadable: UnreadableRecords | None = None  # what other programs wrote, and could not be read
	failure: Failure | None = None
	#: where the fault showed: a process that does not come back fails in Verify, not Audit
	failed_in: Phase | None = None
	#: another operation took the bench: what this one began is still to be undone or finished
	is_left_open: bool = False


def waited_to_their_end(report: Report) -> list[JobWait]:
	"""
	Those of the jobs that were waited for and ended by themselves: none that was killed, or left running, or that ended
	right when the wait began.
	"""
	others = {job.id for job in (*report.interrupted, *report.still_running)}
	return [wait for wait in report.waited_for if wait.job.id not in others and wait.seconds >= WORTH_TELLING]


#: Someone stopped it while all could be undone. Journals have it as Aborted with the failure Interrupted
CANCELLED = "Cancelled"


def outcome_name(report: Report) -> str:
	"""Done, Cancelled, Aborted, Failed or Recovered."""
	return CANCELLED if is_cancelled(report) else report.outcome.value


def is_cancelled(report: Report) -> bool:
	"""Stopped on request before anything was restarted. One that was stopped later did not do all that was wanted."""
	failure = report.failure
	return report.outcome is Phase.ABORTED and failure is not None and failure.type == "Interrupted"
