"""Workers, pools and the scheduler that reload in place: which of them are asked now, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import QueueUnreachable, WrongEnvironment
from fmx_restart.engine.pool_reload import PoolReload
from fmx_restart.engine.ports import Bench, Host, Look, Pool, Process, ProcessKind, Reloadable, Scheduler
from fmx_restart.engine.reload import Reload, reloadable
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.scheduler_reload import SchedulerReload

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def reload_of(
	process: Process, one: Reloadable, bench: Bench, emit: Callable[[events.Event], None]
) -> Reload:
	"""It is not asked yet."""
	kinds = {Pool: PoolReload, Scheduler: SchedulerReload}
	return kinds.get(type(one), Reload)(process, one, bench, emit)


def make_reloads(operation: Operation) -> tuple[list[Reload], list[Process]]:
	"""
	What of the plan can reload, and what is to be restarted through its manager: also a program whose worker was
	another one when the plan was made. Nobody is asked yet.
	"""
	bench, plan = operation.bench, operation.plan
	if not plan.reloads:
		return [], list(plan.restart)
	found = reloadable(operation.look(), operation.managed_now(), bench.host)
	able = {process.name: (process, one) for process, one in found}
	reloads = [
		reload_of(*able[process.name], bench, operation.emit)
		for process in plan.reloads
		if process.name in able and able[process.name][1].name not in operation.unanswering
	]
	others = [process for process in plan.reloads if process.name not in able and process.is_managed]
	operation.report.stays |= {it.name: it.stays.reason for it in others if it.stays}
	return reloads, [*plan.restart, *(process for process in others if not process.stays)]


def refuse_pools(
	workers: Iterable[Process], look: Look, host: Host, unchanged: str = "Nothing was changed."
) -> None:
	"""
	Raises WrongEnvironment: a pool that cannot reload brings its workers back with the code that it was started with. `workers`: those that
	their process manager would have to replace. `unchanged`: what was not changed, in a sentence.
	"""
	workers = list(workers)
	heads = {process.local_pid: process.name for process in workers if process.local_pid}
	with_workers = {host.head(pid, heads) for pid in look.local.pids}
	unknown = [name for pid, name in heads.items() if pid not in look.local.pids]
	unknown += [process.name for process in workers if process.host and not process.has_workers]
	if pools := [name for pid, name in heads.items() if name in unknown and pid in with_workers]:
		raise WrongEnvironment(
			f"These worker-pools cannot replace their workers one by one: {', '.join(pools)}. {unchanged}",
			hint="Pools of this app can: type bench safe-restart setup worker, then restart once with --wait-workers. Or use"
			" --wait-workers or --no-wait-workers now.",
		)
	if unknown:
		raise WrongEnvironment(
			f"Redis knows no worker of these programs: {', '.join(unknown)}. {unchanged}",
			hint="If they were just started, type the same command again in a moment. Else use --wait-workers or --no-wait-workers.",
		)


def ask_scheduler(operation: Operation, replacements: Iterable[Replacement]) -> None:
	"""Where no manager that we know runs one, and all else went well."""
	is_managed = any(process.kind is ProcessKind.SCHEDULER for process in operation.managed)
	if is_left_out(operation):
		return
	is_well = not operation.report.not_replaced and all(it.stage is not Stage.FAILED for it in replacements)
	if not operation.options.may_reload or is_managed or not is_well:
		return
	with suppress(QueueUnreachable):
		if process := operation.bench.queue.ask_scheduler_to_reload():
			operation.emit(events.SchedulerAsked(process))


def is_left_out(operation: Operation) -> bool:
	"""The scheduler runs on a host that is not among those that were named."""
	names = operation.options.hosts.names if operation.options.hosts else ()
	if not names:
		return False
	with suppress(QueueUnreachable):
		scheduler = operation.bench.queue.look().scheduler
		return scheduler is None or scheduler.host not in names
	return True


def follow_reloads(operation: Operation, replacements: Iterable[Replacement]) -> None:
	"""
	See what became of those that were asked, and ask the next ones: as many at once on each host as there are processors here, as
	each imports all code twice. One at work takes no place: it reloads when its job has ended. Raises QueueUnreachable.
	"""
	open_ones = [it for it in replacements if isinstance(it, Reload) and not it.is_settled]
	if not open_ones:
		return
	look = operation.look()
	for reload in open_ones:
		reload.see(look)
	asked = Counter(it.old.host for it in open_ones if it.is_asked and not it.is_at_work)
	for reload in open_ones:
		has_room = asked[reload.old.host] < operation.bench.host.processors
		if reload.stage is Stage.WAITING and (reload.is_at_work or has_room):
			asked[reload.old.host] += not reload.is_at_work
			reload.begin()
