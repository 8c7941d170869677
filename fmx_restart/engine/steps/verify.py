"""Every process is up and younger than the restart, workers have registered, web answers, no old one is left."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, Look, Process, ProcessKind
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.steps.follow import are_all_ordered, follow, never_left_down
from fmx_restart.engine.steps.live_messages import Companions
from fmx_restart.engine.steps.nginx import reload_nginx
from fmx_restart.engine.steps.reload import follow_reloads
from fmx_restart.engine.steps.web import WebCheck
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import is_elsewhere_in

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: each start waits for others for some seconds at most
BOOTS = Patience(timeout=120.0, poll=0.05)
PATIENCE = Patience(timeout=90.0, poll=0.02)
#: old web workers end a request that is under way, which gunicorn gives two minutes by default
LAST_REQUESTS = Patience(timeout=130.0, poll=0.2)
STAYS_UP = 2.0  # seconds that a process must run which proves itself in no other way: one that crashes in a loop does not
SILENCE = 2.0  # seconds after which a person learns what is waited for
NOTHING = events.StillVerifying((), (), (), ())
REPORT_AGAIN = 1.0  # seconds between two of these facts, however often things change


def verify(operation: Operation, replacements: list[Replacement]) -> None:
	"""Records what is wrong on the replacements; the audit step raises, after the queue runs again."""
	operation.enter(Phase.VERIFY)
	wait_until_up(operation, replacements)
	reload_nginx(operation, replacements)
	if operation.is_last_group:
		operation.bench.web.ask_seldom()
	report_orphans(operation)


def order_all_starts(operation: Operation, replacements: list[Replacement]) -> None:
	"""Wait until no start waits for the boot of others any more. The queue runs meanwhile: no old worker is left."""
	with never_left_down(operation, replacements):
		if not operation.wait(lambda: are_all_ordered(operation, replacements), BOOTS):
			operation.starts.let_all()
			follow(operation, replacements)


def wait_until_up(operation: Operation, replacements: list[Replacement]) -> None:
	"""Wait until every process proves that it is well. One that does not in time has failed."""
	order_all_starts(operation, replacements)
	verification = Verification(operation, replacements)
	try:
		if not operation.wait(verification.is_done, PATIENCE) and verification.is_old_web_leaving():
			operation.wait(verification.is_done, LAST_REQUESTS)
	finally:
		operation.bench.realtime.end()
	for replacement, reason, remedy in verification.faults():
		replacement.fail(reason)
		replacement.remedy = remedy
	verification.explain_failures()


def report_orphans(operation: Operation) -> None:
	"""Emit job processes of this bench that lost their worker: they go on with old code, and are not touched."""
	with suppress(OperationError):
		if orphans := operation.orphans(operation.look()):
			operation.emit(events.OrphansFound(tuple(process.pid for process in orphans)))


FORGOTTEN_AFTER = 10.0  # seconds that a worker has been up by then


class Verification:
	"""Whether each new process proves that it is well, and what it still has to prove."""

	def __init__(self, operation: Operation, replacements: list[Replacement]) -> None:
		self.operation, self.bench, self.replacements = operation, operation.bench, replacements
		self.web = WebCheck(operation, replacements)
		self.companions = Companions(operation, replacements, self.web)
		self.registered: set[int] = set()
		self.seen: Look | None = None
		self.report_at = self.bench.clock.now() + SILENCE
		self.reported: events.StillVerifying | None = None

	def is_done(self) -> bool:
		"""Web is asked last: while it boots, every look at it costs it time."""
		follow(self.operation, self.replacements)
		follow_reloads(self.operation, self.replacements)
		self.companions.follow()
		self.registered = self.registered_pids()
		is_done = (
			all(self.is_settled(replacement) for replacement in self.replacements)
			and not any(self.is_unregistered(replacement) for replacement in self.replacements)
			and not any(self.leftovers(replacement) for replacement in self.replacements)
			and self.web.is_done()
			and self.companions.is_done()
		)
		if not is_done:
			self.report()
		return is_done

	def registered_pids(self) -> set[int]:
		"""Pids of this machine's workers that RQ knows, or knew: a record can expire when a clock is set."""
		self.seen = self.operation.look()
		return {process.pid for process in self.operation.registered}

	def is_settled(self, replacement: Replacement) -> bool:
		"""
		A worker proves itself when it registers, what has reloaded by its record, socketio when it hears again, everything else by staying up. Nobody waits here
		for a worker whose turn comes when its job has ended.
		"""
		kind = replacement.old.kind
		is_up = replacement.stage is Stage.UP and replacement.up_at is not None
		if not is_up or kind is ProcessKind.WORKER or replacement.change.by is ReplacedBy.RELOAD:
			return replacement.is_settled or replacement.is_later
		hears = kind is ProcessKind.SOCKETIO and self.bench.realtime.hears_again()
		return hears or self.bench.clock.now() - replacement.up_at >= STAYS_UP

	def is_unregistered(self, replacement: Replacement) -> bool:
		"""A worker-pool registers its children instead of itself."""
		if not replacement.old.runs_jobs or replacement.stage is not Stage.UP:
			return False
		pid = replacement.change.new_pid
		if replacement.old.host:
			return replacement.old.has_workers and not self.is_registered_there(replacement.current)
		if pid in self.registered or self.is_forgotten(replacement):
			return False
		return not self.registered & {process.pid for process in self.bench.host.family(pid)}

	def is_registered_there(self, process: Process) -> bool:
		"""For a process of another machine: by the record in Redis."""
		return any(is_elsewhere_in(process, worker, self.seen) for worker in self.seen.workers)

	def is_forgotten(self, replacement: Replacement) -> bool:
		"""Redis' clock was set forward, and its record expired before we saw it: RQ writes none again. It stays up."""
		has_time = self.operation.clock_steps.forward and replacement.up_at is not None
		return bool(has_time) and self.bench.clock.now() - replacement.up_at >= FORGOTTEN_AFTER

	def leftovers(self, replacement: Replacement) -> list[HostProcess]:
		"""Old processes that still run."""
		if replacement.stage is Stage.FAILED and self.bench.web.lingering():
			return []  # they serve on purpose
		return self.bench.host.alive(replacement.family)

	def is_old_web_leaving(self) -> bool:
		"""Nothing else is waited for than the last requests of old web workers."""
		left = [replacement for replacement in self.replacements if self.leftovers(replacement)]
		return bool(left) and all(replacement.old.kind is ProcessKind.WEB for replacement in left)

	def report(self) -> None:
		"""Emit what it waits for, when it takes longer than a moment, and when that changes."""
		now = self.bench.clock.now()
		if now < self.report_at:
			return
		waiting = self.waiting()
		if waiting not in (self.reported, NOTHING):
			self.report_at, self.reported = now + REPORT_AGAIN, waiting
			self.operation.emit(waiting)

	def waiting(self) -> events.StillVerifying:
		"""What verify waits for. A process that is up and has to stay up for a moment is left out."""
		programs = tuple(it.old.name for it in self.replacements if not it.is_settled and not it.is_later)
		unregistered = tuple(
			replacement.old.name for replacement in self.replacements if self.is_unregistered(replacement)
		)
		old = tuple(
			process.pid for replacement in self.replacements for process in self.leftovers(replacement)
		)
		is_next = all(map(self.is_settled, self.replacements)) and not unregistered and not old
		web = tuple(self.web.waits_for()) if is_next else ()
		return events.StillVerifying(programs, unregistered, old, web)

	def faults(self) -> list[tuple[Replacement, str, str]]:
		"""Replacement, what is wrong when time is up, and what to type. Those that failed before are left out."""
		return [
			(replacement, *fault)
			for replacement in self.replacements
			if replacement.stage is not Stage.FAILED and (fault := self.fault_of(replacement))
		]

	def fault_of(self, replacement: Replacement) -> tuple[str, str] | None:
		"""What is wrong, and what to type (empty where only a log can tell); None where all is well."""
		if not replacement.needs_manager and not replacement.is_settled:
			return None  # it has a limit of its own, from the moment when it is asked
		if replacement.stage not in (Stage.UP, Stage.REMOVED):
			return "it is not running yet", ""
		if self.is_unregistered(replacement):
			return "it runs, but no worker of it has registered with Redis", ""
		if old := self.leftovers(replacement):
			return f"old processes are still there: pid {', '.join(str(process.pid) for process in old)}", ""
		is_web = replacement.old.kind is ProcessKind.WEB and replacement.stage is Stage.UP
		return self.web.fault_of(replacement) if is_web else None

	def explain_failures(self) -> None:
		"""A web program whose address is taken ends again and again, and says in its log only that it is in use."""
		for replacement in self.replacements:
			if (
				replacement.stage is Stage.FAILED
				and not replacement.remedy
				and (fault := self.web.taken_by(replacement))
			):
				replacement.reason, replacement.remedy = f"{replacement.reason}; {fault}", fault.remedy
				self.operation.emit(events.WebTaken(fault))
