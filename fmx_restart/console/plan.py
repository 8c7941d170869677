"""What a restart would do: what its strategy does, the order of the processes, and the plan as one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from fmx_restart.console.program_names import short_list, short_program
from fmx_restart.console.strategies import STRATEGY_TEXTS, _
from fmx_restart.engine.format import count, span
from fmx_restart.engine.frozen import changed, frozen
from fmx_restart.engine.options import ONE_BY_ONE, OnTimeout, Options, Strategy
from fmx_restart.engine.plan import Plan, autoscalers, of_hosts
from fmx_restart.engine.ports import Process, ProcessKind, ProcessState

MIGRATION_STORY = "The sites are migrated before the restart. {}"
AUTOSCALED = "An autoscaler sets how many of these run"
DOWN_ALREADY = {ProcessState.FAILED, ProcessState.RETRYING}


def story(options: Options) -> str:
	"""What an operation with these options does."""
	text = STRATEGY_TEXTS[options.strategy].line
	return MIGRATION_STORY.format(text) if options.migration else text


@frozen
class Step:
	"""Processes whose turn comes together, and when. `hosts`: of the group; empty where all hosts are restarted together."""

	when: str
	processes: tuple[str, ...]
	hosts: tuple[str, ...] = ()


def order(plan: Plan, strategy: Strategy) -> list[Step]:
	"""When which processes are restarted, step by step, as things are now; host by host where they come so."""
	if not plan.hosts:
		return order_at_once(plan, strategy)
	return [
		changed(step, hosts=hosts)
		for hosts in plan.hosts
		for step in order_at_once(of_hosts(plan, hosts), strategy)
	]


def order_at_once(plan: Plan, strategy: Strategy) -> list[Step]:
	"""As order, for all hosts together."""
	scheduler = [process.name for process in plan.reloads if not process.runs_jobs]
	workers = [*scheduler, *(process.name for process in plan.replaced if process.runs_jobs)]
	busy = [name for name in workers if name in plan.busy]
	idle = [name for name in workers if name not in busy]
	first, others, last = web_and_others(plan)
	begin, end = [(_("first"), first)], [(_("when web is back"), last)]
	steps = {
		Strategy.NO_WAIT_WORKERS: [*begin, (AS_FREE, idle + others), *end, (JOB_ENDS, busy)],
		Strategy.ROLLING: [*begin, (AS_FREE, others), *end, (_("one at a time"), idle), (JOB_ENDS, busy)],
	}.get(strategy, [*begin, (AS_FREE, workers + others), *end])
	return [Step(when, tuple(names)) for when, names in steps if names]


def job_lines(plan: Plan, options: Options) -> Iterator[str]:
	"""The running jobs: what the restart does about each, and its own time-out."""
	what = "would wait for"
	if options.strategy in ONE_BY_ONE:
		what = "would let end"
	elif options.on_timeout is not OnTimeout.ABORT:
		what = f"would kill after {span(options.drain_timeout)}"
	for job in plan.jobs:
		limit = "no time-out" if job.timeout is None else f"time-out {span(job.timeout)}"
		yield f"  {what}: {job.site} / {job.method} ({job.queue}), {limit}"


AS_FREE = _("as many at once as there are CPUs")
JOB_ENDS = _("when its own job ends")


def web_and_others(plan: Plan) -> tuple[list[str], list[str], list[str]]:
	"""All but workers: web, those that wait for nothing but a processor, those that wait for web."""
	processes = [process for process in plan.restart if not process.runs_jobs]
	web = [process.name for process in processes if process.kind is ProcessKind.WEB]
	last = [process.name for process in processes if web and process.kind is ProcessKind.SOCKETIO]
	return web, [process.name for process in processes if process.name not in (*web, *last)], last


def plan_sentence(plan: Plan) -> str:
	"""What a restart would meet now, for the dry run and the journal."""
	about = (to_restart(plan), to_reload(plan), by_hosts(plan))
	about = (*about, *exceptions(plan), about_web(plan), running(plan))
	return " ".join(filter(None, about))


def about_web(plan: Plan) -> str:
	"""What users notice of it. What keeps it from lingering is a warning of its own (console/sentences.py)."""
	ways = plan.web_ways.values()
	if any(way.is_coming for way in ways):
		return "Web is still starting: whether requests will fail is known when it is up."
	if ways and all(way.is_lingering for way in ways):
		return f"No web request fails: old workers serve until new ones answer{in_brackets(plan)}."
	if ways and all(way.is_lingering or way.is_holding for way in ways):
		if plan.migrate:
			return "Web requests wait until the sites are migrated and web is back; none fails before its own time-out."
		return "Web requests wait for some seconds; none fails."
	if ways and all(way.is_reloading for way in ways):
		return "Web reloads by itself: requests that are under way fail, new ones wait for a moment."
	if not any(way.is_worth_telling for way in ways):
		return ""
	return f"Web requests fail for a moment{in_brackets(plan)}."


def in_brackets(plan: Plan) -> str:
	"""What users got the last time, behind a sentence."""
	return f" ({last_time(plan)})" if plan.web_outage is not None else ""


def last_time(plan: Plan) -> str:
	"""For how long users got no answer when web was restarted last; empty where nobody knows."""
	if plan.web_outage is None:
		return ""
	return f"last time {span(plan.web_outage)}{' without an answer' if plan.web_outage else ''}"


def to_restart(plan: Plan) -> str:
	"""The programs by what they are."""
	names = short_names(plan.restart)
	if not names:
		return "" if plan.reloads else "No process to restart."
	return f"{count(len(plan.restart), 'process')} to restart: {names}."


def to_reload(plan: Plan) -> str:
	"""What goes on in the same process."""
	if not plan.reloads:
		return ""
	verb = "reloads" if len(plan.reloads) == 1 else "reload"
	pools, schedulers = len(plan.pools), sum(it.kind is ProcessKind.SCHEDULER for it in plan.reloads)
	alone = len(plan.reloads) - pools - schedulers
	what = ["scheduler"] if schedulers else []
	what += [count(alone, "worker")] if alone else []
	what += [f"{count(pools, 'worker-pool')} of {count(sum(plan.pools.values()), 'worker')}"] if pools else []
	names = " and ".join(filter(None, [", ".join(what[:-1]), what[-1]]))
	return f"{names[0].upper()}{names[1:]} {verb} in place."


def by_hosts(plan: Plan) -> str:
	"""The groups of hosts in their order."""
	groups = [", ".join(hosts) for hosts in plan.hosts]
	if len(groups) == 1:
		return f"Only on {groups[0]}."
	return f"Host by host: {'; then '.join(groups)}." if groups else ""


def short_names(processes: Iterable[Process]) -> str:
	"""As "web, socketio, scheduler, 2 workers"; a program of another kind by its name."""
	kinds: Counter[str] = Counter()
	others = []
	for process in processes:
		if process.kind is ProcessKind.OTHER:
			others.append(short_program(process.name))
		else:
			kinds[process.kind.value] += 1
	return ", ".join(
		[*(kind if number == 1 else count(number, kind) for kind, number in kinds.items()), *others]
	)


def exceptions(plan: Plan) -> list[str]:
	"""What is not as usual: stopped or failed programs, sites to migrate."""
	parts = []
	if plan.left_alone:
		stopped = short_list(process.name for process in plan.left_alone)
		parts.append(f"Already stopped, left alone: {stopped}.")
	if plan.stopped_web:
		parts.append("Web stays down: the exit code will be 4.")
	if plan.stays:
		parts.append(f"Not restarted: {short_list(process.name for process in plan.stays)}.")
	down = [
		f"{short_program(p.name)} ({p.detail or p.state.value})"
		for p in plan.restart
		if p.state in DOWN_ALREADY
	]
	if down:
		parts.append(f"Already down: {', '.join(down)}.")
	if names := autoscalers(plan.replaced):
		parts.append(
			f"{AUTOSCALED}: {names}. A change in the middle of the restart can end it with exit code 4."
		)
	if plan.migrate:
		parts.append(f"{count(len(plan.migrate), 'site')} to migrate first: {', '.join(plan.migrate)}.")
	return parts


def running(plan: Plan) -> str:
	"""How many jobs run, and for how long at most by their own limits."""
	if not plan.jobs:
		return "No job is running."
	bound = "with no time limit" if plan.longest is None else f"at most {span(plan.longest)} more"
	guess = "" if plan.likely is None else f", likely {span(plan.likely)}"
	return f"{count(len(plan.jobs), 'job')} running, {bound}{guess}."
