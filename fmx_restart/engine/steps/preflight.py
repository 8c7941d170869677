"""Everything that must be known before anything is touched: processes, code, and what speaks against a migration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import Finding, Gravity
from fmx_restart.engine.options import DRAINING, ONE_BY_ONE, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan, chosen, is_worth_naming, likely, longest, split_processes
from fmx_restart.engine.ports import (
	Bench,
	Code,
	CodeFault,
	Host,
	HostProcess,
	Look,
	Pool,
	Process,
	ProcessKind,
	Worker,
	WorkerState,
)
from fmx_restart.engine.reload import reloadable
from fmx_restart.engine.steps.hold import hold_findings
from fmx_restart.engine.steps.linger import tell_way, way_of
from fmx_restart.engine.steps.nginx import test_nginx
from fmx_restart.engine.steps.reload import refuse_pools
from fmx_restart.engine.steps.restart import as_they_are_now
from fmx_restart.engine.steps.web import begin_to_measure, migration_findings, taken, web_programs
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import (
	live_workers,
	look_at,
	runners,
	running_jobs,
	with_workers,
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
	operation.report.left_alone = [process.name for process in operation.plan.left_alone]
	operation.emit(events.Planned(operation.plan))
	judge_code(operation, operation.plan.code_faults)
	judge(operation, operation.plan.findings)
	if operation.plan.web_taken:
		operation.emit(events.WebTaken(operation.plan.web_taken))
	for program, way in operation.plan.web_ways.items():
		tell_way(operation, program, way)
	begin_to_measure(operation, operation.plan.restart)
	if operation.plan.unmanaged:
		operation.emit(events.WorkersUnmanaged(operation.plan.unmanaged))
	for advice in operation.plan.advice:
		operation.emit(events.Advised(advice))
	if not look.workers:
		operation.emit(events.NoWorkersFound())
	if look.other_benches and operation.options.stops_queue:
		operation.emit(events.OtherBenchesPause(dict(look.other_benches)))


def plan_of(bench: Bench, options: Options) -> Plan:
	"""What a restart would do now. Changes nothing. Raises what preflight raises before it has a plan."""
	test_nginx(bench, options)
	listed = everything_managed(bench, options)
	look = look_at(bench, lambda: listed)
	plan = make_plan(bench, look, with_workers(listed, look, bench.host), options)
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
	pairs = reloads_of(bench, look, listed, options)
	reloads = tuple(process for process, _ in pairs)
	names = {process.name for process in reloads}
	others = [process for process in listed if process.name not in names]
	refuse_to_split(others, options)
	wanted = chosen(others, web=options.web, workers=options.workers)
	restart, left_alone = split_processes(wanted, start_stopped_web=options.start_stopped_web)
	if options.strategy is Strategy.ROLLING and options.touches_jobs:
		refuse_pools([process for process in restart if process.runs_jobs], look, bench.host)
	if not restart and not reloads and not any(process.kind is ProcessKind.WEB for process in left_alone):
		raise WrongEnvironment(
			"The process manager runs no program of this bench. Nothing was changed.",
			hint="Start the bench first; a restart does not start programs that were stopped on purpose.",
		)
	running = running_jobs(look)
	described = bench.queue.describe(job.id for job in running).values()
	jobs = tuple(job for job in described if is_worth_naming(job, look.time))
	idle = sum(w.state is not WorkerState.BUSY for w in live_workers(look))
	web_taken = taken(bench, restart)
	web_ways = {program.name: way_of(bench, program, options) for program in web_programs(restart)}
	usual = bench.queue.usual_durations({job.method for job in jobs}) if jobs else {}
	return Plan(
		restart=restart,
		left_alone=left_alone,
		busy=busy_programs((*restart, *reloads), look, bench.host),
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
			*hold_findings(web_ways, options),
		),
		unmanaged=unmanaged_workers(bench, look, (*listed, *reloads)) if options.workers else (),
		code_faults=code_faults,
		web_taken=web_taken,
		web_ways=web_ways,
		web_outage=bench.others.last_web_outage() if web_ways else None,
		reloads=reloads,
		pools={process.name: one.size for process, one in pairs if isinstance(one, Pool)},
		advice=bench.advisor.advice(look) if options.workers else (),
	)


def reloads_of(
	bench: Bench, look: Look, listed: Iterable[Process], options: Options
) -> list[tuple[Process, Worker | Pool]]:
	"""Workers and pools that can, each with its program."""
	return reloadable(look, listed, bench.host) if options.may_reload else []


def refuse_stopped(bench: Bench, plan: Plan) -> None:
	"""Raises WrongEnvironment where all that is to be restarted was stopped on purpose."""
	if not plan.replaced:
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
	remote = [process.name for process in listed if process.host and process.runs_jobs]
	if remote and options.workers and options.strategy in ONE_BY_ONE:
		raise WrongEnvironment(
			f"{', '.join(remote)} runs on another machine, and cannot be kept in service until its own jobs end. Nothing was"
			" changed.",
			hint="Use --wait-workers instead.",
		)
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


def unmanaged_workers(bench: Bench, look: Look, listed: Iterable[Process]) -> tuple[Worker, ...]:
	"""Live workers that no process manager runs. A worker-pool's children are known by their parent."""
	return tuple(workers_outside(bench, look, listed))


def busy_programs(processes: Iterable[Process], look: Look, host: Host) -> tuple[str, ...]:
	"""Names of those whose worker runs a job. A worker-pool is busy when any of its children is."""
	at_work = {worker.name for worker in look.workers if worker.state is WorkerState.BUSY}
	programs = runners(processes, look, host)
	busy = {process.name for name, process in programs.items() if name in at_work}
	return tuple(process.name for process in processes if process.name in busy)


OPEN_SITES = (
	"web answers requests with old code while the schema changes, as --maintenance-mode leaves the sites open"
)
OLD_CODE = "Old code on a changed schema means errors and corrupt data. --force migrates anyway."
PASSING_BY = Patience(timeout=10.0, poll=1.0)  # what web requests leave behind ends by itself


def inspect_sites(
	bench: Bench,
	look: Look,
	options: Options,
	restart: Iterable[Process],
	each: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> list[Finding]:
	"""Nothing where nothing is to be migrated. `each`: Operation.each, where lock and fence are held."""
	if options.migration is None:
		return []
	if bench.migrations is None or not options.sites:
		return [
			Finding("", Gravity.BLOCKS, "there is no site to migrate", "Name it: --site NAME, or --site all.")
		]
	findings = [*unsafe_options(options), *strangers(bench, look, restart)]
	for site in each(options.sites):
		findings += bench.migrations.inspect(site, options.migration)
	return findings


def unsafe_options(options: Options) -> list[Finding]:
	"""Options with which old code would meet the new schema."""
	findings = []
	if options.strategy is Strategy.ROLLING:
		text = "rolling runs old and new workers side by side, so there is no moment for a migration"
		findings.append(
			Finding("", Gravity.BLOCKS, text, "Leave --rolling out: --migrate waits for running jobs.")
		)
	elif options.strategy not in DRAINING:
		text = f"{options.strategy.value} does not wait for running jobs: they would keep running while the schema changes"
		findings.append(Finding("", Gravity.DOUBTFUL, text, f"Leave it out: --migrate waits. {OLD_CODE}"))
	if not options.web:
		text = "web would keep running old code on the new schema (--no-web)"
		findings.append(Finding("", Gravity.DOUBTFUL, text, f"Leave --no-web out. {OLD_CODE}"))
	elif Phase.MIGRATE not in options.maintenance and not options.migration.hold_web:
		findings.append(Finding("", Gravity.NOTE, OPEN_SITES))
	return findings


def strangers(bench: Bench, look: Look, restart: Iterable[Process]) -> list[Finding]:
	"""Workers that this operation will not replace: on other machines, started by hand, or left out on purpose."""
	left = workers_outside(bench, look, restart)
	if not left:
		return []
	names = ", ".join(f"pid {worker.pid} on {worker.host}" for worker in left)
	text = f"workers that this restart does not replace would meet the new schema with old code: {names}"
	return [Finding("", Gravity.DOUBTFUL, text, f"Stop them first. {OLD_CODE}")]


def judge(operation: Operation, findings: Iterable[Finding], *, is_drained: bool = False) -> None:
	"""Raises WrongEnvironment for findings that forbid the migration; emits the others, each once."""
	findings = list(findings)
	if refused := refusals(operation.options, findings, is_drained=is_drained):
		names = "; ".join(sentence(finding) for finding in refused)
		changed = operation.undone if is_drained else "Nothing was changed."
		remedies = dict.fromkeys(finding.remedy for finding in refused if finding.remedy)
		raise WrongEnvironment(f"Not migrated: {names}. {changed}", hint=" ".join(remedies))
	reported = operation.plan.findings if is_drained else ()
	for finding in findings:
		if finding not in reported:
			operation.emit(events.MigrationFinding(finding))


def refusals(options: Options, findings: Iterable[Finding], *, is_drained: bool) -> list[Finding]:
	"""Those that forbid the migration. What passes by itself forbids it only once no job runs any more."""
	refused = {Gravity.BLOCKS}
	if options.migration and not options.migration.force:
		refused |= {Gravity.DOUBTFUL, Gravity.TRANSIENT} if is_drained else {Gravity.DOUBTFUL}
	return [finding for finding in findings if finding.gravity in refused]


def plan_refusals(plan: Plan, options: Options) -> Iterator[str]:
	"""Why the preflight, or the last look at the code, would refuse this plan: each reason as the end of a sentence."""
	if not plan.replaced:
		yield "all programs to restart were stopped before"
	if not options.ignore_code_faults:
		for fault in plan.code_faults:
			yield f"web and workers could not load the code as it is now: {fault.module}: {fault.error}"
	yield from map(sentence, refusals(options, plan.findings, is_drained=False))


def sentence(finding: Finding) -> str:
	"""With the site's name in front, where it is about one."""
	return f"{finding.site}: {finding.text}" if finding.site else finding.text


def inspect_again(operation: Operation) -> None:
	"""No job runs now: a transaction or lock that is still there would hold up the migration. Short ones may end."""
	bench, options = operation.bench, operation.options
	findings: list[Finding] = []

	def is_clear() -> bool:
		programs = as_they_are_now(
			operation, operation.plan.restart
		)  # one may have been started again meanwhile
		findings[:] = inspect_sites(bench, operation.look(), options, programs, operation.each)
		return not refusals(options, findings, is_drained=True)

	operation.wait(is_clear, PASSING_BY)
	judge(operation, findings, is_drained=True)


MANAGER_ANSWERS = Patience(timeout=10.0, poll=0.5)
#: the check runs beside us; one that takes longer is waited for before the restart
FIRST_PART = Patience(timeout=1.0, poll=0.005)
CODE_ANSWERS = Patience(timeout=20.0, poll=0.02)
STALE = 5.0  # seconds after which the code may have been changed, as a deploy does while a drain waits


def first_look(bench: Bench, options: Options) -> tuple[CodeFault, ...]:
	"""What is known about the code within a moment. Changes nothing."""
	try:
		bench.code.start_check(is_awaited=options.migration is not None)
	except OSError:
		return ()  # the last look reports it
	wait_until(lambda: has_answered(bench.code), FIRST_PART, bench.clock)
	return tuple(bench.code.faults() or ())


def last_look(operation: Operation) -> None:
	"""The manager and the code once more, before anything is touched. Raises WrongEnvironment."""
	check_manager(operation)
	check_code(operation)


def check_manager(operation: Operation) -> None:
	"""Raises WrongEnvironment where the process manager does not answer: its programs could be stopped, but not started again."""
	if not operation.plan.restart:
		return  # all that is to be done is done without it
	faults: list[ProcessFault] = []

	def answers() -> bool:
		try:
			operation.bench.processes.list()
		except ProcessFault as fault:
			if not faults:
				operation.emit(events.ManagerAway(str(fault)))
			faults.append(fault)
			return False
		return True

	if not operation.wait(answers, MANAGER_ANSWERS):
		raise manager_is_gone(operation, faults[-1])


def manager_is_gone(operation: Operation, fault: ProcessFault) -> WrongEnvironment:
	"""The error for it: what lives on without its manager, and what to type."""
	away = operation.bench.processes.survey().away
	programs = [p for p in operation.plan.restart if p.local_pid and p.manager in away]
	noted = [HostProcess(p.pid, p.incarnation) for p in programs]
	pids = " ".join(str(process.pid) for process in operation.bench.host.alive(noted))
	hint = "Start it again, then type the same command."
	if pids:
		hint = (
			"If it was killed, its programs keep running without it, and a new one would start each of them a second time: end them first"
			f" (kill {pids}; a worker finishes its job), then start it, then type the same command."
		)
	return WrongEnvironment(f"{fault}. {unchanged(operation)}", hint=hint)


def check_code(operation: Operation) -> None:
	"""Check the code again where the first check is some time ago. Raises WrongEnvironment where it cannot be loaded."""
	code, clock = operation.bench.code, operation.bench.clock
	migrates = operation.options.migration is not None
	try:
		is_unknown = code.is_checked() and code.faults() is None
		if is_unknown or clock.now() - operation.code_seen_at > STALE:
			code.start_check(is_awaited=migrates)
		is_enough = code.is_checked if migrates else lambda: has_answered(code)
		operation.wait(is_enough, CODE_ANSWERS)
		if code.faults() is None:
			operation.emit(events.CodeNotChecked("the process that tried to load it gave no answer"))
		judge_code(operation, code.faults() or ())
	except OSError as error:
		operation.emit(events.CodeNotChecked(str(error)))
	finally:
		code.end_check()


def has_answered(code: Code) -> bool:
	"""Whether the first part of the check is done, or the check has ended."""
	return code.faults() is not None or code.is_checked()


def judge_code(operation: Operation, faults: Iterable[CodeFault]) -> None:
	"""Emit each fault once. Raises WrongEnvironment unless the options ignore such faults."""
	new = [fault for fault in faults if fault not in operation.code_faults]
	operation.code_faults += new
	for fault in new:
		operation.emit(events.CodeBroken(fault))
	if operation.code_faults and not operation.options.ignore_code_faults:
		names = "; ".join(f"{fault.module}: {fault.error}" for fault in operation.code_faults)
		raise WrongEnvironment(
			f"Web and workers could not load the code as it is now. {names}. {unchanged(operation)}",
			hint="Fix it and type the same command again, or restart anyway with --force.",
		)


def unchanged(operation: Operation) -> str:
	"""What was not changed, as an error's last sentence says it."""
	if operation.phase is Phase.PREFLIGHT:
		return "Nothing was changed."
	return operation.undone
