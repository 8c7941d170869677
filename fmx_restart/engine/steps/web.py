"""Web around a restart: who has its address before, whether the new processes answer after, how long users got no answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.migration import Finding, Gravity
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, HostProcess, Process, ProcessKind, WebFault
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.settings import MAINTENANCE

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

ASK_AGAIN = 0.5  # seconds: each answer of a server that errs fills its log with a traceback
LOOK_AGAIN = 0.2  # seconds
ERRORS_LAST = 15.0  # seconds: a server that is up, and says HTTP 500 for so long, will not say anything else
TAKEN_LASTS = 3.0  # seconds: the old processes are gone by then, so whoever still listens stays


def web_programs(processes: Iterable[Process]) -> list[Process]:
	"""Those that answer HTTP; socketio is none."""
	return [process for process in processes if process.kind is ProcessKind.WEB]


def web_here(processes: Iterable[Process]) -> list[Process]:
	"""Those of this machine: another one's users are not asked from here."""
	return [process for process in web_programs(processes) if not process.host]


def family_of(bench: Bench, process: Process) -> list[HostProcess]:
	"""Its process and all descendants; empty while it is down, and for one of another machine."""
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


def begin_to_measure(operation: Operation, processes: Iterable[Process]) -> None:
	"""In the preflight. Which sites answer is found out while the operation goes on."""

	def is_ordered(site: str) -> bool:
		return (site, MAINTENANCE) in operation.changed_settings

	if programs := web_here(processes):
		operation.bench.web.begin(family_of(operation.bench, programs[0]), is_ordered)


def restart_begins(operation: Operation, processes: Iterable[Process]) -> None:
	"""Right before the first process is told to stop."""
	if web_here(processes):
		operation.bench.web.restart_begins()


def left_stopped(
	operation: Operation, replacements: Iterable[Replacement]
) -> tuple[list[str], WebFault] | None:
	"""Names of web programs that were stopped on purpose, and what is wrong without them; None where web is not missed."""
	plan = operation.plan
	kinds = {process.name: process.kind for process in (*plan.restart, *plan.left_alone)}
	names = [name for name in operation.report.left_alone if kinds.get(name) is ProcessKind.WEB]
	has_web = any(replacement.old.kind is ProcessKind.WEB for replacement in replacements)
	fault = operation.bench.web.fault(()) if names and not has_web else None
	return (names, fault) if fault else None


def not_taken_over(bench: Bench, family: list[HostProcess]) -> WebFault | None:
	"""While old workers serve, an answer is not proof: each new worker says itself whether it can."""
	new = bench.web.new_workers(family)
	if new is None or new.are_complete:
		return None
	why = f": {new.faults[-1]}" if new.faults else ""
	text = f"{new.ready} of {new.wanted} new workers have answered{why}"
	return WebFault(text, bench.web.address, is_answer=bool(new.faults))


class WebCheck:
	"""Each web program that was restarted answers itself; then each site that answered before does."""

	def __init__(self, operation: Operation, replacements: Iterable[Replacement]) -> None:
		self.operation, self.bench = operation, operation.bench
		self.replacements = [
			replacement
			for replacement in replacements
			if replacement.old.kind is ProcessKind.WEB and not replacement.old.host
		]
		self.faults: dict[str, WebFault] = {}  # program → what was wrong with its last answer
		self.since: dict[tuple[str, str], float] = {}  # program and kind of fault → when it was first seen
		self.answered: set[str] = set()  # programs
		self.broken: list[WebFault] | None = None  # sites; None while nobody knows
		self.broken_since: float | None = None
		self.next_look = 0.0

	def is_done(self) -> bool:
		"""True also when it is clear that waiting longer is of no use."""
		if not self.replacements or self.bench.clock.now() < self.next_look:
			return not self.replacements
		if not self.are_programs_settled():
			return False
		return not self.answered or self.are_sites_settled()

	def are_programs_settled(self) -> bool:
		"""Each of them answered, or waiting longer for that is of no use. The sites that they serve may still err."""
		self.ask_all()
		return all(map(self.is_settled, self.replacements))

	def ask_all(self) -> None:
		"""Those that run and have not answered yet; not again at once."""
		if self.bench.clock.now() < self.next_look:
			return
		self.next_look = self.bench.clock.now() + LOOK_AGAIN
		for replacement in self.replacements:
			if replacement.stage is Stage.UP and replacement.old.name not in self.answered:
				self.ask(replacement)

	def ask(self, replacement: Replacement) -> None:
		"""One request, and what came of it noted."""
		name, family = replacement.old.name, self.bench.host.family(replacement.change.new_pid)
		fault = not_taken_over(self.bench, family) or self.bench.web.fault(family)
		if fault is None:
			self.faults.pop(name, None)
			self.answered.add(name)
			self.operation.starts.note_booted(name)
			self.report_unproved(family)
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

	def report_unproved(self, family: list[HostProcess]) -> None:
		"""Emit where a good answer may be someone else's."""
		if reason := self.bench.web.unproved(family):
			self.operation.emit(events.WebUnproved(self.bench.web.address, reason))

	def is_settled(self, replacement: Replacement) -> bool:
		"""It answered, or has failed, or has had the same fault for too long."""
		name = replacement.old.name
		if replacement.stage in (Stage.FAILED, Stage.REMOVED) or name in self.answered:
			return True
		return self.lasts(name, "errs", ERRORS_LAST) or self.lasts(name, "taken", TAKEN_LASTS)

	def lasts(self, name: str, kind: str, seconds: float) -> bool:
		"""Whether the program has had this kind of fault for longer than so many seconds."""
		since = self.since.get((name, kind))
		return since is not None and self.bench.clock.now() - since > seconds

	def are_sites_settled(self) -> bool:
		"""Every site answered, or some have not for too long."""
		broken = self.bench.web.broken_sites()
		if broken is None:
			return False
		now = self.bench.clock.now()
		self.broken, self.next_look = broken, now + ASK_AGAIN
		self.broken_since = now if self.broken_since is None else self.broken_since
		return not broken or now - self.broken_since > ERRORS_LAST

	def waits_for(self) -> list[WebFault]:
		"""Faults that are known so far; a program that was not asked yet is one, too."""
		unasked = WebFault("not asked yet", self.bench.web.address)
		waiting = [
			replacement.old.name for replacement in self.replacements if not self.is_settled(replacement)
		]
		return [*(self.faults.get(name, unasked) for name in waiting), *(self.broken or ())]

	def fault_of(self, replacement: Replacement) -> tuple[str, str] | None:
		"""What is wrong with the answer when time is up, and what to type; None where all is well, and for one that is not asked from here."""
		if replacement not in self.replacements:
			return None
		name = replacement.old.name
		if name not in self.answered:
			fault = self.faults.get(name) or self.bench.web.fault(
				self.bench.host.family(replacement.change.new_pid)
			)
			return (f"web does not answer as it should at {fault}", fault.remedy) if fault else None
		if self.broken and replacement is self.replacements[0]:
			sites = "; ".join(map(str, self.broken))
			return (
				f"it answers, but not for each site that it answered before, or that was named: {sites}",
				"",
			)
		return None

	def taken_by(self, replacement: Replacement) -> WebFault | None:
		"""Why a web program that has failed could not come up, where its address is taken."""
		if replacement.old.kind is not ProcessKind.WEB:
			return None
		now = {process.name: process for process in self.operation.managed_now()}
		return self.bench.web.taken([family_of(self.bench, now.get(replacement.old.name, replacement.old))])
