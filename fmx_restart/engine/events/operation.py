"""Facts about the operation as a whole."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.options import Options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import (
	CodeFault,
	HostProcess,
	Request,
	Trouble,
)
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.report import Report


class Level(Enum):
	"""How bad an event is for the reader. A note is worth knowing and asks for nothing."""

	INFO = "info"
	NOTE = "note"
	WARNING = "warning"
	ERROR = "error"


@frozen
class Event:
	"""The base of every event; a listener may ask for this type only. `level` follows from the event: no journal holds it."""

	level: ClassVar[Level] = Level.INFO


@frozen
class OperationStarted(Event):
	"""The first fact of every journal: what was asked for, and where it runs."""

	operation: str
	bench: str
	strategy: str
	host: str = ""
	process: HostProcess | None = None
	options: Options | None = None
	machine: Machine | None = None
	format: int = 0  # of the journal that begins with this fact; 0 from versions that noted none


@frozen
class LaunchedFromWeb(Event):
	"""The web process launched it: no worker was free to, or somebody asked for that."""

	level = Level.NOTE


@frozen
class WentIntoBackground(Event):
	"""Stands in journals of older versions only: from here on the operation ran in this process."""

	process: HostProcess


@frozen
class Requested(Event):
	"""Someone asked for it while the operation was under way; `refusal` says why it is not done."""

	request: Request
	refusal: str = ""


@frozen
class RequestsIgnored(Event):
	"""Entries of the mailbox that are no requests. Nothing of what was written there is told: anyone may have done so."""

	level = Level.WARNING

	count: int
	reasons: tuple[str, ...]  # each once


@frozen
class JournalLost(Event):
	"""The journal cannot be written any more. Nothing is begun without it; what was begun is finished."""

	level = Level.WARNING

	reason: str


@frozen
class NotUnderstood(Event):
	"""In place of a fact that another version wrote, or whose line is damaged. Only for showing: no journal holds it."""

	level = Level.WARNING

	reason: str


@frozen
class RecoveryStarted(Event):
	"""The process of an operation died in this phase; from here on another one cleans up."""

	operation: str
	phase: Phase
	by: HostProcess


@frozen
class TakenOver(Event):
	"""A person said that the operation's machine is gone for good: this one sees to what it can see."""

	operation: str
	host: str  # of the operation
	by: str  # host name of this machine


@frozen
class LeftElsewhere(Event):
	"""An operation of another machine died there, and left nothing permanent. Its end is for that machine to write."""

	level = Level.NOTE

	operation: str
	host: str


@frozen
class JournalsNotOurs(Event):
	"""Journals that this user may not read or write: whether their operations died, and what they left, is unknown."""

	level = Level.WARNING

	operations: tuple[str, ...]
	reason: str
	remedy: str


@frozen
class RecoveryFailed(Event):
	"""It will be tried again: by the next safe-restart, by the scheduler, or by safe-restart recover."""

	level = Level.ERROR

	reason: str


@frozen
class PhaseEntered(Event):
	"""Emitted before the first act of the phase."""

	phase: Phase


@frozen
class Planned(Event):
	"""What will be restarted, and what is known about the bench before."""

	plan: Plan


@frozen
class TroubleFound(Event):
	"""The doctor's finding, told beside the restart; it keeps nothing from being restarted."""

	level = Level.WARNING

	trouble: Trouble


@frozen
class CodeBroken(Event):
	"""Web and workers could not load it as it is on the disk now."""

	level = Level.WARNING

	fault: CodeFault


@frozen
class CodeNotChecked(Event):
	"""Whether the code can be loaded is unknown; the restart goes on."""

	level = Level.WARNING
	reason: str


@frozen
class OtherBenchesPause(Event):
	"""rq:suspended is one key per Redis database: the fence stops these workers as well."""

	level = Level.WARNING

	benches: dict[str, int]  # bench id → workers


@frozen
class ForeignSuspension(Event):
	"""Someone else suspended the queue. It stays as it is, also afterwards."""

	level = Level.WARNING

	holder: str


@frozen
class FenceShared(Event):
	"""An operation of another bench on this Redis holds the queue suspended as well."""

	holder: str


@frozen
class QueueHeld(Event):
	"""People hold the queue beside this operation, which does not lift that."""

	level = Level.NOTE

	holds: tuple[QueueHold, ...]  # the last one ends last


@frozen
class FenceLapsed(Event):
	"""
	The fence had expired before we renewed it; it stands again. While all can be undone the drain looks again, later it
	is a fault.
	"""

	phase: Phase = Phase.DRAIN
	seconds: float = 0.0  # since it was renewed last

	@property
	def level(self) -> Level:
		"""A warning while the operation can still be undone; later jobs may have started, so it is an error."""
		return Level.WARNING if self.phase.can_be_undone else Level.ERROR


@frozen
class ClockSet(Event):
	"""Redis' clock jumped by so many seconds. Forward: what was to expire in that time is gone, records of workers too."""

	level = Level.WARNING

	seconds: float


@frozen
class QueueAway(Event):
	"""Redis does not answer; the operation goes on asking until its time is up."""

	level = Level.WARNING

	reason: str


@frozen
class ManagerAway(Event):
	"""The process manager does not answer in the middle of a restart; the operation goes on asking."""

	level = Level.WARNING

	reason: str


@frozen
class Ended(Event):
	"""The last fact of every journal."""

	report: Report
