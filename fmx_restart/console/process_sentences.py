"""The sentences about processes: web, workers, and what is left of them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fmx_restart.console.program_names import short_list, short_program
from fmx_restart.console.web_answers import web_at
from fmx_restart.engine import events
from fmx_restart.engine.format import count, following, span
from fmx_restart.engine.group_updates import cost_of
from fmx_restart.engine.plan import remedies_of, why_they_stay
from fmx_restart.engine.ports import ConfigurationPlan, GroupChange

APPLY = "bench safe-restart --wait-workers --update-config"


def process_down(event: events.ProcessDown) -> str:
	"""How long it took to stop; without a pid it was down before."""
	if event.pid is None:
		return f"{short_program(event.name)} was already down"
	return f"{short_program(event.name)} (pid {event.pid}) is down after {span(event.seconds)}"


def process_up(event: events.ProcessUp) -> str:
	"""Old and new pid, and how long nothing ran."""
	pids = event.new_pid if event.old_pid is None else f"{event.old_pid} → {event.new_pid}"
	return f"{short_program(event.name)} is up: pid {pids} after {span(event.seconds)}"


def worker_reloaded(event: events.WorkerReloaded) -> str:
	"""The same process, with new code; of a pool, all of its workers, too."""
	workers = "its worker has" if event.workers == 1 else f"its {event.workers} workers have"
	also = f", and {workers} new code," if event.workers else ""
	return f"{short_program(event.name)} has reloaded in place (pid {event.pid}){also} after {span(event.seconds)}"


def process_failed(event: events.ProcessFailed) -> str:
	"""Why, with the end of its log."""
	tail = f"\nThe end of its log:\n{event.log_tail.rstrip()}" if event.log_tail.strip() else ""
	return f"{short_program(event.name)}: {event.reason}{tail}"


def rolling_stopped(event: events.RollingStopped) -> str:
	"""Which worker did not come back, and which keep the old code."""
	return (
		f"{short_list(event.failed)} did not come back, so nothing further is replaced."
		f" In service with the old code: {short_list(event.not_replaced)}."
	)


def programs_stay(event: events.ProgramsStay) -> str:
	"""What goes on as it is, why, and what a person does about it."""
	return f"not restarted: {why_they_stay(event.programs, short_list)}.{following(' ', remedies_of(event.programs))}"


def configuration_changed(event: events.ConfigurationChanged) -> str:
	"""Which groups, what happens to them, and what a person types for those that are not updated."""
	plan = event.plan
	parts = (
		[f"the process manager would refuse its new configuration: {'; '.join(plan.faults)}."]
		if plan.faults
		else []
	)
	if plan.updated:
		parts.append(f"configuration changed: {changes_of(plan.updated)}. {what_happens(plan)}")
	if plan.left:
		others = [it for it in plan.changes if it.group in plan.left]
		names = ", ".join(f"{it.group} ({it.change.value}; {plan.left[it.group]})" for it in others)
		parts.append(
			f"configuration changed and not applied: {names}.{following(' By hand: ', by_hand(plan, others))}"
		)
	return " ".join(parts)


def by_hand(plan: ConfigurationPlan, others: Iterable[GroupChange]) -> str:
	"""The command, and what it costs; empty where there is none."""
	return f"{plan.command}.{following(' ', cost_of(others))}" if plan.command else ""


def what_happens(plan: ConfigurationPlan) -> str:
	"""To groups that can be updated."""
	if plan.is_applied:
		return "Each group is updated when its programs are down."
	return f"This restart does not apply it. To apply it when no job runs, type: {APPLY}"


def changes_of(changes: Iterable[GroupChange]) -> str:
	"""Groups, each with what the configuration does with it."""
	return ", ".join(f"{it.group} ({it.change.value})" for it in changes)


def group_updated(event: events.GroupUpdated) -> str:
	"""With the programs that it has no more, or has now."""
	gone = f"; no more: {', '.join(event.gone)}" if event.gone else ""
	new = f"; new: {', '.join(event.new)}" if event.new else ""
	return f"{event.change.group}: its new configuration is in force ({event.change.change.value}){gone}{new}"


def hosts_begun(event: events.HostsBegun) -> str:
	"""Which of how many groups it is."""
	return f"Hosts, group {event.number} of {event.groups}: {', '.join(event.hosts)}"


def hosts_done(event: events.HostsDone) -> str:
	"""Whether they were watched, and when the next ones follow."""
	watched = f", after {span(event.watched)} of watching" if event.watched else ""
	pause = f"; the next ones follow in {span(event.pause)}" if event.pause else ""
	verb = "is" if len(event.hosts) == 1 else "are"
	return f"{', '.join(event.hosts)} {verb} new and well{watched}{pause}"


def hosts_stopped(event: events.HostsStopped) -> str:
	"""Where something failed, and which hosts keep the old code."""
	text = f"not all is well on {', '.join(event.failed)}, so no further host is restarted."
	return f"{text} In service with the old code: {', '.join(event.not_replaced)}."


def web_cannot_linger(event: events.WebCannotLinger) -> str:
	"""Whether requests wait or fail, why, and what to type for a better way."""
	what = "wait" if event.waits else "fail"
	return f"requests {what} while {short_program(event.program)} restarts, as {event.reason}.{following(' ', event.remedy)}"


def old_web_serves(event: events.OldWebServes) -> str:
	"""New web did not answer, so old code serves, and until when."""
	until = time.strftime("%H:%M", time.localtime(event.until))
	text = f"{short_program(event.program)} runs the old code until {until}: {event.reason}."
	if not event.not_replaced:
		return text
	return f"{text} Not restarted, so that old code runs everywhere: {short_list(event.not_replaced)}."


def web_silent(event: events.WebSilent) -> str:
	"""Web stopped answering, as a user sees it."""
	return f"{web_at(event.through, event.address)} gives no answer: {event.reason}"


def web_answers_again(event: events.WebAnswersAgain) -> str:
	"""How long users got no answer."""
	return f"{web_at(event.through, event.address)} answers again, after {span(event.seconds)}"


def live_messages_sent(event: events.LiveMessagesSent) -> str:
	"""What browsers missed while socketio restarted, and got later."""
	messages = f"{event.sent} live message{'s' * (event.sent != 1)}"
	text = f"socketio: {messages} for browsers came while it restarted, and went out once they were back."
	return text + (f" {event.dropped} more were lost: too many to keep." if event.dropped else "")


def handed_over(event: events.HandedOver) -> str:
	"""What still keeps the old code, and how to follow it."""
	jobs = "; ".join(f"{job.site} / {job.method}" for job in event.jobs)
	waiting = f" Still running: {jobs}." if jobs else ""
	return (
		"Everything else is new. These are replaced in the background, each when its own job ends:"
		f" {short_list(event.processes)}.{waiting} To follow, type: bench safe-restart status"
	)


def still_verifying(event: events.StillVerifying) -> str:
	"""What has not come back yet."""
	parts = [f"{short_list(event.programs)} to be up"] if event.programs else []
	if event.unregistered:
		names = ", ".join(event.unregistered)
		parts.append(f"{count(len(event.unregistered), 'worker')} to register with Redis: {names}")
	if event.leftovers:
		pids = ", ".join(str(pid) for pid in event.leftovers)
		parts.append(f"{count(len(event.leftovers), 'old process')} to end: pid {pids}")
	if event.web:
		parts.append(f"web to answer at {'; '.join(map(str, event.web))}")
	return f"Waiting for {'; '.join(parts)}"


def orphans_found(event: events.OrphansFound) -> str:
	"""Job processes whose worker is gone."""
	pids = ",".join(map(str, event.pids))
	return f"job processes without a worker still run the old code. To look at them, type: ps -fp {pids}"
