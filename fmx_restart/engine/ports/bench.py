"""Everything an operation works with, in one value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import field
from enum import IntEnum
from typing import Protocol

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.ports.holds import Holds, NoHolds
from fmx_restart.engine.ports.managers import ProcessManagers
from fmx_restart.engine.ports.nginx import Nginx, NoNginx
from fmx_restart.engine.ports.processes import HostProcess
from fmx_restart.engine.ports.queue import Fence, Lease, Look, NoRequests, Queue, Requests, Worker
from fmx_restart.engine.ports.realtime import NoNotices, NoRealtime, Notices, Realtime
from fmx_restart.engine.ports.sites import Code, Migrations, NoSettings, SiteSettings, UncheckedCode, Web
from fmx_restart.engine.waiting import Clock


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
	processors: int  # that this process may use

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

	def is_runnable(self, pid: int) -> bool:
		"""Whether it runs, or waits for a processor or a disk, and for nothing else. False where there is no such process."""

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


@frozen
class Trouble:
	"""Something that is wrong with the bench, found by the doctor's check of that name."""

	check: str
	text: str
	remedy: str


class Health(Protocol):
	"""The doctor, who examines the bench while the operation runs. Nothing waits for it."""

	def troubles(self) -> list[Trouble] | None:
		"""None as long as it is still looking. The first question starts it."""


@frozen
class OtherOperation:
	"""An operation at work, and the process that runs it."""

	operation: str
	pid: int
	host: str = ""  # the machine it runs on, where that is another one; its pid means nothing here then


class OtherOperations(Protocol):
	"""
	Operations and recoveries of this bench, as the kernel knows them by its locks: it needs no clock and no Redis. Those on
	another machine are seen where its file system shows their locks, as NFS does.
	"""

	def at_work(self) -> OtherOperation | None:
		"""One, besides ourselves, whose process is alive and that has begun to change the bench."""

	def last_web_outage(self) -> float | None:
		"""Seconds for which users got no answer in the last operation that restarted web; None where none has measured it."""


class Unexamined:
	"""A bench that no doctor looks at: nothing is known to be wrong."""

	def troubles(self) -> list[Trouble]:
		return []


class Advisor(Protocol):
	"""Knows what a person may set up, so that less is lost by what an operation has no part in."""

	def advice(self, look: Look) -> tuple[Trouble, ...]:
		"""Each thing once, however many processes it is about. `look`: with what is known of where workers are."""


class NoAdvisor:
	"""For a bench that nobody can set up."""

	def advice(self, look: Look) -> tuple[Trouble, ...]:
		return ()


class NoOtherOperations:
	"""For a bench that only we can be working on."""

	def at_work(self) -> None:
		return None

	def last_web_outage(self) -> None:
		return None


@frozen
class Bench:
	"""One bench, as the engine sees it."""

	id: str
	path: str
	queue: Queue
	processes: ProcessManagers
	host: Host
	web: Web
	lock: Lease
	fence: Fence
	clock: Clock
	migrations: Migrations | None = None  # None: no site can be migrated
	settings: SiteSettings = field(default_factory=NoSettings)
	requests: Requests = field(default_factory=NoRequests)
	health: Health = field(default_factory=Unexamined)
	code: Code = field(default_factory=UncheckedCode)
	realtime: Realtime = field(default_factory=NoRealtime)
	notices: Notices = field(default_factory=NoNotices)
	others: OtherOperations = field(default_factory=NoOtherOperations)
	nginx: Nginx = field(default_factory=NoNginx)
	advisor: Advisor = field(default_factory=NoAdvisor)
	holds: Holds = field(default_factory=NoHolds)
