"""Every process is up and younger than the restart, workers have registered, web answers, no old one is left."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, ProcessKind, Worker
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.steps.restart import follow
from fmx_restart.engine.steps.web import WebCheck
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

PATIENCE = Patience(timeout=90.0, poll=0.02)
STAYS_UP = 2.0  # seconds that a process must run which proves itself in no other way: one that crashes in a loop does not
SILENCE = 2.0  # seconds after which it is told what is waited for
NOTHING = events.StillVerifying((), (), (), ())
TELL_AGAIN = 1.0  # seconds between two of these facts, however often things change


def verify(operation: Operation, relays: list[Replacement]) -> None:
	"""Records what is wrong on the relays; the audit step raises, after the queue runs again."""
	operation.enter(Phase.VERIFY)
	see_up(operation, relays)
	operation.report.web_outage = web_outage(operation, relays)
	tell_orphans(operation)


def web_outage(operation: Operation, relays: list[Replacement]) -> float | None:
	"""That an old server answers in place of a new one that failed is not worth praise."""
	seconds = operation.bench.web.outage()
	has_failed = any(relay.leg is Stage.FAILED for relay in relays if relay.old.kind is ProcessKind.WEB)
	return None if has_failed else seconds


def see_up(operation: Operation, relays: list[Replacement]) -> None:
	"""Waits until all is as it should be; what is not in the end is a failure of its relay."""
	verification = Verification(operation, relays)
	operation.wait(verification.is_done, PATIENCE)
	for relay, reason, remedy in verification.faults():
		relay.fail(reason)
		relay.remedy = remedy
	verification.explain_failures()


def tell_orphans(operation: Operation) -> None:
	"""Job processes of an earlier life of this bench: they go on with old code. Told, not touched."""
	with suppress(OperationError):
		if orphans := operation.orphans(operation.look()):
			operation.emit(events.OrphansFound(tuple(process.pid for process in orphans)))


FORGOTTEN_AFTER = 10.0  # seconds that a worker has been up by then


class Verification:
	def __init__(self, operation: Operation, relays: list[Replacement]) -> None:
		self.operation, self.bench, self.relays = operation, operation.bench, relays
		self.web = WebCheck(operation, relays)
		self.registered: set[int] = set()
		self.workers: tuple[Worker, ...] = ()
		self.tell_at = self.bench.clock.now() + SILENCE
		self.told: events.StillVerifying | None = None

	def is_done(self) -> bool:
		"""Web is asked last: while it boots, every look at it costs it time."""
		follow(self.operation, self.relays)
		self.registered = self.registered_pids()
		is_done = (
			all(self.is_settled(relay) for relay in self.relays)
			and not any(self.is_unregistered(relay) for relay in self.relays)
			and not any(self.leftovers(relay) for relay in self.relays)
			and self.web.is_done()
		)
		if not is_done:
			self.tell()
		return is_done

	def registered_pids(self) -> set[int]:
		"""Pids of this machine's workers that RQ knows, or knew: a record can expire when a clock is set."""
		self.workers = self.operation.look().workers
		return {process.pid for process in self.operation.registered}

	def is_settled(self, relay: Replacement) -> bool:
		"""A worker proves itself when it registers; everything else by staying up."""
		if relay.leg is Stage.UP and relay.up_at is not None and relay.old.kind is not ProcessKind.WORKER:
			return self.bench.clock.now() - relay.up_at >= STAYS_UP
		return relay.is_settled

	def is_unregistered(self, relay: Replacement) -> bool:
		"""A worker-pool registers its children instead of itself."""
		if not relay.old.runs_jobs or relay.leg is not Stage.UP:
			return False
		pid = relay.change.new_pid
		if relay.old.host:
			return relay.old.has_workers and not self.is_registered_there(relay.old.host, pid)
		if pid in self.registered or self.is_forgotten(relay):
			return False
		return not self.registered & {process.pid for process in self.bench.host.family(pid)}

	def is_registered_there(self, host: str, pid: int | None) -> bool:
		return any((worker.host, worker.pid) == (host, pid) for worker in self.workers)

	def is_forgotten(self, relay: Replacement) -> bool:
		"""Redis' clock was set forward, and its record expired before we saw it: RQ writes none again. It stays up."""
		has_time = self.operation.clock_steps.forward and relay.up_at is not None
		return bool(has_time) and self.bench.clock.now() - relay.up_at >= FORGOTTEN_AFTER

	def leftovers(self, relay: Replacement) -> list[HostProcess]:
		return self.bench.host.alive(relay.family)

	def tell(self) -> None:
		"""Whoever watches a restart must not wonder what it waits for."""
		now = self.bench.clock.now()
		if now < self.tell_at:
			return
		waiting = self.waiting()
		if waiting not in (self.told, NOTHING):
			self.tell_at, self.told = now + TELL_AGAIN, waiting
			self.operation.emit(waiting)

	def waiting(self) -> events.StillVerifying:
		"""Those that are up, and have to stay up for a moment, are not worth a word."""
		programs = tuple(relay.old.name for relay in self.relays if not relay.is_settled)
		unregistered = tuple(relay.old.name for relay in self.relays if self.is_unregistered(relay))
		old = tuple(process.pid for relay in self.relays for process in self.leftovers(relay))
		is_next = all(map(self.is_settled, self.relays)) and not unregistered and not old
		web = tuple(self.web.waits_for()) if is_next else ()
		return events.StillVerifying(programs, unregistered, old, web)

	def faults(self) -> list[tuple[Replacement, str, str]]:
		"""What is wrong at the end of our patience, by relay, and what to type. Those that failed already have said so."""
		return [
			(relay, *fault)
			for relay in self.relays
			if relay.leg is not Stage.FAILED and (fault := self.fault_of(relay))
		]

	def fault_of(self, relay: Replacement) -> tuple[str, str] | None:
		if relay.leg is not Stage.UP:
			return "it is not running yet", ""
		if self.is_unregistered(relay):
			return "it runs, but no worker of it has registered with Redis", ""
		if old := self.leftovers(relay):
			return f"old processes are still there: pid {', '.join(str(process.pid) for process in old)}", ""
		return self.web.fault_of(relay) if relay.old.kind is ProcessKind.WEB else None

	def explain_failures(self) -> None:
		"""A web program whose address is taken ends again and again, and says in its log only that it is in use."""
		for relay in self.relays:
			if relay.leg is Stage.FAILED and not relay.remedy and (fault := self.web.taken_by(relay)):
				relay.reason, relay.remedy = f"{relay.reason}; {fault}", fault.remedy
				self.operation.emit(events.WebTaken(fault))
