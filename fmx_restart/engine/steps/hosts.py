"""Host by host: groups of hosts come one after the other, and where something is not well the rest keeps the old code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	Interrupted,
	JournalFault,
	ProcessFault,
	QueueUnreachable,
	WrongEnvironment,
)
from fmx_restart.engine.frozen import changed
from fmx_restart.engine.host_options import HostOptions
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan, of_hosts
from fmx_restart.engine.ports import Process
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.report import GroupResult, HostGroup
from fmx_restart.engine.steps.follow import follow
from fmx_restart.engine.steps.verify import wait_until_up
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

LOOK_EVERY = 0.25  # seconds


def hosts_among(processes: Iterable[Process], here: str) -> list[str]:
	"""Their names: this one first, as its web can be asked for an answer, the others by name."""
	names = {process.host or here for process in processes}
	return sorted(names, key=lambda name: (name != here, name))


def refuse_unknown_hosts(processes: Iterable[Process], hosts: HostOptions | None, here: str) -> None:
	"""`processes`: all that are known. Raises WrongEnvironment."""
	known = hosts_among(processes, here)
	if unknown := [name for name in (hosts.names if hosts else ()) if name not in known]:
		raise WrongEnvironment(
			f"No program of this bench is known to run on {', '.join(unknown)}. Nothing was changed.",
			hint=f"Its hosts, as --hosts names them: {', '.join(known)}."
			" A host is known by its process manager (bench safe-restart managers), or by a worker that reloads in place.",
		)


def chosen_hosts(processes: Iterable[Process], hosts: HostOptions | None, here: str) -> list[Process]:
	"""Those of the hosts that were named; all where none was."""
	names = hosts.names if hosts else ()
	return [process for process in processes if not names or (process.host or here) in names]


def grouped(plan: Plan, hosts: HostOptions | None, here: str) -> Plan:
	"""The same plan, with the hosts on which something is restarted in their groups."""
	if hosts is None:
		return plan
	busy = hosts_among(plan.replaced, here)
	named = HostOptions(
		tuple(name for name in hosts.names if name in busy),
		hosts.batch,
		hosts.share,
		hosts.pause,
		hosts.canary,
	)
	return changed(plan, here=here, hosts=named.groups(busy) if busy else ())


def host_by_host(
	operation: Operation, restart: Callable[[Operation], list[Replacement]]
) -> list[Replacement]:
	"""
	`restart` is carried out for each group of the plan, and verified, before the next one's turn comes; once where there are
	no groups. Returns all replacements. Raises an OperationError, which says what is new and what is not.
	"""
	if not operation.plan.hosts:
		return restart(operation)
	turns = Turns(operation, restart)
	try:
		turns.take()
	finally:
		turns.end()
	return turns.replacements


class Turns:
	"""The groups of hosts of one operation, whose turns come one after the other."""

	def __init__(self, operation: Operation, restart: Callable[[Operation], list[Replacement]]) -> None:
		self.operation, self.bench, self.act = operation, operation.bench, restart
		self.plan = operation.whole_plan = operation.plan
		self.options = operation.options.hosts or HostOptions()
		self.groups = [HostGroup(list(hosts)) for hosts in self.plan.hosts]
		operation.report.hosts = self.groups
		self.replacements: list[Replacement] = []

	def take(self) -> None:
		"""One after the other, until one fails."""
		for number, group in enumerate(self.groups, start=1):
			began = self.bench.clock.now()
			try:
				is_well = self.take_one(number, group)
			finally:
				group.seconds = self.bench.clock.now() - began
			if not is_well:
				self.stop(group)
				return

	def take_one(self, number: int, group: HostGroup) -> bool:
		"""False where not all is well afterwards."""
		operation, is_last = self.operation, number == len(self.groups)
		operation.hosts, operation.is_last_group = frozenset(group.hosts), is_last
		operation.plan = of_hosts(self.plan, operation.hosts)
		operation.emit(events.HostsBegun(tuple(group.hosts), number, len(self.groups)))
		replacements = self.restart()
		watched = self.options.canary or 0.0 if number == 1 else 0.0
		pause = 0.0 if is_last else self.options.pause
		if watched and not self.has_failed(replacements):
			self.watch(replacements, watched)
		if self.has_failed(replacements):
			group.result = GroupResult.FAILED
			return False
		group.result = GroupResult.REPLACED
		operation.emit(events.HostsDone(tuple(group.hosts), watched, pause))
		if not is_last:
			self.enter_handover()
			operation.wait(self.heed_stop_request, Patience(pause, LOOK_EVERY))
		return True

	def restart(self) -> list[Replacement]:
		"""Of this group. Once others are new, what it raises is none of what changes nothing."""
		try:
			replacements = self.act(self.operation)
		except (QueueUnreachable, JournalFault):
			raise
		except WrongEnvironment as error:
			if not self.operation.hosts_done:
				raise
			raise ProcessFault(str(error), hint=error.hint) from error
		self.replacements += replacements
		return replacements

	def has_failed(self, replacements: Iterable[Replacement]) -> bool:
		"""Whether a process, its configuration, the fence, nginx or a job of this group gives a reason not to go on."""
		report = self.operation.report
		is_lost = report.account is not None and bool(report.account.lost)
		any_failed = any(replacement.stage is Stage.FAILED for replacement in replacements)
		faults = (
			report.lapses,
			report.not_replaced,
			self.operation.nginx_fault,
			self.operation.updates.failed,
		)
		return any_failed or is_lost or any(map(bool, faults))

	def watch(self, replacements: list[Replacement], seconds: float) -> None:
		"""The new processes stay up for so long, and prove once more at the end that they are well."""
		self.enter_handover()

		def is_over() -> bool:
			follow(self.operation, replacements)
			self.heed_stop_request()
			return self.has_failed(replacements)

		if not self.operation.wait(is_over, Patience(seconds, LOOK_EVERY)):
			wait_until_up(self.operation, replacements)

	def enter_handover(self) -> None:
		"""The queue runs, and what is left can be stopped at any time."""
		if self.operation.phase is not Phase.HANDOVER:
			self.operation.enter(Phase.HANDOVER)

	def heed_stop_request(self) -> bool:
		"""Always False: it goes into a wait. Raises Interrupted."""
		if self.operation.stop_requested.is_set():
			who = self.operation.requests.who_stopped()
			hint = "Type the same command with --hosts and the other hosts to restart the rest."
			raise Interrupted(f"{who} between two groups of hosts. {self.operation.undone}", hint=hint)
		return False

	def stop(self, failed: HostGroup) -> None:
		"""No further host is touched."""
		left = [
			name for group in self.groups if group.result is GroupResult.UNTOUCHED for name in group.hosts
		]
		if left:
			self.operation.emit(events.HostsStopped(tuple(failed.hosts), tuple(left)))

	def end(self) -> None:
		"""However it ended: name all that was not begun with."""
		operation = self.operation
		operation.plan, operation.hosts = self.plan, None
		begun = {change.name for change in operation.report.processes}
		if begun:
			known = {*begun, *operation.report.not_replaced}
			left = [process.name for process in self.plan.replaced if process.name not in known]
			operation.report.not_replaced += left
