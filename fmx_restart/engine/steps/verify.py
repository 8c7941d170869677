"""Every process is up and younger than the restart, workers have registered, web answers, no old one is left."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, ProcessKind, WebFault
from fmx_restart.engine.relay import Leg, Relay
from fmx_restart.engine.steps.restart import follow
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

PATIENCE = Patience(timeout=90.0, poll=0.02)
ASK_AGAIN = 0.5  # seconds
ERRORS_LAST = 15.0  # seconds: a server that is up, and says HTTP 500 for so long, will not say anything else


def verify(operation: Operation, relays: list[Relay]) -> None:
	"""Records what is wrong on the relays; the audit step raises, after the queue moves again."""
	operation.enter(Phase.VERIFY)
	verification = Verification(operation, relays)
	operation.wait(verification.is_done, PATIENCE)
	for relay, reason in verification.faults():
		relay.fail(reason)
	tell_orphans(operation)


def tell_orphans(operation: Operation) -> None:
	"""Job processes of an earlier life of this bench: they go on with old code. Told, not touched."""
	with suppress(OperationError):
		if orphans := operation.orphans(operation.look()):
			operation.emit(events.OrphansFound(tuple(process.pid for process in orphans)))


class Verification:
	def __init__(self, operation: Operation, relays: list[Relay]) -> None:
		self.operation, self.bench, self.relays = operation, operation.bench, relays
		self.web_fault: WebFault | None = None
		self.web_errs_since: float | None = None
		self.web_asked_again_at = 0.0
		self.web_answered = not any(relay.old.kind is ProcessKind.WEB for relay in relays)
		self.registered: set[int] = set()

	def is_done(self) -> bool:
		"""Web is asked last: while it boots, every look at it costs it time."""
		follow(self.operation, self.relays)
		self.registered = self.registered_pids()
		return (
			all(relay.is_settled for relay in self.relays)
			and not any(self.is_unregistered(relay) for relay in self.relays)
			and not any(self.leftovers(relay) for relay in self.relays)
			and self.web_answers()
		)

	def registered_pids(self) -> set[int]:
		"""Pids of this machine's workers that RQ knows."""
		return self.operation.look().local.pids

	def is_unregistered(self, relay: Relay) -> bool:
		"""A worker-pool registers its children instead of itself."""
		if relay.old.kind is not ProcessKind.WORKER or relay.leg is not Leg.UP:
			return False
		pid = relay.change.new_pid
		if pid in self.registered:
			return False
		return not self.registered & {process.pid for process in self.bench.host.family(pid)}

	def leftovers(self, relay: Relay) -> list[HostProcess]:
		return self.bench.host.alive(relay.family)

	def web_answers(self) -> bool:
		web_failed = any(r.leg is Leg.FAILED for r in self.relays if r.old.kind is ProcessKind.WEB)
		if not self.web_answered and not web_failed:
			self.ask_web()
		return self.web_answered or web_failed or self.web_errs()

	def ask_web(self) -> None:
		"""One that errs is not asked all the time: each answer fills its log with a traceback."""
		if self.bench.clock.now() < self.web_asked_again_at:
			return
		self.web_fault = self.bench.web.fault()
		self.web_answered = self.web_fault is None
		if self.web_fault and self.web_fault.is_answer:
			now = self.bench.clock.now()
			self.web_errs_since = now if self.web_errs_since is None else self.web_errs_since
			self.web_asked_again_at = now + ASK_AGAIN

	def web_errs(self) -> bool:
		"""Others of its processes may still boot meanwhile, and take no request."""
		return self.web_errs_since is not None and self.bench.clock.now() - self.web_errs_since > ERRORS_LAST

	def faults(self) -> list[tuple[Relay, str]]:
		"""What is wrong at the end of our patience, by relay. Those that failed already have said so."""
		found = []
		for relay in self.relays:
			if relay.leg is not Leg.FAILED and (reason := self.fault_of(relay)):
				found.append((relay, reason))
		return found

	def fault_of(self, relay: Relay) -> str | None:
		if relay.leg is not Leg.UP:
			return "it is not running yet"
		if self.is_unregistered(relay):
			return "it runs, but no worker of it has registered with Redis"
		if old := self.leftovers(relay):
			return f"old processes are still there: pid {', '.join(str(process.pid) for process in old)}"
		if relay.old.kind is ProcessKind.WEB and not self.web_answered:
			return f"web does not answer as it should: {self.web_fault}"
		return None
