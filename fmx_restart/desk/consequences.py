"""What a restart with these options will do to jobs, sites and users: one sentence each, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import frappe
from frappe import _

from fmx_restart.console.sentences import finding_sentence
from fmx_restart.engine.format import span
from fmx_restart.engine.options import ONE_BY_ONE, OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import Plan, stops_queue
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.steps.findings import held_back, refusals


def consequences(options: Options, plan: Plan) -> list[str]:
	"""What a restart with these options would do now, or why the preflight would refuse it: sentences for the preview."""
	if refused := list(reasons(options, plan)):
		text = _("The preflight will refuse this, and nothing will be changed: {0}")
		return [text.format(reason) for reason in refused]
	about_jobs = (
		of_jobs(options, plan) if options.touches_jobs else [_("Workers and their jobs are left alone.")]
	)
	return [
		*of_hosts(options, plan),
		*about_jobs,
		*of_maintenance(options),
		*of_migration(options),
		*of_configuration(options, plan),
		*of_processes(options, plan),
	]


def reasons(options: Options, plan: Plan) -> Iterator[str]:
	"""Why the preflight would refuse it, and what to do."""
	if not options.ignore_code_faults:
		for fault in plan.code_faults:
			yield _("{0} cannot be loaded: {1}.").format(fault.module, fault.error)
	yield from map(finding_sentence, refusals(options, plan.findings, is_drained=False))
	if reason := held_back(plan, options):
		yield f"{reason[:1].upper()}{reason[1:]}."


def of_hosts(options: Options, plan: Plan) -> list[str]:
	"""Which hosts, in which groups; nothing where the bench has one host."""
	if len(plan.every_host) < 2:
		return []
	chosen = list(chain.from_iterable(plan.hosts)) or list(plan.every_host)
	spared = [name for name in plan.every_host if name not in chosen]
	return [*of_groups(options, plan, chosen), *([of_spared(spared)] if spared else [])]


def of_groups(options: Options, plan: Plan, chosen: Sequence[str]) -> Iterator[str]:
	"""`chosen`: all that are restarted, in their order."""
	groups, hosts = plan.hosts, options.hosts
	if len(groups) > 1:
		text = _("The hosts are restarted in {0} groups, one after the other: {1}.")
		yield text.format(len(groups), "; ".join(map(", ".join, groups)))
	elif len(chosen) == 1:
		yield _("Only the host {0} is restarted.").format(chosen[0])
	else:
		yield _("{0} hosts are restarted together: {1}.").format(len(chosen), ", ".join(chosen))
	if hosts and hosts.canary:
		text = _("After its restart, {0} is watched for {1}.")
		yield text.format(", ".join(groups[0] if groups else chosen), span(hosts.canary))
	if len(groups) > 1:
		yield from of_turns(options)


def of_turns(options: Options) -> Iterator[str]:
	"""What happens between two groups, and where one fails."""
	if options.hosts and options.hosts.pause:
		yield _("Between two groups there is a pause of {0}; jobs run in it.").format(
			span(options.hosts.pause)
		)
	if options.touches_jobs and options.strategy not in ONE_BY_ONE:
		yield _("Each group waits for its own jobs only.")
	yield _("If a host fails, the groups after it are not restarted: they keep the old code.")


def of_spared(names: Sequence[str]) -> str:
	"""Hosts that were not chosen."""
	if len(names) == 1:
		return _("{0} is not restarted and keeps the old code.").format(names[0])
	return _("{0} are not restarted and keep the old code.").format(", ".join(names))


def of_jobs(options: Options, plan: Plan) -> list[str]:
	"""What happens to waiting and to running jobs."""
	waiting = (
		[_("New jobs wait in their queues in the meantime; none is lost.")]
		if stops_queue(plan, options)
		else [_("New jobs keep starting in the meantime.")]
	)
	return [*waiting, *(of_running(options, plan) if plan.jobs else [_("No job is running now.")])]


def of_running(options: Options, plan: Plan) -> list[str]:
	"""How long running jobs get, and what happens to them then."""
	number = len(plan.jobs)
	running = _("One job is running") if number == 1 else _("{0} jobs are running").format(number)
	if options.strategy in ONE_BY_ONE:
		if number == 1:
			return [_("{0}: its worker is replaced when it ends.").format(running)]
		return [_("{0}: each worker is replaced when its own job ends.").format(running)]
	limit = span(options.drain_timeout)
	if options.strategy is Strategy.SUSPEND_RQ:
		return [
			_("{0}: jobs that take longer than {1} are killed and listed in the report.").format(
				running, limit
			)
		]
	return [
		_("{0}; at most {1} to finish.").format(running, limit),
		at_the_deadline(options.on_timeout),
	]


def at_the_deadline(on_timeout: OnTimeout) -> str:
	"""The sentence for --on-timeout."""
	return {
		OnTimeout.ABORT: _("If a job is still running then, nothing is restarted and the queue runs again."),
		OnTimeout.REQUEUE: _(
			"Jobs still running then are killed and put back into their queue: they run again from the beginning."
		),
		OnTimeout.KILL: _("Jobs still running then are killed and listed in the report."),
	}[on_timeout]


def if_forced(on_timeout: OnTimeout) -> str:
	"""What becomes of running jobs when someone ends the wait. An operation that would abort kills them as well."""
	if on_timeout is OnTimeout.REQUEUE:
		return _(
			"They are killed now and put back at the front of their queues: they run again from the beginning."
		)
	return _("They are killed now and listed in the report. They are not run again automatically.")


def of_maintenance(options: Options) -> list[str]:
	"""When users get the maintenance page."""
	known = {Phase.DRAIN: _("the drain"), Phase.MIGRATE: _("the migration"), Phase.RESTART: _("the restart")}
	during = [name for phase, name in known.items() if phase in options.maintenance]
	if not during:
		return []
	return [_("{0} is in maintenance mode during {1}.").format(sites_of(options), ", ".join(during))]


def sites_of(options: Options) -> str:
	"""The sites that are migrated or closed; without a name it is this one."""
	return ", ".join(options.sites) or frappe.local.site


def of_migration(options: Options) -> list[str]:
	"""Which sites are backed up and migrated; without a name it is this one."""
	if not options.migration:
		return []
	names = sites_of(options)
	backup = [_("The database of {0} is backed up.").format(names)] if options.migration.backup else []
	return [*backup, _("{0} is migrated before any worker with new code starts.").format(names)]


def of_configuration(options: Options, plan: Plan) -> list[str]:
	"""Which groups of programs start by another configuration. Those that do not are among the warnings."""
	if not options.update_config:
		return []
	if names := ", ".join(it.group for it in plan.configuration.updated):
		text = _("The changed configuration of {0} is applied when all programs of the group are down.")
		return [text.format(names)]
	return [
		_("No change of this bench's programs is known; the configuration is read again before the restart.")
	]


def of_processes(options: Options, plan: Plan) -> list[str]:
	"""How many processes are restarted, and what web's users get."""
	number = len(plan.restart)
	restarted = (
		_("One process is restarted.") if number == 1 else _("{0} processes are restarted.").format(number)
	)
	return [
		*([restarted] if plan.restart else []),
		*of_scheduler(plan),
		*of_reloads(sum(it.kind is not ProcessKind.SCHEDULER for it in plan.reloads) - len(plan.pools)),
		*of_pools(len(plan.pools), sum(plan.pools.values())),
		*(of_web(plan) if options.web else []),
	]


def of_reloads(number: int) -> list[str]:
	"""Workers whose processes stay."""
	if not number:
		return []
	if number == 1:
		return [_("One worker reloads in place: its process stays, and goes on with the new code.")]
	return [
		_("{0} workers reload in place: their processes stay, and go on with the new code.").format(number)
	]


def of_scheduler(plan: Plan) -> list[str]:
	"""Where it is not restarted."""
	has_one = any(process.kind is ProcessKind.SCHEDULER for process in plan.reloads)
	return [_("The scheduler reloads in place, between two ticks.")] if has_one else []


def of_pools(number: int, workers: int) -> list[str]:
	"""They serve all the while."""
	if not number:
		return []
	if number == 1:
		text = _("One worker-pool reloads in place, and replaces its workers ({0}) a few at a time.")
		return [text.format(workers)]
	text = _("{0} worker-pools reload in place, and replace their workers ({1}) a few at a time.")
	return [text.format(number, workers)]


def of_web(plan: Plan) -> list[str]:
	"""
	Web answers throughout, requests wait, or they fail; and for how long users got no answer the last time, as it was
	measured: nothing where nobody knows.
	"""
	how, seconds = how_web_goes(plan), plan.web_outage
	if seconds is None:
		return [how]
	if not seconds:
		return [_("{0} In the last restart of web, users always got an answer.").format(how)]
	return [_("{0} In the last restart of web, users got no answer for {1}.").format(how, span(seconds))]


def how_web_goes(plan: Plan) -> str:
	"""Web answers throughout, requests wait, or they fail: one sentence."""
	ways = plan.web_ways.values()
	if ways and all(way.is_lingering for way in ways):
		return _("Desk keeps answering: old web processes serve until new ones answer.")
	if ways and all(way.is_lingering or way.is_holding for way in ways):
		if plan.migrate:
			return _("Requests wait until the sites are migrated; Desk answers then.")
		return _("Requests wait for some seconds; none fails.")
	return _("Desk does not answer for some seconds; unsaved input is kept.")
