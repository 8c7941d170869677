"""The bench as checks see it: each part is read once, when a check first asks for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from redis import Redis

from fmx_restart.adapters.bench import Change, last_change
from fmx_restart.adapters.journal_files import journals_of
from fmx_restart.adapters.journals import Unfinished, unfinished
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.discovery import SETUP, sign_of_manager
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.holds import RedisHolds
from fmx_restart.adapters.redis_queue.inventory import LostJob, lost_jobs, still_lost
from fmx_restart.adapters.redis_queue.keys import HOLD_STEM, SUSPENDED, lock_key
from fmx_restart.adapters.redis_queue.leases import Owner, owners
from fmx_restart.adapters.redis_queue.look import QueueSurvey, survey
from fmx_restart.adapters.redis_queue.records import Unreadable
from fmx_restart.doctor.concurrency import Parts, part
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import Holder, describe
from fmx_restart.engine.ports import Bench, Host, HostProcess, Job, Look, Process, ProcessManagers, Worker
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.workers import Locator, live_workers, running_jobs

SETTLING = 0.7  # seconds between the two looks
MOST_KEYS = 400_000  # job hashes that are looked at; beyond that it would take longer than a check may
MOST_LOST = 1000  # that are looked at a second time
#: What frappe.enqueue gives a job that nobody named; every other id is one that is given again and again
RANDOM_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$")


@frozen
class LostJobs:
	jobs: tuple[LostJob, ...]
	is_complete: bool  # False when there were too many jobs to look at all of them

	@property
	def ghosts(self) -> tuple[LostJob, ...]:
		"""Popped and never started: a worker was stopped in between (rq #2236)."""
		return tuple(job for job in self.jobs if job.status == "queued" and not job.is_stranded)

	@property
	def stranded(self) -> tuple[LostJob, ...]:
		"""As ghosts, in RQ's intermediate list: RQ will call them failed and never run them."""
		return tuple(job for job in self.jobs if job.status == "queued" and job.is_stranded)

	@property
	def abandoned(self) -> tuple[LostJob, ...]:
		"""Started, and in no registry any more."""
		return tuple(job for job in self.jobs if job.status == "started")


def find_lost_jobs(connection: Redis, bench_id: str, odd: Unreadable | None = None) -> LostJobs:
	"""`odd` takes note of what cannot be read."""
	suspects, is_complete = lost_jobs(connection, bench_id, most_keys=MOST_KEYS, unreadable=odd)
	if suspects:
		time.sleep(SETTLING)
		first = {job.id: job for job in suspects[:MOST_LOST]}
		again = still_lost(connection, bench_id, list(first))
		suspects = [job for job in again if job == first[job.id]]
	return LostJobs(tuple(sorted(suspects, key=lambda job: job.enqueued)), is_complete)


def is_deduplicated(id: str) -> bool:
	"""Whether the same id is enqueued again and again: then a lost one keeps all of its successors out."""
	return not RANDOM_ID.search(id)


OURS = "fmx_restart:"  # how the owner of a fence of this app begins: fmx_restart:<bench>:<operation>


@frozen
class FenceOwner:
	"""An operation that holds the queue suspended, of any bench on this Redis."""

	name: str  # as it stands in Redis
	bench: str
	operation: str
	left: float | None  # seconds until it ends by itself; None: never
	note: str
	lock: str | None  # what the lock of that bench holds: an operation and its note

	@property
	def is_stale(self) -> bool:
		"""That operation does not hold its bench's lock any more; each does as long as it runs."""
		return not (self.lock or "").startswith(self.operation)

	@property
	def holder(self) -> str | None:
		"""Who holds that bench now, in words."""
		return describe(self.lock) if self.lock else None

	def is_dead(self, host: Host) -> bool:
		"""Proved: it is stale, it ran on this machine, and its process is gone."""
		process = Holder.parse(f"{self.name} {self.note}")
		is_here = process is not None and process.host == host.name
		return self.is_stale and is_here and not host.alive([HostProcess(process.pid, process.identity)])


@frozen
class Suspension:
	value: str
	left: float | None  # seconds until it ends by itself; None: never
	owners: tuple[FenceOwner, ...] = ()  # operations; also those behind someone else's suspension

	@property
	def is_foreign(self) -> bool:
		"""Someone suspended the queue who is no operation, and holds it by no command of this app."""
		return not self.value.startswith(HOLD_STEM) and not any(
			self.value == owner.name or self.value.startswith(f"{owner.name} ") for owner in self.owners
		)

	@property
	def stale(self) -> list[FenceOwner]:
		"""Owners whose operation no longer holds its lock."""
		return [owner for owner in self.owners if owner.is_stale]


def read_suspension(connection: Redis) -> Suspension | None:
	"""Few round trips: the fence first, so that one that is lifted in between is not called stale."""
	with redis_border():
		value, milliseconds = connection.pipeline().get(SUSPENDED).pttl(SUSPENDED).execute()
	if value is None:
		return None
	holder, until = text_of(value), milliseconds / 1000 if milliseconds >= 0 else None
	known = owners(connection)
	if is_operations(holder) and not any(holder.startswith(owner.name) for owner in known):
		name, _, note = holder.partition(" ")  # an older version knows no owners beside the value
		known.append(Owner(name, until, note))
	return Suspension(holder, until, tuple(with_locks(connection, known)))


def is_operations(name: str) -> bool:
	"""Whether an owner of the fence is an operation of this app, of whichever bench."""
	return name.startswith(OURS) and not name.startswith(HOLD_STEM)


def with_locks(connection: Redis, known: Iterable[Owner]) -> Iterable[FenceOwner]:
	"""Our owners among those known, each with what its operation's lock holds. Raises QueueUnreachable."""
	for one in known:
		bench, _, owner = one.name[len(OURS) :].rpartition(":")
		if is_operations(one.name) and owner:
			with redis_border():
				lock = connection.get(lock_key(bench))
			operation = owner.partition("/")[0]  # a recovery goes by the dead one's id, and a word of its own
			held = None if lock is None else text_of(lock).strip()
			yield FenceOwner(one.name, bench, operation, one.left, one.note, held)


def text_of(value: bytes) -> str:
	"""A value of Redis as text, without the white space around it."""
	return value.decode(errors="replace").strip()


OPERATION = "doctor"  # in place of an operation's id: the doctor writes nothing under it


class NoManager(WrongEnvironment):
	"""No process manager answers, and nothing says that this bench has one: a development bench, a container."""


@frozen
class BenchAccess:
	"""How each part is reached. Called at most once each, from any thread; raises an OperationError if it cannot be."""

	config: Callable[[], Mapping]  # sites/common_site_config.json, read strictly
	sites: Callable[[], list[str]]
	connection: Callable[[], Redis]  # to redis_queue, with a time-out for each answer
	processes: Callable[[], ProcessManagers]
	host: Callable[[], Host]
	queue_limit: Callable[[], int | None]  # the depth at which frappe.enqueue begins to raise
	site_config: Callable[[str], Mapping]  # of a site, by Frappe's rules (both files, environment)
	scheduler_lines: Callable[[str], list[str]]  # of a site, as Frappe's own doctor prints them
	frappes_folder: Callable[[], str]  # what Frappe takes for the folder of this bench
	# For fixes only
	bench: Callable[[str], Bench]  # everything that an operation of that id needs
	new_operation_id: Callable[[], str]
	recover: Callable[[str], object]  # put right what the operation of that id left


class BenchView:
	def __init__(self, path: str, bench_id: str, access: BenchAccess) -> None:
		self.path, self.bench_id, self.access = Path(path), bench_id, access
		self.parts = Parts()

	@part
	def config(self) -> Mapping:
		"""common_site_config.json. Raises WrongEnvironment where it cannot be read."""
		return self.access.config()

	@part
	def sites(self) -> list[str]:
		"""Each site of the bench, by its folder."""
		return self.access.sites()

	@part
	def connection(self) -> Redis:
		"""To redis_queue. It does not decode responses."""
		return self.access.connection()

	@part
	def queue(self) -> RedisQueue:
		"""The bench's queues, as an operation looks at them."""
		return RedisQueue(self.connection, self.bench_id, OPERATION)

	@part
	def look(self) -> Look:
		"""All workers, depths and the started registry, of one instant."""
		return Locator(self.host, self.queue, SystemClock()).locate(self.queue.look(), self.managed)

	def managed(self) -> list[Process]:
		"""What the process manager runs of this bench; nothing where it does not answer."""
		with suppress(OperationError):
			return self.processes
		return []

	@part
	def running(self) -> dict[str, Job]:
		"""Jobs that someone really works on, by id."""
		return self.queue.describe(job.id for job in running_jobs(self.look))

	@part
	def live_workers(self) -> list[Worker]:
		"""Workers whose record is fresh, or whose process is seen on this machine."""
		return live_workers(self.look)

	@part
	def surveys(self) -> list[QueueSurvey]:
		"""One for each queue of this bench, by name."""
		return survey(self.connection, self.bench_id, sorted(self.look.depths), self.queue.odd)

	@part
	def lost_jobs(self) -> LostJobs:
		"""Jobs that are in no list, found by reading the bench's jobs up to a bound. Raises QueueUnreachable."""
		return find_lost_jobs(self.connection, self.bench_id, self.queue.odd)

	@part
	def last_change(self) -> Change | None:
		"""Of the apps' code."""
		return last_change(self.path)

	@part
	def holds(self) -> list[QueueHold]:
		"""Those that have not ended, of every bench on this Redis. Raises QueueUnreachable."""
		return RedisHolds(self.connection, self.bench_id).standing()

	@part
	def suspension(self) -> Suspension | None:
		"""Who holds the queue suspended; None while it runs. Raises QueueUnreachable."""
		return read_suspension(self.connection)

	@part
	def lock_note(self) -> str | None:
		"""What the lock of the running operation says of it; None while none runs. Raises QueueUnreachable."""
		with redis_border():
			value = self.connection.get(lock_key(self.bench_id))
		return None if value is None else value.decode(errors="replace").strip()

	@property
	def holder(self) -> str | None:
		"""The operation that holds this bench now: who asked for it, since when, where it stands."""
		return None if self.lock_note is None else describe(self.lock_note)

	@part
	def unfinished(self) -> list[Unfinished]:
		"""Operations that have no end, and nobody who works on them."""
		return unfinished(self.journals)

	@part
	def queue_limit(self) -> int | None:
		"""Jobs at which frappe.enqueue refuses more; None where it never does."""
		return self.access.queue_limit()

	@part
	def host(self) -> Host:
		"""The processes of this machine, for a check whether one is still the same."""
		return self.access.host()

	@part
	def manager(self) -> ProcessManagers:
		"""What runs the bench's programs. Raises NoManager where nothing says that this bench has one."""
		try:
			return self.access.processes()
		except WrongEnvironment as error:
			if sign := self._sign_of_manager():
				text = f"{str(error).rstrip('.')}. It should run this bench: {sign}."
				raise WrongEnvironment(text, hint=error.hint) from error
			raise NoManager(str(error), hint=error.hint) from error

	@property
	def silent_managers(self) -> tuple[str, ...]:
		"""Names of those that were asked and have not answered. Asks nothing, and waits for nothing."""
		manager = self.parts.kept("manager")
		return manager.asked if manager else ()

	def _sign_of_manager(self) -> str:
		config: Mapping = {}
		with suppress(WrongEnvironment):  # a finding of its own
			config = self.config
		return sign_of_manager(str(self.path), config, self.process_table)

	@property
	def setup_command(self) -> str:
		"""What a person types to write the process manager's configuration from that of the bench."""
		with suppress(OperationError):
			return self.manager.setup_command()
		return SETUP

	@property
	def status_command(self) -> str:
		"""What a person types to see which programs run."""
		with suppress(OperationError):
			return self.manager.status_command()
		return "bench safe-restart status"

	@part
	def process_table(self) -> ProcessTable:
		"""One look at this machine's processes, for all checks."""
		return ProcessTable.take()

	@part
	def processes(self) -> list[Process]:
		"""What the process manager runs of this bench."""
		return self.manager.list()

	def site_config(self, site: str) -> Mapping:
		"""A site's configuration as Frappe sees it, its environment included. Raises WrongEnvironment."""
		return self.parts.get(f"site_config {site}", lambda: self.access.site_config(site))

	def close(self) -> None:
		"""What it opened, as far as it did."""
		with suppress(Exception):
			self.connection.close()

	@property
	def journals(self) -> Path:
		"""The folder of the operations' journals."""
		return journals_of(self.path)
