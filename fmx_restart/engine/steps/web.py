"""Web around a restart: who has its address before, whether the new processes answer after, how long users got no answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.migration import Finding, Gravity
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, HostProcess, Process, ProcessKind, WebFault
from fmx_restart.engine.replacement import Replacement, Stage

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

ASK_AGAIN = 0.5  # seconds: each answer of a server that errs fills its log with a traceback
LOOK_AGAIN = 0.2  # seconds
ERRORS_LAST = 15.0  # seconds: a server that is up, and says HTTP 500 for so long, will not say anything else
TAKEN_LASTS = 3.0  # seconds: the old processes are gone by then, so whoever still listens stays


def web_programs(processes: Iterable[Process]) -> list[Process]:
	return [process for process in processes if process.kind is ProcessKind.WEB]


def family_of(bench: Bench, process: Process) -> list[HostProcess]:
	return bench.host.family(process.local_pid) if process.local_pid else []


def taken(bench: Bench, processes: Iterable[Process]) -> WebFault | None:
	"""Who keeps web from its address now."""
	programs = web_programs(processes)
	return bench.web.taken([family_of(bench, program) for program in programs]) if programs else None


def migration_findings(fault: WebFault | None, options: Options) -> list[Finding]:
	"""A web server that nobody restarts would meet the new schema with old code."""
	if fault is None or not fault.is_stray or options.migration is None:
		return []
	text = f"web would keep running old code on the new schema, as it cannot be restarted: {fault}"
	return [Finding("", Gravity.DOUBTFUL, text, f"{fault.remedy} --force migrates anyway.")]


def begin_watch(operation: Operation, processes: Iterable[Process]) -> None:
	"""In the preflight. Which sites answer is found out while the operation goes on."""
	if programs := web_programs(processes):
		operation.bench.web.begin(family_of(operation.bench, programs[0]))


def watch(operation: Operation, processes: Iterable[Process]) -> None:
	"""Right before the first process is told to stop."""
	if web_programs(processes):
		operation.bench.web.watch()


def left_stopped(operation: Operation, relays: Iterable[Replacement]) -> tuple[list[str], WebFault] | None:
	"""Names of web programs that were stopped on purpose, and what is wrong without them; None where web is not missed."""
	plan = operation.plan
	kinds = {process.name: process.kind for process in (*plan.restart, *plan.left_alone)}
	names = [name for name in operation.report.left_alone if kinds.get(name) is ProcessKind.WEB]
	has_web = any(relay.old.kind is ProcessKind.WEB for relay in relays)
	fault = operation.bench.web.fault(()) if names and not has_web else None
	return (names, fault) if fault else None


class WebCheck:
	"""Each web program that was restarted answers itself; then each site that answered before does."""

	def __init__(self, operation: Operation, relays: Iterable[Replacement]) -> None:
		self.operation, self.bench = operation, operation.bench
		self.relays = [it for it in relays if it.old.kind is ProcessKind.WEB and not it.old.host]
		self.faults: dict[str, WebFault] = {}  # program → what was wrong with its last answer
		self.since: dict[tuple[str, str], float] = {}  # program and kind of fault → when it was first seen
		self.answered: set[str] = set()  # programs
		self.broken: list[WebFault] | None = None  # sites; None while nobody knows
		self.broken_since: float | None = None
		self.next_look = 0.0

	def is_done(self) -> bool:
		"""Also when it is clear that more patience is of no use."""
		if not self.relays or self.bench.clock.now() < self.next_look:
			return not self.relays
		self.next_look = self.bench.clock.now() + LOOK_AGAIN
		self.ask_all()
		if not all(self.is_settled(relay) for relay in self.relays):
			return False
		return not self.answered or self.are_sites_settled()

	def ask_all(self) -> None:
		for relay in self.relays:
			if relay.leg is Stage.UP and relay.old.name not in self.answered:
				self.ask(relay)

	def ask(self, relay: Replacement) -> None:
		name, family = relay.old.name, self.bench.host.family(relay.change.new_pid)
		fault = self.bench.web.fault(family)
		if fault is None:
			self.faults.pop(name, None)
			self.answered.add(name)
			self.tell_answer(family)
			return
		self.faults[name] = fault
		self.note_since(name, fault)
		if fault.is_answer:
			self.next_look = self.bench.clock.now() + ASK_AGAIN

	def note_since(self, name: str, fault: WebFault) -> None:
		"""One that errs may take no request for a while, as others of its processes boot: that counts on."""
		now = self.bench.clock.now()
		if fault.is_answer:
			self.since.setdefault((name, "errs"), now)
		if fault.is_taken:
			self.since.setdefault((name, "taken"), now)
		else:
			self.since.pop((name, "taken"), None)

	def tell_answer(self, family: list[HostProcess]) -> None:
		if reason := self.bench.web.unproved(family):
			self.operation.emit(events.WebUnproved(self.bench.web.address, reason))

	def is_settled(self, relay: Replacement) -> bool:
		name = relay.old.name
		if relay.leg is Stage.FAILED or name in self.answered:
			return True
		return self.lasts(name, "errs", ERRORS_LAST) or self.lasts(name, "taken", TAKEN_LASTS)

	def lasts(self, name: str, kind: str, seconds: float) -> bool:
		since = self.since.get((name, kind))
		return since is not None and self.bench.clock.now() - since > seconds

	def are_sites_settled(self) -> bool:
		found = self.bench.web.broken_sites()
		if found is None:
			return False
		now = self.bench.clock.now()
		self.broken, self.next_look = found, now + ASK_AGAIN
		self.broken_since = now if self.broken_since is None else self.broken_since
		return not found or now - self.broken_since > ERRORS_LAST

	def waits_for(self) -> list[WebFault]:
		"""What is wrong as far as it is known; a program that nobody has asked yet is one, too."""
		unasked = WebFault("not asked yet", self.bench.web.address)
		waiting = [relay.old.name for relay in self.relays if not self.is_settled(relay)]
		return [*(self.faults.get(name, unasked) for name in waiting), *(self.broken or ())]

	def fault_of(self, relay: Replacement) -> tuple[str, str] | None:
		"""What is wrong with an answer at the end of our patience, and what to type."""
		name = relay.old.name
		if name not in self.answered:
			fault = self.faults.get(name) or self.bench.web.fault(
				self.bench.host.family(relay.change.new_pid)
			)
			return (f"web does not answer as it should at {fault}", fault.remedy) if fault else None
		if self.broken and relay is self.relays[0]:
			sites = "; ".join(map(str, self.broken))
			return (
				f"it answers, but not for each site that it answered before, or that was named: {sites}",
				"",
			)
		return None

	def taken_by(self, relay: Replacement) -> WebFault | None:
		"""Why a web program that has failed could not come up, where its address is taken."""
		if relay.old.kind is not ProcessKind.WEB:
			return None
		now = {process.name: process for process in self.operation.managed_now()}
		return self.bench.web.taken([family_of(self.bench, now.get(relay.old.name, relay.old))])
