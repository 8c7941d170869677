"""Everything that must be known before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.plan import Plan, chosen, is_worth_naming, likely, longest, split_processes
from fmx_restart.engine.ports import Bench, Host, Look, Process, ProcessKind, Worker, WorkerState
from fmx_restart.engine.steps.inspect_sites import inspect_sites, judge
from fmx_restart.engine.steps.last_look import first_look, judge_code
from fmx_restart.engine.steps.web import begin_watch, migration_findings, taken
from fmx_restart.engine.workers import (
	live_workers,
	local_workers,
	look_at,
	running_jobs,
	with_workers,
	workers_outside,
)

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: They keep workers at work in service while others are replaced.
ONE_BY_ONE = {Strategy.NO_WAIT_WORKERS, Strategy.ROLLING}


def preflight(operation: Operation) -> None:
	"""Raises WrongEnvironment when there is nothing to restart, or when a site must not be migrated now."""
	operation.managed = operation.bench.processes.list()
	look = operation.located(operation.bench.queue.look())
	operation.managed = with_workers(operation.managed, look, operation.bench.host)
	operation.plan = make_plan(operation.bench, look, operation.managed, operation.options, operation.each)
	refuse_stopped(operation.bench, operation.plan)
	operation.report.left_alone = [process.name for process in operation.plan.left_alone]
	operation.emit(events.Planned(operation.plan))
	judge_code(operation, operation.plan.code_faults)
	judge(operation, operation.plan.findings)
	if operation.plan.web_taken:
		operation.emit(events.WebTaken(operation.plan.web_taken))
	begin_watch(operation, operation.plan.restart)
	if operation.plan.unmanaged:
		operation.emit(events.WorkersUnmanaged(operation.plan.unmanaged))
	if not look.workers:
		operation.emit(events.NoWorkersFound())
	if look.other_benches and operation.options.stops_queue:
		operation.emit(events.OtherBenchesPause(dict(look.other_benches)))


def plan_of(bench: Bench, options: Options) -> Plan:
	"""What a restart would do now. Changes nothing. Raises what preflight raises before it has a plan."""
	listed = bench.processes.list()
	look = look_at(bench, lambda: listed)
	plan = make_plan(bench, look, with_workers(listed, look, bench.host), options)
	unreadable = bench.queue.unreadable()
	return replace(plan, unreadable=unreadable if unreadable.count else None)


def make_plan(
	bench: Bench,
	look: Look,
	listed: Iterable[Process],
	options: Options,
	each: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Plan:
	"""`listed`: what the process manager runs. `each`: Operation.each, where the lock is held."""
	code_faults = first_look(bench)
	refuse_to_split(listed, options)
	wanted = chosen(listed, web=options.web, workers=options.workers)
	restart, left_alone = split_processes(wanted, start_stopped_web=options.start_stopped_web)
	if not restart and not any(process.kind is ProcessKind.WEB for process in left_alone):
		raise WrongEnvironment(
			"The process manager runs no program of this bench. Nothing was changed.",
			hint="Start the bench first; a restart does not start what somebody stopped on purpose.",
		)
	running = running_jobs(look)
	described = bench.queue.describe(job.id for job in running).values()
	jobs = tuple(job for job in described if is_worth_naming(job, look.time))
	idle = sum(w.state is not WorkerState.BUSY for w in live_workers(look))
	web_taken = taken(bench, restart)
	usual = bench.queue.usual_durations({job.method for job in jobs}) if jobs else {}
	return Plan(
		restart=restart,
		left_alone=left_alone,
		busy=busy_programs(restart, look, bench.host),
		idle_workers=idle,
		jobs=jobs,
		depths=dict(look.depths),
		longest=longest(jobs, look.time),
		likely=likely(jobs, usual, look.time),
		suspension=look.suspension,
		migrate=options.sites if options.migration else (),
		findings=(
			*inspect_sites(bench, look, options, restart, each),
			*migration_findings(web_taken, options),
		),
		unmanaged=unmanaged_workers(bench, look, listed) if options.workers else (),
		code_faults=code_faults,
		web_taken=web_taken,
	)


def refuse_stopped(bench: Bench, plan: Plan) -> None:
	"""Raises WrongEnvironment where all that is to be restarted was stopped on purpose."""
	if not plan.restart:
		names = [process.name for process in plan.left_alone]
		raise WrongEnvironment(
			f"All programs to restart were stopped before: {', '.join(names)}. Nothing was changed.",
			hint=f"Start them: {bench.processes.start_command(names)}",
		)


def refuse_to_split(listed: Iterable[Process], options: Options) -> None:
	"""
	Raises WrongEnvironment where one program runs web and workers (gunicorn's companions), and one of the two is not to be
	touched: neither can be restarted without the other.
	"""
	both = [process.name for process in listed if process.kind is ProcessKind.WEB and process.has_workers]
	refused, hint = "", ""
	if both and not options.touches_jobs:
		refused, hint = (
			"restarted without its workers",
			"Leave out --no-workers; --wait-workers lets running jobs finish.",
		)
	elif both and not options.web:
		refused, hint = "restarted without web", "Leave out --no-web."
	elif both and options.strategy in ONE_BY_ONE:
		refused, hint = "kept in service until its own jobs end", "Use --wait-workers instead."
	if refused:
		raise WrongEnvironment(
			f"{', '.join(both)} runs web and workers in one process tree, and cannot be {refused}. Nothing was changed.",
			hint=hint,
		)


def unmanaged_workers(bench: Bench, look: Look, listed: Iterable[Process]) -> tuple[Worker, ...]:
	"""A worker-pool's children are known by their parent."""
	pids = {process.pid for process in listed if process.pid}
	if not workers_outside(look, pids):
		return ()
	families = (bench.host.family(pid) for pid in pids - look.local.pids)
	return tuple(workers_outside(look, pids | {member.pid for family in families for member in family}))


def busy_programs(processes: Iterable[Process], look: Look, host: Host) -> tuple[str, ...]:
	"""A worker-pool is busy when any of its children is."""
	names = {process.pid: process.name for process in processes if process.pid}
	at_work = (worker.pid for worker in local_workers(look) if worker.state is WorkerState.BUSY)
	busy = {host.head(pid, names) for pid in at_work}
	return tuple(name for pid, name in names.items() if pid in busy)
