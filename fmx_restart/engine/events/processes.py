"""Facts about processes, web among them."""

from __future__ import annotations

from dataclasses import dataclass

from fmx_restart.engine.events.operation import Event, Level
from fmx_restart.engine.ports import (
	Job,
	ProcessKind,
	WebFault,
)


@dataclass(frozen=True)
class ProcessStopping(Event):
	"""Told before it is asked to leave: whoever cleans up after us starts what nobody else will."""

	name: str
	kind: ProcessKind
	pid: int | None
	incarnation: str = ""


@dataclass(frozen=True)
class ProcessDown(Event):
	"""The old process has ended."""

	name: str
	pid: int | None
	seconds: float  # since it was told to stop


@dataclass(frozen=True)
class ProcessUp(Event):
	"""Its successor runs."""

	name: str
	kind: ProcessKind
	old_pid: int | None
	new_pid: int | None
	seconds: float  # since it went down


@dataclass(frozen=True)
class ProcessRetried(Event):
	"""It ended soon after its start. Its manager tries again, and we wait for that."""

	level = Level.WARNING

	name: str
	detail: str


@dataclass(frozen=True)
class ProcessFailed(Event):
	"""It did not stop, did not come back, or is not well."""

	level = Level.ERROR
	name: str
	reason: str
	log_tail: str


@dataclass(frozen=True)
class RollingStopped(Event):
	"""So many processes did not come back that no further worker is replaced."""

	level = Level.ERROR

	failed: tuple[str, ...]
	not_replaced: tuple[str, ...]  # they stay in service, with the code they were started with


@dataclass(frozen=True)
class HandedOver(Event):
	"""
	These processes are replaced when their jobs end; the operation continues in the background. `exit_code`: with which
	the command that began the operation ends now.
	"""

	processes: tuple[str, ...]
	jobs: tuple[Job, ...]
	exit_code: int = 0


@dataclass(frozen=True)
class WebTaken(Event):
	"""Known before anything is touched: someone keeps web from its address, and the restart will not bring it up."""

	level = Level.WARNING

	fault: WebFault


@dataclass(frozen=True)
class WebUnproved(Event):
	"""Web answers, and whether it is the new process that does cannot be known."""

	level = Level.NOTE

	address: str
	reason: str


@dataclass(frozen=True)
class WebCannotLinger(Event):
	"""A restart of this program will fail requests: its old workers cannot serve until new ones answer."""

	level = Level.NOTE

	program: str
	reason: str
	remedy: str = ""


@dataclass(frozen=True)
class NewWebAnswers(Event):
	"""The first new worker has answered for itself; the others of its program follow, and old ones leave then."""

	program: str
	seconds: float  # since the old master was ended


@dataclass(frozen=True)
class OldWebServes(Event):
	"""New workers do not answer, so old ones stay: no request fails."""

	level = Level.ERROR

	program: str
	reason: str
	until: float  # seconds since the epoch
	not_replaced: tuple[str, ...] = ()  # programs that were left as they are for that


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

	level = Level.WARNING

	pids: tuple[int, ...]
