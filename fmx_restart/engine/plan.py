"""What an operation would do, found out without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field
from itertools import chain

from fmx_restart.engine.frozen import changed, frozen
from fmx_restart.engine.migration import Finding
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.ports import (
	CodeFault,
	ConfigurationPlan,
	Job,
	Process,
	ProcessKind,
	ProcessState,
	Trouble,
	UnreadableRecords,
	WebFault,
	WebWay,
	Worker,
)
from fmx_restart.engine.queue_hold import QueueHold


@frozen
class Plan:
	"""Everything that is known before the first act. Durations are seconds."""

	restart: tuple[Process, ...]
	left_alone: tuple[Process, ...]  # someone stopped these on purpose, and they stay so
	busy: tuple[str, ...] = ()  # names of worker programs that are at work now
	idle_workers: int = 0
	jobs: tuple[Job, ...] = ()  # what the drain would wait for now
	#: by the id of one of these jobs: the name of the program that runs it, where that is known
	runs: dict[str, str] = field(default_factory=dict)
	depths: dict[str, int] = field(default_factory=dict)
	longest: float | None = None  # seconds until the last of these jobs hits its own limit; None: no limit
	likely: float | None = None  # seconds they take if they take as long as their like did; None: not known
	suspension: str | None = None
	migrate: tuple[str, ...] = ()  # sites, in this order
	findings: tuple[Finding, ...] = ()  # what speaks against migrating now
	unmanaged: tuple[Worker, ...] = ()  # workers that the process manager does not run: left as they are
	code_faults: tuple[CodeFault, ...] = ()  # what web and workers could not load
	web_taken: WebFault | None = None  # who keeps web from its address: a restart cannot bring it up then
	#: by web program: whether its restart fails no request
	web_ways: dict[str, WebWay] = field(default_factory=dict)
	#: seconds for which users got no answer when web was restarted last; None where nobody knows
	web_outage: float | None = None
	#: what counts as unknown in this plan; an operation tells it as it goes
	unreadable: UnreadableRecords | None = None
	reloads: tuple[Process, ...] = ()  # workers and pools that reload in place: no manager touches them
	advice: tuple[Trouble, ...] = ()  # what a person may set up
	pools: dict[str, int] = field(default_factory=dict)  # of those that reload: how many workers they keep
	held: tuple[QueueHold, ...] = ()  # people hold the queue; the last one ends last
	stays: tuple[Process, ...] = ()  # nothing can replace these: they go on with the code that they have
	hosts: tuple[tuple[str, ...], ...] = ()  # groups of hosts, one after the other; empty: all at once
	here: str = ""  # the name of this host, where there are such groups
	#: on which programs of this bench run, whether chosen or not; this one first
	every_host: tuple[str, ...] = ()
	#: what process managers would run otherwise, by what their files say now
	configuration: ConfigurationPlan = field(default_factory=ConfigurationPlan)

	@property
	def replaced(self) -> tuple[Process, ...]:
		"""All that get new code, in whichever way."""
		return (*self.restart, *self.reloads)

	@property
	def strangers_suspension(self) -> str | None:
		"""What someone wrote who neither holds the queue nor is an operation; None where nobody did."""
		return None if self.held and QueueHold.parse(self.suspension) else self.suspension

	@property
	def stopped_web(self) -> tuple[str, ...]:
		"""Names of the web programs that are left alone; empty where another one is restarted, and answers for them."""
		has_web = any(process.kind is ProcessKind.WEB for process in self.restart)
		stopped = tuple(process.name for process in self.left_alone if process.kind is ProcessKind.WEB)
		return () if has_web else stopped


def stops_queue(plan: Plan, options: Options) -> bool:
	"""
	Whether new jobs wait for a while. Not where busy workers keep serving, and all that could take a job reloads in place: the
	queue runs on then.
	"""
	is_in_place = bool(plan.reloads) and not any(process.runs_jobs for process in plan.restart)
	return options.stops_queue and not (is_in_place and options.strategy is Strategy.NO_WAIT_WORKERS)


def of_hosts(plan: Plan, hosts: Collection[str]) -> Plan:
	"""The same plan for these hosts alone."""

	def on_them(processes: Iterable[Process]) -> tuple[Process, ...]:
		return tuple(process for process in processes if (process.host or plan.here) in hosts)

	return changed(
		plan,
		restart=on_them(plan.restart),
		left_alone=on_them(plan.left_alone),
		reloads=on_them(plan.reloads),
		stays=on_them(plan.stays),
		configuration=of_managers(plan.configuration, {it.manager for it in on_them(plan.restart)}),
	)


def of_managers(plan: ConfigurationPlan, names: Collection[str]) -> ConfigurationPlan:
	"""The same for these process managers alone."""
	changes = tuple(change for change in plan.changes if change.manager in names)
	known = {change.group for change in changes}
	return changed(plan, changes=changes, left={it: why for it, why in plan.left.items() if it in known})


OWN_JOBS_TAKE = 10.0  # seconds
WEB_KINDS = {ProcessKind.WEB, ProcessKind.SOCKETIO}


def chosen(processes: Iterable[Process], *, web: bool, workers: bool) -> list[Process]:
	"""The processes that are to be restarted: scheduler and workers go together, socketio goes with web, any other with its group."""
	processes = list(processes)
	web_groups = {(p.manager, p.group) for p in processes if p.kind is ProcessKind.WEB}

	def is_web(process: Process) -> bool:
		if process.runs_jobs and process.kind is not ProcessKind.WEB:
			return False
		if process.kind is ProcessKind.OTHER:
			return (process.manager, process.group) in web_groups
		return process.kind in WEB_KINDS

	return [process for process in processes if (web if is_web(process) else workers)]


def split_processes(
	processes: Iterable[Process], *, start_stopped_web: bool = False
) -> tuple[tuple[Process, ...], tuple[Process, ...]]:
	"""
	Those to restart, and those that an administrator stopped: a restart doesn't overrule that, unless the person who starts
	it wants web to be started.
	"""

	def is_left_alone(process: Process) -> bool:
		is_wanted = start_stopped_web and process.kind is ProcessKind.WEB
		return process.state is ProcessState.STOPPED and not is_wanted

	processes = tuple(processes)
	restart = tuple(process for process in processes if not is_left_alone(process))
	return restart, tuple(process for process in processes if is_left_alone(process))


def why_they_stay(processes: Iterable[Process], listed: Callable[[list[str]], str] = ", ".join) -> str:
	"""Names, as `listed` writes them, and reasons of those that nothing can replace; a reason that several have is given once."""
	names: dict[str, list[str]] = {}
	for process in processes:
		if process.stays:
			names.setdefault(process.stays.reason, []).append(process.name)
	return "; ".join(f"{listed(these)} ({reason})" for reason, these in names.items())


def remedies_of(processes: Iterable[Process]) -> str:
	"""What a person does for them instead, each sentence once."""
	remedies = (process.stays.remedies for process in processes if process.stays)
	return " ".join(dict.fromkeys(chain.from_iterable(remedies)))


def autoscalers(processes: Iterable[Process]) -> str:
	"""Which groups of programs have one, each with its name; empty where none is known."""
	known = {f"{it.group} ({it.scaled_by})": None for it in processes if it.scaled_by}
	return ", ".join(known)


def most_left(job: Job, now: float) -> float | None:
	"""Seconds until RQ ends the job by its own limit; None where it has none. Never negative."""
	if job.timeout is None:
		return None
	return max(0.0, job.timeout - elapsed(job, now))


def elapsed(job: Job, now: float) -> float:
	"""Seconds since the job started; 0 where that is not known."""
	return max(0.0, now - job.started) if job.started else 0.0


def is_worth_naming(job: Job, now: float) -> bool:
	"""A job of this app itself ends within seconds, and people need not know of it. One that takes longer is named like any other."""
	return not job.is_own or job.started is None or elapsed(job, now) > OWN_JOBS_TAKE


def longest(jobs: Iterable[Job], now: float) -> float | None:
	"""Seconds until RQ has ended the last of these jobs by its limit: 0 without jobs, None as soon as one has no limit."""
	bounds = [most_left(job, now) for job in jobs]
	return None if None in bounds else max(bounds, default=0.0)


def likely(jobs: Iterable[Job], usual: Mapping[str, float], now: float) -> float | None:
	"""
	`usual`: method → seconds that finished jobs of it took. 0 without jobs; None as soon as one is not known or has
	taken longer than usual already: then nothing can be said.
	"""
	left = [usual.get(job.method, 0.0) - elapsed(job, now) for job in jobs]
	return max(left, default=0.0) if all(seconds > 0 for seconds in left) else None
