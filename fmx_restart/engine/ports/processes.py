"""What the engine needs of process managers and of the machine."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Protocol

from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.frozen import frozen


@frozen
class HostProcess:
	"""
	A process of this machine. `identity` tells it from every other that ever has its pid: an opaque token in which no wall
	clock takes part. Empty where it is not known (an older version noted it): such a process is never signalled.
	"""

	pid: int
	identity: str = ""


class ProcessKind(str, Enum):
	"""What a process does for the bench."""

	WEB = "web"
	WORKER = "worker"
	SCHEDULER = "scheduler"
	SOCKETIO = "socketio"
	OTHER = "other"


class ProcessState(str, Enum):
	"""How a process stands, in words that every manager's own states are translated to."""

	RUNNING = "running"
	STARTING = "starting"
	STOPPING = "stopping"
	STOPPED = "stopped"  # someone stopped it on purpose, or it was never started
	EXITED = "exited"  # ended by itself, as its configuration allows
	FAILED = "failed"  # the manager gave up
	RETRYING = "retrying"  # it ended soon after its start, and the manager will try again


@frozen
class Stays:
	"""Why a manager cannot replace a process that it runs."""

	reason: str  # what is said of it in brackets: "it cannot be restarted alone"
	remedies: tuple[str, ...]  # what a person does instead: whole sentences


@frozen
class Process:
	"""One program of the bench, as its manager lists it."""

	name: str  # as people tell the manager, and unlike that of any other process
	kind: ProcessKind
	state: ProcessState
	pid: int | None = None
	#: seconds since the epoch, by the manager's clock (whole seconds); for people
	started: float | None = None
	detail: str = ""  # the manager's own words about a failure
	#: the identity of its process (HostProcess); empty while it is down, and where it is not known
	incarnation: str = ""
	has_workers: bool = False  # a registered RQ worker is in its process tree, whatever its command says
	group: str = ""  # what its manager starts and stops together with it
	host: str = ""  # the machine that it runs on, as RQ writes it into a worker's hash; empty: this one
	manager: str = ""  # the name of the manager that runs it
	is_managed: bool = True  # False: no manager that we know runs it; its name says which process it is
	stays: Stays | None = None  # its manager cannot replace it: it reloads in place, or goes on as it is
	ends_all: bool = False  # its end would be that of all that its manager runs, so it is never signalled
	#: its manager's order to stop reaches all its processes at once, that of a running job among them
	stop_reaches_jobs: bool = False
	ends_leftovers: bool = False  # when its main process has ended, its manager ends what is left of it
	#: its manager listens in its place while it is down, and starts it for a connection
	keeps_sockets: bool = False
	has_replicas: bool = False  # others of its group do the same work, and stand in for it while it is down
	#: one order of its manager replaces it. What runs now is listed as stopping until it is gone; where its successor does not
	#: come up it is listed as failed, and what runs now goes on where the manager can have it so
	rolls_out: bool = False
	#: the autoscaler that sets how many of its group run: "hpa/NAME"; empty where none is known
	scaled_by: str = ""
	gap: str = ""  # why nobody may answer while it is rolled out, in a few words; empty where somebody does
	#: nothing else has run under its host name since then (seconds since the epoch, by its machine's clock), so that a worker of
	#: that host which was born later is its, whatever its pid; None: a worker is known by its pid
	alone_since: float | None = None
	#: its manager's kill ends it together with the job that it runs, and nothing else; it can be started again then
	dies_with_job: bool = False
	#: host names under which it ran before; what had them is gone, and nothing ever has them again
	ended_hosts: tuple[str, ...] = ()

	@property
	def is_down(self) -> bool:
		"""It runs nothing, and its manager does not bring it back by itself."""
		return self.state in (ProcessState.STOPPED, ProcessState.EXITED, ProcessState.FAILED)

	@property
	def local_pid(self) -> int | None:
		"""Its pid in the process table of this machine; None while it is down, and on another machine."""
		return None if self.host else self.pid

	def is_at(self, host: str, pid: int | None, born: float = 0.0) -> bool:
		"""Whether a worker with this host name, pid and birth is of it, where it runs on another machine than this."""
		if not self.host or self.host != host:
			return False
		return self.pid == pid if self.alone_since is None else born >= self.alone_since

	@property
	def runs_jobs(self) -> bool:
		"""To stop it is to stop a worker."""
		return self.has_workers or self.kind is ProcessKind.WORKER

	@property
	def runs_apps(self) -> bool:
		"""It has the Python code of the bench's apps in memory, so that old code serves as long as it stays."""
		return self.runs_jobs or self.kind in (ProcessKind.WEB, ProcessKind.SCHEDULER)

	def is_same_as(self, earlier: Process) -> bool:
		"""Whether it was not started since then."""
		is_known = self.incarnation and earlier.incarnation
		return self.pid == earlier.pid and (not is_known or self.incarnation == earlier.incarnation)


@frozen
class ProgramSettings:
	"""How a manager is configured to run one process of this bench. A field is None where the manager does not say."""

	name: str  # as in Process
	group: str
	kind: ProcessKind
	words: tuple[str, ...]  # of its command; never to be shown: they may hold Redis' password
	pid: int = 0
	stop_seconds: float | None = None  # from the order to stop until it is killed
	stop_signal: int | None = None
	kills_group: bool | None = None  # the kill reaches its whole process group
	stops_group: bool | None = None  # so does the order to stop
	restarts: str | None = None  # when it ended: true, false, unexpected
	section: str = ""  # of the file: "program:x"
	file: str = ""
	queues: tuple[str, ...] = ()  # of registered workers below a program whose command is no worker's
	manager_kind: str = ""  # whose words section and file are

	@property
	def runs_jobs(self) -> bool:
		"""To stop it is to stop a worker."""
		return self.kind is ProcessKind.WORKER or bool(self.queues)


@frozen
class ManagerSettings:
	"""What a manager is configured to do with this bench's programs."""

	programs: tuple[ProgramSettings, ...]  # this bench's only
	pids: frozenset[int]  # of everything that the manager runs on this machine, itself included


@frozen
class LogTail:
	"""The end of one log as it stands there, with all that jobs wrote: for a person with a shell on the bench, and nobody else."""

	source: str  # the path of its file, or what else names it
	lines: tuple[str, ...]
	fault: str = ""  # why it cannot be read
	is_cut: bool = True  # it may begin in the middle of an entry


class Processes(Protocol):
	"""The process manager, as far as it runs this bench. Redis is never among them."""

	def list(self) -> list[Process]:
		"""All of them, running or not. Raises ProcessFault."""

	def order(
		self,
		*,
		stop: Collection[str] = (),
		start: Collection[str] = (),
		leave: Collection[str] = (),
		restart: Collection[str] = (),
	) -> dict[str, ProcessFault]:
		"""
		Orders these to stop and those to start, and returns at once: all of it in one conversation, however slow the
		manager is. What is down or up already is fine. `leave`: these get a TERM, and nothing is done to those that heed it
		late; only asked for programs of another machine. `restart`: only asked for what rolls out; given twice it does the same.
		Returns what it would not do, by name.
		"""

	def kill(self, names: Collection[str]) -> dict[str, ProcessFault]:
		"""
		Ends what these run at once; they stay down until they are started. Only for programs of another machine: here processes
		are signalled. As order.
		"""

	def check_orders(self, names: Collection[str]) -> None:
		"""
		Raises ProcessFault where it would refuse us to stop and start these, with what to type; nothing where nobody can tell.
		Changes nothing.
		"""

	def settings(self) -> ManagerSettings | None:
		"""What it is told about the bench's programs; None where it has no such settings. Raises ProcessFault."""

	def mark_log(self, name: str) -> None:
		"""Its old process has ended: what is in its log from now on is of its successor."""

	def log_tail(self, name: str) -> str:
		"""
		The last lines that were written since mark_log, nothing about jobs among them. Empty when there is no log, when it
		was not marked, or when it cannot be told what is new in it.
		"""

	def log_tails(self, name: str, count: int) -> list[LogTail]:
		"""The last `count` lines of each of its logs. Raises ProcessFault for a program that the manager does not know."""

	def log_files(self, name: str) -> tuple[str, str]:
		"""Of its stdout and its stderr; empty where it has none, or nobody tells."""

	def start_command(self, names: Collection[str]) -> str:
		"""What a person types to start these programs. Asks nobody."""

	def status_command(self) -> str:
		"""What a person types to see how its programs stand. Asks nobody."""

	def setup_command(self) -> str:
		"""What a person types to write its configuration from that of the bench. Asks nobody."""
