"""What process managers would run otherwise by their files: named before anything is touched, and taken over where that was asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.group_updates import STOPPED
from fmx_restart.engine.options import Options
from fmx_restart.engine.plan import Plan, chosen
from fmx_restart.engine.ports import Bench, Change, ConfigurationPlan, GroupChange, NewConfiguration
from fmx_restart.engine.replacement import Replacement
from fmx_restart.engine.report import GroupUpdate
from fmx_restart.engine.steps.follow import follow, never_left_down
from fmx_restart.engine.steps.last_look import unchanged
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: all programs are down by then, but for what its manager starts again by itself
UPDATED = Patience(timeout=30.0, poll=0.05)
NOT_OURS = "it is not of this bench"


def refuse_configuration(bench: Bench, plan: Plan, options: Options) -> None:
	"""Raises WrongEnvironment where a changed configuration is to be taken over, and cannot be."""
	if not options.update_config:
		return
	if not bench.processes.has_configuration:
		raise WrongEnvironment(
			"No process manager of this bench has a configuration that a restart could update. Nothing was changed.",
			hint="Leave --update-config out.",
		)
	if faults := plan.configuration.faults:
		raise WrongEnvironment(
			f"The new configuration cannot be taken over: {'; '.join(faults)}. Nothing was changed.",
			hint="Correct it, or leave --update-config out: the restart goes by the former one then.",
		)
	groups: dict[str, set[str]] = defaultdict(set)
	for process in plan.restart:
		groups[process.manager].add(process.group)
	for change in plan.configuration.updated:
		groups[change.manager].add(change.own_name)
	try:
		bench.processes.check_updates(groups)
	except ProcessFault as fault:
		raise WrongEnvironment(f"{str(fault).rstrip('.')}. Nothing was changed.", hint=fault.hint) from fault


def configuration_plan(
	bench: Bench, plan: Plan, options: Options, new: NewConfiguration
) -> ConfigurationPlan:
	"""What a restart by this plan does with what changed."""
	left = reasons(plan, options, new.changes)
	others = [it for it in new.changes if it.group in left]
	command = bench.processes.update_command(others) if others else ""
	is_possible = bench.processes.has_configuration
	return ConfigurationPlan(new.changes, new.faults, left, options.update_config, command, is_possible)


def tell_configuration(operation: Operation, plan: ConfigurationPlan) -> None:
	"""Emit what changed, where anything did; the report has it, in place of what was known of these managers before."""
	former = {it.group for it in operation.plan.configuration.changes}
	operation.report.configuration = [
		*(it for it in operation.report.configuration if it.group not in former),
		*(GroupUpdate(it.group, it.change, reason=plan.left.get(it.group, "")) for it in plan.changes),
	]
	if not plan.is_empty:
		operation.emit(events.ConfigurationChanged(plan))


def reasons(plan: Plan, options: Options, changes: Iterable[GroupChange]) -> dict[str, str]:
	"""Why a group is not updated by a restart with these options, by its name; those that are, or would be, are left out."""
	found = ((change.group, why_left(plan, options, change)) for change in changes)
	return {group: reason for group, reason in found if reason}


def why_left(plan: Plan, options: Options, change: GroupChange) -> str:
	"""Empty where it can be updated: every program that it runs is stopped by the restart."""
	if not change.is_ours:
		return NOT_OURS
	if plan.hosts and not hosts_of(plan, change) <= set(chain.from_iterable(plan.hosts)):
		return "this restart leaves its host alone"
	if change.change is Change.ADDED:
		wanted = chosen(change.programs, web=options.web, workers=options.workers)
		return "" if wanted == list(change.programs) else "it has programs that this restart leaves alone"
	known = {process.name for process in (*plan.restart, *plan.left_alone)}
	if others := [process.name for process in change.programs if process.name not in known]:
		return f"this restart leaves {', '.join(others)} alone"
	down = [process.name for process in plan.left_alone if process.name in change.starts]
	return f"{', '.join(down)} {STOPPED}" if down else ""


def hosts_of(plan: Plan, change: GroupChange) -> set[str]:
	"""Names of those on which the programs of a group run, or will."""
	return {process.host or plan.here for process in change.programs}


def read_configuration(operation: Operation) -> None:
	"""
	The managers' own word, when nothing is touched yet and no more is waited for. Raises WrongEnvironment where one of them
	refuses its files.
	"""
	if not operation.options.update_config:
		return
	try:
		new = operation.bench.processes.read_configuration(managers_in_turn(operation))
	except ProcessFault as fault:
		raise WrongEnvironment(
			f"{str(fault).rstrip('.')}. {unchanged(operation)}", hint=fault.hint
		) from fault
	plan = configuration_plan(operation.bench, operation.plan, operation.options, new)
	if plan != operation.plan.configuration:
		tell_configuration(operation, plan)
	operation.updates.begin(plan.updated)


def managers_in_turn(operation: Operation) -> set[str] | None:
	"""Where hosts are restarted in groups: those of the hosts whose turn it is. None: all."""
	if operation.hosts is None:
		return None
	return {process.manager for process in operation.plan.restart}


def finish_updates(operation: Operation, replacements: list[Replacement]) -> list[Replacement]:
	"""
	Wait until each group is updated whose programs were stopped for it; groups that are new come last. Returns what is new to a
	manager, on its way.
	"""
	updates = operation.updates
	if operation.report.not_replaced:
		updates.leave("new web does not answer")
	updates.allow(Change.ADDED)

	def are_done() -> bool:
		follow(operation, replacements)
		return updates.is_done

	if not updates.is_done:
		with never_left_down(operation, replacements):
			operation.wait(are_done, UPDATED)
			updates.give_up(f"its programs were not down within {UPDATED.timeout:.0f} s")
	return updates.take_added()
