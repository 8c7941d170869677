"""What someone asks of an operation under way: to stop, to give jobs more time, or no more time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.identity import Holder
from fmx_restart.engine.options import OnTimeout
from fmx_restart.engine.phases import Phase, phase_named
from fmx_restart.engine.ports import Request, RequestKind

if TYPE_CHECKING:
	from fmx_restart.engine.state import State

LOOK_EVERY = 0.5  # seconds
MIGRATING = "a migration is under way: stopping it would leave the schema half changed"
RESTARTING = "processes are being restarted already: it ends by itself within a minute or two"
#: In these running jobs are waited for, so they can be given more time, or none
WAITING = frozenset({Phase.FENCE, Phase.PARK, Phase.DRAIN})
NOT_DRAINING = "it does not wait for running jobs now"


def refusal_to_cancel(phase: Phase | None) -> str:
	"""
	Why it cannot be stopped in this phase; "" where it can, because all can be undone or it ends between two workers.
	None, for a phase that is unknown here: the operation may be asked, and decides itself.
	"""
	if phase is None or phase.can_be_undone or phase is Phase.HANDOVER:
		return ""
	return MIGRATING if phase is Phase.MIGRATE else RESTARTING


def refusal_of(kind: RequestKind, phase: Phase | None) -> str:
	"""Why this cannot be requested in this phase; "" where it can, and in a phase that is unknown here."""
	if kind is RequestKind.CANCEL or phase is None:
		return refusal_to_cancel(phase)
	return "" if phase in WAITING else NOT_DRAINING


def how_to_wait(holder: Holder | None) -> str:
	"""What to type while this operation holds the bench: it is not always one that can be stopped."""
	refusal = refusal_to_cancel(phase_named(holder.phase)) if holder else ""
	if refusal or (holder and holder.is_recovery):
		return "Watch it with bench safe-restart attach, and try again when it has ended."
	return "Watch it with bench safe-restart attach, stop it with bench safe-restart cancel."


class PendingRequests:
	"""What was requested of this operation so far, and what of it changes its course."""

	def __init__(self, operation: State) -> None:
		self.operation = operation
		self.extra = 0.0  # seconds that running jobs get beyond the options' time
		self.is_forced = False
		self._cancelled_by = ""
		self._next_look = 0.0

	@property
	def drain_timeout(self) -> float:
		"""Seconds in all that running jobs get."""
		return self.operation.options.drain_timeout + self.extra

	@property
	def on_timeout(self) -> OnTimeout:
		"""What happens to jobs whose time is over. A person who asks for force does not want to abort."""
		chosen = self.operation.options.on_timeout
		return OnTimeout.KILL if self.is_forced and chosen is OnTimeout.ABORT else chosen

	def heed(self) -> bool:
		"""Read the mailbox, a few times a second at most, and carry out what is allowed now. Always True: it goes into `outlast`."""
		bench = self.operation.bench
		if bench.clock.now() >= self._next_look:
			self._next_look = bench.clock.now() + LOOK_EVERY
			mail = bench.requests.take()
			if mail.unreadable:
				reasons = tuple(dict.fromkeys(mail.unreadable))
				self.operation.emit(events.RequestsIgnored(len(mail.unreadable), reasons))
			for request in mail.requests:
				self._carry_out(request)
		return True

	def who_stopped(self) -> str:
		"""The beginning of a sentence that says why the operation was stopped."""
		return f"Cancelled by {self._cancelled_by}" if self._cancelled_by else "Stopped on request"

	def _carry_out(self, request: Request) -> None:
		refusal = refusal_of(request.wish, self.operation.phase)
		self.operation.emit(events.Requested(request, refusal))
		if refusal:
			return
		if request.wish is RequestKind.CANCEL:
			self._cancelled_by = request.by
			self.operation.stop_requested.set()
		elif request.wish is RequestKind.EXTEND:
			self.extra += request.seconds
		else:
			self.is_forced = True
