"""Everything that must be known before anything is touched, as a plan: which programs, which jobs, and what users will see of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.options import ONE_BY_ONE, Options, Strategy
from fmx_restart.engine.plan import (
	Plan,
	chosen,
	is_worth_naming,
	likely,
	longest,
	remedies_of,
	split_processes,
	stops_queue,
	why_they_stay,
)
from fmx_restart.engine.ports import (
	Bench,
	Host,
	Job,
	Look,
	Pool,
	Process,
	ProcessKind,
	Reloadable,
	Worker,
	WorkerState,
)
from fmx_restart.engine.reload import reloadable
from fmx_restart.engine.steps.configuration import (
	configuration_plan,
	refuse_configuration,
	tell_configuration,
)
from fmx_restart.engine.steps.findings import inspect_sites, judge
from fmx_restart.engine.steps.hold import hold_findings
from fmx_restart.engine.steps.hosts import chosen_hosts, grouped, hosts_among, refuse_unknown_hosts
from fmx_restart.engine.steps.last_look import first_look, judge_code
from fmx_restart.engine.steps.linger import tell_way, way_of
from fmx_restart.engine.steps.nginx import test_nginx
from fmx_restart.engine.steps.reload import refuse_pools
from fmx_restart.engine.steps.web import begin_to_measure, migration_findings, taken, web_programs
from fmx_restart.engine.workers import (
	is_proved,
	live_workers,
	look_at,
	runners,
	running_jobs,
	with_workers,
	workers_on,
	workers_outside,
)

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def preflight(operation: Operation) -> None:
	"""
	Raises WrongEnvironment when there is nothing to restart, or when a site must not be migrated now; NginxFault when nginx is
	to be reloaded and cannot be.
	"""
	test_nginx(operation.bench, operation.options)
	operation.managed = everything_managed(operation.bench, operation.options)
	look = operation.located(operation.bench.queue.look())
	operation.managed = with_workers(operation.managed, look, operation.bench.host)
	operation.plan = make_plan(operation.bench, look, operation.managed, operation.options, operation.each)
	refuse_stopped(operation.bench, operation.plan)
	refuse_orders(operation.bench, operation.plan)
	refuse_configuration(operation.bench, operation.plan, operation.options)
	operation.report.left_alone = [process.name for process in operation.plan.left_alone]
	operation.emit(events.Planned(operation.plan))
	judge_code(operation, operation.plan.code_faults)
	judge(operation, operation.plan.findings)
	tell_configuration(operation, operation.plan.configuration)
	if operation.plan.web_taken:
		operation.emit(events.WebTaken(operation.plan.web_taken))
	for program, way in operation.plan.web_ways.items():
		tell_way(operation, program, way)
	begin_to_measure(operation, operation.plan.restart)
	if stays := operation.plan.stays:
		operation.report.stays = {process.name: process.stays.reason for process in stays}
		operation.emit(events.ProgramsStay(stays))
	operation.report.unreached = list(map(unreached, operation.plan.unmanaged))
	if operation.plan.unmanaged:
		operation.emit(events.WorkersUnmanaged(operation.plan.unmanaged))
	for advice in operation.plan.advice:
		operation.emit(events.Advised(advice))
	if not look.workers:
		operation.emit(events.NoWorkersFound())
	if look.other_benches and stops_queue(operation.plan, operation.options):
		operation.emit(events.OtherBenchesPause(dict(look.other_benches)))


def plan_of(bench: Bench, options: Options) -> Plan:
	"""What a restart would do now. Changes nothing. Raises what preflight raises before it has a plan."""
	test_nginx(bench, options)
	listed = everything_managed(bench, options)
	look = look_at(bench, lambda: listed)
	plan = make_plan(bench, look, with_workers(listed, look, bench.host), options)
	refuse_orders(bench, plan)
	refuse_configuration(bench, plan, options)
	unreadable = bench.queue.unreadable()
	return replace(plan, unreadable=unreadable if unreadable.count else None)


def everything_managed(bench: Bench, options: Options) -> list[Process]:
	"""
	Raises WrongEnvironment where a process manager does not answer: it would not follow an order either. Empty where none is
	needed, as all workers reload in place and nothing else is to be restarted.
	"""
	try:
		return bench.processes.list()
	except ProcessFault as fault:
		if not options.web and options.may_reload and can_all_reload(bench):
			return []
		hint = fault.hint or "Start it again, or wait until its machine answers; then type the same command."
		raise WrongEnvironment(f"{str(fault).rstrip('.')}. Nothing was changed.", hint=hint) from fault


def can_all_reload(bench: Bench) -> bool:
	"""False where no worker runs."""
	look = look_at(bench)
	able = [process for process, _ in reloadable(look, (), bench.host)]
	return bool(able) and not workers_outside(bench, look, able)


def make_plan(
	bench: Bench,
	look: Look,
	listed: Iterable[Process],
	options: Options,
	each: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Plan:
	"""`listed`: what the process manager runs. `each`: Operation.each, where the lock is held."""
	code_faults = first_look(bench, options)
	plan = programs_of(bench, look, listed, options)
	plan = with_jobs(plan, bench, look, spared_jobs(bench, look, listed, options))
	plan = with_web(plan, bench, options)
	new = bench.processes.compare_configuration()
	return replace(
		plan,
		code_faults=code_faults,
		migrate=options.sites if options.migration else (),
		findings=(
			*inspect_sites(bench, look, options, plan.restart, each),
			*migration_findings(plan.web_taken, options),
			*hold_findings(plan.web_ways, options),
		),
		unmanaged=unmanaged_workers(bench, look, (*listed, *plan.reloads)) if options.workers else (),
		advice=bench.advisor.advice(look) if options.workers else (),
		configuration=configuration_plan(bench, plan, options, new),
	)


def programs_of(bench: Bench, look: Look, listed: Iterable[Process], options: Options) -> Plan:
	"""Which programs are restarted, reload or are left alone. Raises WrongEnvironment where that cannot be."""
	here, pairs = bench.host.name, reloads_of(bench, look, listed, options)
	names = {process.name for process, _ in pairs}
	known = (*listed, *(process for process, _ in pairs))
	refuse_unknown_hosts(known, options.hosts, here)
	others = [process for process in listed if process.name not in names]
	others = chosen_hosts(others, options.hosts, here)
	reloads = chosen_hosts((process for process, _ in pairs), options.hosts, here)
	refuse_unproved(others, look, options)
	refuse_to_split(others, options)
	wanted = chosen(others, web=options.web, workers=options.workers)
	stays = tuple(process for process in wanted if process.stays)
	refuse_to_stop(bench, listed, options)
	replaceable = [process for process in wanted if not process.stays]
	restart, left_alone = split_processes(replaceable, start_stopped_web=options.start_stopped_web)
	if options.strategy is Strategy.ROLLING and options.touches_jobs:
		refuse_pools([process for process in restart if process.runs_jobs], look, bench.host)
	plan = Plan(
		restart=restart,
		left_alone=left_alone,
		reloads=tuple(reloads),
		pools={it.name: one.size for it, one in pairs if isinstance(one, Pool) and it in reloads},
		stays=stays,
		every_host=tuple(hosts_among(known, here)),
	)
	refuse_nothing(plan)
	return grouped(plan, options.hosts, here)


def refuse_nothing(plan: Plan) -> None:
	"""Raises WrongEnvironment where the process manager runs nothing that could be restarted, or started."""
	if plan.stays and not plan.replaced:
		raise WrongEnvironment(
			f"Nothing that is to be restarted can be: {why_they_stay(plan.stays)}. Nothing was changed.",
			hint=remedies_of(plan.stays),
		)
	if not plan.replaced and not any(process.kind is ProcessKind.WEB for process in plan.left_alone):
		raise WrongEnvironment(
			"The process manager runs no program of this bench. Nothing was changed.",
			hint="Start the bench first; a restart does not start programs that were stopped on purpose.",
		)


def spared_jobs(bench: Bench, look: Look, listed: Iterable[Process], options: Options) -> set[str]:
	"""Ids of those that run on hosts which were not named: nobody waits for them."""
	if not options.hosts or not options.hosts.names:
		return set()
	names = workers_on(options.hosts.names, look, listed, bench.host)
	others = {worker.name for worker in look.workers} - names
	return {job.id for job in look.started if job.worker in others}


def with_jobs(plan: Plan, bench: Bench, look: Look, spared: Collection[str] = ()) -> Plan:
	"""The same plan, with what runs and waits now, and how long that may take. `spared`: ids of jobs that are not waited for."""
	awaited = (job.id for job in running_jobs(look) if job.id not in spared)
	described = bench.queue.describe(awaited).values()
	jobs = tuple(job for job in described if is_worth_naming(job, look.time))
	usual = bench.queue.usual_durations({job.method for job in jobs}) if jobs else {}
	return replace(
		plan,
		busy=busy_programs(plan.replaced, look, bench.host),
		idle_workers=sum(worker.state is not WorkerState.BUSY for worker in live_workers(look)),
		jobs=jobs,
		runs=programs_of_jobs(plan.replaced, look, bench.host, jobs),
		depths=dict(look.depths),
		longest=longest(jobs, look.time),
		likely=likely(jobs, usual, look.time),
		suspension=look.suspension,
		held=tuple(hold for hold in bench.holds.standing() if not hold.is_beginning),
	)


def with_web(plan: Plan, bench: Bench, options: Options) -> Plan:
	"""The same plan, with what its restart of web means for users."""
	ways = {program.name: way_of(bench, program, options) for program in web_programs(plan.restart)}
	outage = bench.others.last_web_outage() if ways else None
	return replace(plan, web_taken=taken(bench, plan.restart), web_ways=ways, web_outage=outage)


def reloads_of(
	bench: Bench, look: Look, listed: Iterable[Process], options: Options
) -> list[tuple[Process, Reloadable]]:
	"""
	Workers, pools and the scheduler that can, each with its program. Where a manager cannot replace them they do so with
	every strategy; those that no manager runs do so, too, wherever no job runs then.
	"""
	if not options.workers or options.migration is not None:
		return []
	pairs = reloadable(look, listed, bench.host)
	return [
		(program, one)
		for program, one in pairs
		if options.may_reload or program.stays or (options.reloads_unmanaged and not program.is_managed)
	]


def refuse_orders(bench: Bench, plan: Plan) -> None:
	"""Raises WrongEnvironment where a process manager would not let us stop and start what is to be restarted."""
	if not plan.restart:
		return
	try:
		bench.processes.check_orders([process.name for process in plan.restart])
	except ProcessFault as fault:
		raise WrongEnvironment(f"{str(fault).rstrip('.')}. Nothing was changed.", hint=fault.hint) from fault


def refuse_stopped(bench: Bench, plan: Plan) -> None:
	"""Raises WrongEnvironment where all that is to be restarted was stopped on purpose."""
	if not plan.replaced:
		names = [process.name for process in plan.left_alone]
		raise WrongEnvironment(
			f"All programs to restart were stopped before: {', '.join(names)}. Nothing was changed.",
			hint=f"Start them: {bench.processes.start_command(names)}",
		)


def refuse_unproved(listed: Iterable[Process], look: Look, options: Options) -> None:
	"""
	Raises WrongEnvironment for workers of another machine that are to be kept in service until their own jobs end, where no
	record proves that the process is the worker: a TERM to anything else might end a job.
	"""
	remote = [process for process in listed if process.host and process.runs_jobs and process.pid]
	if remote and options.touches_jobs and options.strategy is Strategy.SUSPEND_RQ:
		names = ", ".join(process.name for process in remote)
		raise WrongEnvironment(
			f"--suspend-rq kills jobs that outlive its grace, and those of {names} cannot be killed from here. Nothing was changed.",
			hint="Use --wait-workers instead.",
		)
	if not options.workers or options.strategy not in ONE_BY_ONE:
		return
	if unproved := [process.name for process in remote if not is_proved(process, look)]:
		raise WrongEnvironment(
			f"{', '.join(unproved)} runs on another machine, and no record of a worker in Redis has its host and pid, so it"
			" cannot be kept in service until its own job ends. Nothing was changed.",
			hint="Use --wait-workers instead. For a single worker, `host` in fmx_restart_managers must be what the command"
			" hostname prints there.",
		)


def refuse_to_split(listed: Iterable[Process], options: Options) -> None:
	"""
	Raises WrongEnvironment where one program runs web and workers (gunicorn's companions), and one of the two is not to be
	touched: neither can be restarted without the other.
	"""
	combined = [process.name for process in listed if process.kind is ProcessKind.WEB and process.has_workers]
	refused, hint = "", ""
	if combined and not options.touches_jobs:
		refused, hint = (
			"restarted without its workers",
			"Leave out --no-workers; --wait-workers lets running jobs finish.",
		)
	elif combined and not options.web:
		refused, hint = "restarted without web", "Leave out --no-web."
	elif combined and options.strategy in ONE_BY_ONE:
		refused, hint = "kept in service until its own jobs end", "Use --wait-workers instead."
	if refused:
		raise WrongEnvironment(
			f"{', '.join(combined)} runs web and workers in one process tree, and cannot be {refused}. Nothing was changed.",
			hint=hint,
		)


def refuse_to_stop(bench: Bench, listed: Iterable[Process], options: Options) -> None:
	"""Raises WrongEnvironment where programs would have to stop that can only be stopped together with all others."""
	bound = [process for process in listed if process.ends_all]
	names = ", ".join(process.name for process in bound if process.runs_apps)
	if bound and options.migration is not None:
		start = bench.processes.start_command([process.name for process in bound])
		raise WrongEnvironment(
			"Old web and workers must be gone before a schema changes, and none of these can be stopped without ending all:"
			f" {names}. Nothing was changed.",
			hint="Type bench safe-restart hold --drain, then bench --site SITE migrate. Then press Ctrl-C in the terminal of"
			f" {start}, type {start} there, and bench safe-restart release here.",
		)
	if bound and options.touches_jobs and options.strategy is Strategy.SUSPEND_RQ:
		raise WrongEnvironment(
			f"--suspend-rq stops workers, and none of these can be stopped without ending all: {names}. Nothing was changed.",
			hint="Use --wait-workers instead: workers of this app reload in place.",
		)


def unmanaged_workers(bench: Bench, look: Look, listed: Iterable[Process]) -> tuple[Worker, ...]:
	"""Live workers that no process manager runs. A worker-pool's children are known by their parent."""
	return tuple(workers_outside(bench, look, listed))


def unreached(worker: Worker) -> str:
	"""One that keeps the old code, for people."""
	return f"pid {worker.pid} on {worker.host} ({','.join(worker.queues)})"


def programs_of_jobs(
	processes: Iterable[Process], look: Look, host: Host, jobs: Iterable[Job]
) -> dict[str, str]:
	"""By a job's id: the name of the program whose worker runs it, as far as that is known."""
	ids = {job.id for job in jobs}
	programs = runners(processes, look, host) if ids else {}
	at_work = (worker for worker in look.workers if worker.job_id in ids and worker.name in programs)
	return {worker.job_id: programs[worker.name].name for worker in at_work}


def busy_programs(processes: Iterable[Process], look: Look, host: Host) -> tuple[str, ...]:
	"""Names of those whose worker runs a job. A worker-pool is busy when any of its children is."""
	at_work = {worker.name for worker in look.workers if worker.state is WorkerState.BUSY}
	programs = runners(processes, look, host)
	busy = {process.name for name, process in programs.items() if name in at_work}
	return tuple(process.name for process in processes if process.name in busy)
