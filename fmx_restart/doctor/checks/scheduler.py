"""The scheduler: switched on, alive, and keeping up."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.command_line import bench_command, split_words
from fmx_restart.adapters.scheduled_events import ScheduleRecord
from fmx_restart.doctor.at_work import is_held, unless_operation_works
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import bench_processes, process_table
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.doctor.sites import closed_by, databases, readable
from fmx_restart.doctor.words import listed
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.format import count, span
from fmx_restart.engine.ports import Process, ProcessKind, ProcessState

TOLERANCE = 900.0  # seconds; something is due every few minutes on every site
UP = {ProcessState.RUNNING, ProcessState.STARTING}


@check("scheduler-off")
def scheduler_off(view: BenchView) -> Iterator[Finding]:
	"""A pause that an operation left is told with that operation. One at work has paused the sites that it migrates."""
	changed, is_operated = closed_by(view), is_held(view)
	for site, config in readable(view).items():
		record = databases(view)[site].schedule
		if config.get("disable_scheduler"):
			yield off(
				site,
				"disable_scheduler is set in its configuration",
				f"bench --site {site} set-config disable_scheduler 0",
			)
		elif record and not record.is_enabled:
			yield off(site, "it is disabled in System Settings", f"bench --site {site} enable-scheduler")
		elif config.get("pause_scheduler") and not is_operated and (site, "pause_scheduler") not in changed:
			yield off(site, "it is paused", f"bench --site {site} scheduler resume")


def off(site: str, why: str, remedy: str) -> Finding:
	"""A scheduler that does nothing although nobody is at work on the site."""
	text = f"Its scheduler does nothing: {why}. No mail is sent, no report is made, nothing is cleaned up automatically."
	return Finding("scheduler-off", Severity.WARNING, site, text, remedy)


@check("scheduler-process")
def scheduler_process(view: BenchView) -> Iterator[Finding]:
	"""One that runs elsewhere shows in what it does."""
	waiting = active(view)
	if not waiting or schedulers(view):
		return
	known = [process for process in manager_list(view) if process.kind is ProcessKind.SCHEDULER]
	if any(process.state in UP for process in known):
		return
	last = max((record.last_run_at(time.time()) or 0.0 for record in waiting.values()), default=0.0)
	if not known and time.time() - last < TOLERANCE:
		return
	text = f"No scheduler runs, so nothing is scheduled on {count(len(waiting), 'site')}"
	text += f"; the last event ran {span(time.time() - last)} ago." if last else "."
	names = " ".join(process.name for process in known)
	remedy = f"{view.setup_command}, or bench schedule"
	if known:
		remedy = view.manager.start_command([process.name for process in known])
	yield unless_operation_works(view, Finding("scheduler-process", Severity.ERROR, names, text, remedy))


@check("overdue-events")
def overdue_events(view: BenchView) -> Iterator[Finding]:
	"""While there is a scheduler that had time enough: else that is what is told."""
	now, table = time.time(), process_table(view)
	young = [pid for pid in schedulers(view) if table.age(table.rows[pid]) < TOLERANCE]
	if young:
		return
	for site, record in active(view).items():
		last = record.last_run_at(now)
		if last is None or now - last > TOLERANCE:
			continue
		overdue = record.overdue(now, tolerance=TOLERANCE, config=readable(view)[site])
		if overdue:
			text = (
				f"{count(len(overdue), 'scheduled event')} should have run, {overdue[0].method} {span(overdue[0].seconds)} "
				"ago: they wait in their queue, or a lost job of the same name keeps them out."
			)
			remedy = f"bench --site {site} show-pending-jobs, and bench doctor --check ghost-jobs"
			yield Finding("overdue-events", Severity.WARNING, site, text, remedy)


@check("impossible-events")
def impossible_events(view: BenchView) -> Iterator[Finding]:
	"""
	Frappe's scheduler asks each event of a site when it is due next, and ends at the first that cannot tell: those behind
	it are not enqueued (frappe.utils.scheduler.enqueue_events).
	"""
	for site, record in active(view).items():
		if events := record.never_due(readable(view)[site]):
			names = listed([f"{event.method} ({event.cron or event.frequency})" for event in events])
			text = f"{count(len(events), 'scheduled event')} can never be due: {names}. The site's other events may not be enqueued."
			remedy = "Desk, Scheduled Job Type: correct its Cron Format, or tick Stopped"
			yield Finding("impossible-events", Severity.ERROR, site, text, remedy)


def active(view: BenchView) -> dict[str, ScheduleRecord]:
	"""Sites whose scheduler is on."""
	return {
		site: record
		for site, config in readable(view).items()
		if (record := databases(view)[site].schedule) and record.is_enabled and not is_held_back(config)
	}


def is_held_back(config: Mapping) -> bool:
	"""Somebody has closed the site or paused its scheduler by a setting, so it is no fault that it does nothing."""
	return any(config.get(key) for key in ("maintenance_mode", "pause_scheduler", "disable_scheduler"))


def schedulers(view: BenchView) -> list[int]:
	"""Pids of this bench's. A worker pool of newer Frappe versions is one, too (FrappeWorker)."""
	table = process_table(view)
	return [
		pid
		for pid, role in bench_processes(view).items()
		if role is Role.SCHEDULER or bench_command(split_words(table.rows[pid].words)) == "worker-pool"
	]


def manager_list(view: BenchView) -> list[Process]:
	"""The programs of the process managers; none where these do not answer, which another check tells."""
	with suppress(OperationError):
		return view.processes
	return []
