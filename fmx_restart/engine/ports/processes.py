"""What the engine needs of process managers and of the machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from fmx_restart.engine.errors import ProcessFault


@dataclass(frozen=True)
class HostProcess:
	"""
	A process of this machine. `identity` tells it from every other that ever has its pid: an opaque token in which no wall
	clock takes part. Empty where it is not known (an older version noted it): such a process is never signalled.
	"""

	pid: int
	identity: str = ""


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
	STOPPED = "stopped"  # someone stopped it on purpose, or it was never started
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


@dataclass(frozen=True)
class LogTail:
	"""The end of one log as it stands there, with all that jobs wrote: for a person with a shell on the bench, and nobody else."""

	source: str  # the path of its file, or what else names it
	lines: tuple[str, ...]
	fault: str = ""  # why it cannot be read


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

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		"""The last `count` lines of each of its logs. Raises ProcessFault for a program that the manager does not know."""

	def start_command(self, names: Collection[str]) -> str:
		"""What a person types to start these programs. Asks nobody."""
