"""
The HTTP API, at /api/method/fmx_restart.api.<function>. docs/api.md shows each function with an example answer. Each one
guards, delegates to desk/, and answers.

No `from __future__ import annotations` here: Frappe checks arguments by their annotations, and skips those that are text.
"""

import frappe
from werkzeug.wrappers import Response

from fmx_restart.desk import holds, live, logs, requests, schedule
from fmx_restart.desk.access import for_operators
from fmx_restart.desk.metrics import answer as answer_to_scrape
from fmx_restart.desk.queries import feed_of, history_of, preview_of, status_of
from fmx_restart.desk.start import StartArguments
from fmx_restart.desk.start import start as start_operation
from fmx_restart.desk.sync import catch_up

READ = ["GET", "POST"]  # Desk's own frappe.xcall always posts
ACT = ["POST"]


@frappe.whitelist(methods=READ)
@for_operators
def preview(  # noqa: PLR0913 (the options of the command, by the same names)
	strategy: str = "",
	wait_workers_timeout: float | None = None,
	on_timeout: str = "",
	force_kill_timeout: float | None = None,
	rolling_share: str = "",
	rolling_max_failures: int | None = None,
	hosts: list | str | None = None,
	host_batch: str | int = "",
	host_pause: str | float = "",
	canary: str | float = "",
	web: bool = True,
	workers: bool = True,
	migrate: bool = False,
	migrate_timeout: float | None = None,
	backup: bool = False,
	skip_failing: bool = False,
	hold_web: bool = False,
	update_config: bool = False,
	force: bool = False,
	sites: list | str | None = None,
	maintenance_mode: list | str | None = None,
	at: str | None = None,
	repeat: str = "",
) -> dict:
	"""
	What a restart with these options would do now; changes nothing. Also every strategy in one line, and which one is
	recommended in this situation and why. Arguments as in `start`.
	"""
	return preview_of(StartArguments.of(locals()))


@frappe.whitelist(methods=ACT)
@for_operators
def start(  # noqa: PLR0913 (the options of the command, by the same names)
	strategy: str = "",
	wait_workers_timeout: float | None = None,
	on_timeout: str = "",
	force_kill_timeout: float | None = None,
	rolling_share: str = "",
	rolling_max_failures: int | None = None,
	hosts: list | str | None = None,
	host_batch: str | int = "",
	host_pause: str | float = "",
	canary: str | float = "",
	web: bool = True,
	workers: bool = True,
	migrate: bool = False,
	migrate_timeout: float | None = None,
	backup: bool = False,
	skip_failing: bool = False,
	hold_web: bool = False,
	update_config: bool = False,
	force: bool = False,
	sites: list | str | None = None,
	maintenance_mode: list | str | None = None,
	at: str | None = None,
	repeat: str = "",
	idempotency_key: str = "",
	from_web: bool = False,
) -> dict:
	"""
	Start an operation, by a small job that launches it as a process of its own. Returns at once: its name and status,
	`is_new`, and a sentence. While another operation holds the bench or waits to be launched, the answer names that one.

	:param strategy: fast, wait-workers, no-wait-workers, suspend-rq or rolling; without one: wait-workers.
	:param wait_workers_timeout: seconds that running jobs get; 300 by default, no limit with rolling.
	:param on_timeout: abort, requeue or kill; by default abort with wait-workers and rolling, else kill.
	:param force_kill_timeout: seconds that running jobs get without wait-workers; 30 by default.
	:param rolling_share: percentage of a queue's workers that is replaced at once, "25%".
	:param rolling_max_failures: rolling stops when this many processes did not come back; 1 by default.
	:param hosts: restart these hosts only, in this order; names as a list, or with commas.
	:param host_batch: so many hosts at once, "2" or "25%", then the next ones.
	:param host_pause: the time between two groups of hosts, "60s".
	:param canary: restart one host first, and watch it for so long, "30s"; then restart the rest.
	:param migrate: migrate `sites` between drain and restart; by default this site. System Manager only.
	:param hold_web: stop web during the migration and let its requests wait. Control sites only.
	:param update_config: apply the changed configuration of the process manager to this bench's programs. System Manager of a control site only.
	:param maintenance_mode: any of drain, migrate, restart: when the sites are closed; none: never. Default: migrate, with a migration.
	:param at: when it is to start: "22:00", "sun 03:00", "2026-11-28 22:00", or a window, "22:00-02:00"; in the site's time zone, or with one.
	:param repeat: daily or weekly, from `at` on.
	:param idempotency_key: the same key names the same operation, however often it is sent.
	:param from_web: launch it from the web process; also an operation that no worker is free to launch.
	"""
	asked = StartArguments.of(locals())
	if asked.when:
		return schedule.put(asked, idempotency_key)
	return start_operation(asked, idempotency_key, from_web=bool(from_web))


@frappe.whitelist(methods=READ)
@for_operators
def scheduled() -> dict:
	"""The starts that are scheduled, the next one first, and those that were not started in the last days."""
	return schedule.listed()


@frappe.whitelist(methods=ACT)
@for_operators
def unschedule(scheduled: str) -> dict:
	"""Cancel a scheduled start. An operation that it has started is another thing: `cancel` stops that."""
	return schedule.cancel(scheduled)


@frappe.whitelist(methods=READ)
@for_operators
def status(operation: str = "") -> dict:
	"""The status of an operation; by default of the one that holds the bench, else of the last one."""
	catch_up()
	return status_of(operation)


@frappe.whitelist(methods=READ)
@for_operators
def feed(operation: str, cursor: int = 0) -> dict:
	"""
	What happened in an operation since `cursor` (0: from the beginning), as facts with a sentence each, and the cursor
	for the next call.
	"""
	catch_up()
	return feed_of(operation, cursor)


@frappe.whitelist(methods=READ)
@for_operators
def watch(operation: str, cursor: int = 0, modified: str = "") -> dict:
	"""
	All that Desk's form of an operation shows, in one answer: as `feed`, and `row` unless it is still the one of
	`modified`; while it runs as `workers`, while it is queued as `status`.
	"""
	catch_up()
	return live.watch(operation, cursor, modified)


@frappe.whitelist(methods=READ)
@for_operators
def history(limit: int = 20, offset: int = 0, status: str = "") -> dict:
	"""Past and present operations, the newest first; at most 100 at a time."""
	catch_up()
	return history_of(limit, offset, status)


@frappe.whitelist(methods=ACT)
@for_operators
def cancel(operation: str) -> dict:
	"""Stop an operation: at once if it waits to be launched, else as Ctrl-C does."""
	return requests.cancel(operation)


@frappe.whitelist(methods=ACT)
@for_operators
def extend(operation: str, seconds: float) -> dict:
	"""Give the running jobs of an operation's drain this many more seconds."""
	return requests.extend(operation, seconds)


@frappe.whitelist(methods=ACT)
@for_operators
def force(operation: str) -> dict:
	"""Kill the jobs that a running operation waits for, and name them. `workers` lists them before."""
	return requests.force(operation)


@frappe.whitelist(methods=ACT)
@for_operators
def hold(seconds: float = 1200.0, reason: str = "", owner: str = "") -> dict:
	"""
	Hold the queue: no worker starts a job for so many seconds, a day at most, or until `release`. Running jobs run to their end:
	`running` counts them. Control sites only.

	:param owner: under which name; by default the user. The same name extends its hold.
	"""
	return holds.hold(seconds, reason, owner)


@frappe.whitelist(methods=ACT)
@for_operators
def release(owner: str = "") -> dict:
	"""Lift the hold by this name, by default the user's. An error where it had ended before: jobs may have run. Control sites only."""
	return holds.release(owner)


@frappe.whitelist(methods=READ)
@for_operators
def verdict() -> dict:
	"""Whether a restart can begin now, in one sentence with a level, and the strategy that fits. A few milliseconds."""
	return live.verdict_now()


@frappe.whitelist(methods=READ)
@for_operators
def workers() -> dict:
	"""Workers, queues, running jobs, suspension and scheduler as they are now. A few milliseconds; no job's arguments."""
	return live.workers()


@frappe.whitelist(methods=READ)
@for_operators
def findings() -> dict:
	"""What the doctor finds. Takes seconds: not for every refresh."""
	return live.findings()


@frappe.whitelist(methods=READ)
@for_operators
def explain(check: str) -> dict:
	"""What a finding of that check means, why it matters and what to do: the page that `bench doctor --explain` prints."""
	return logs.explanation(check)


@frappe.whitelist(methods=["GET"])
@for_operators
def log(program: str = "", worker: str = "", lines: int = 20) -> dict:
	"""
	The last lines of each log of a program, or of the program that runs a worker of `workers`, without what jobs wrote. For
	System Managers of control sites.
	"""
	return logs.log_of(program, worker, lines)


@frappe.whitelist(methods=READ)
@for_operators
def charts(hours: float = 1.0) -> dict:
	"""Queue depths and throughput of the last hours, and how long past operations took. docs/api.md says what is counted."""
	return live.charts(hours)


@frappe.whitelist(allow_guest=True, methods=["GET"])
def metrics() -> Response:
	"""
	Numbers for a monitoring system, in the format of OpenMetrics, for whoever has the bearer token of the bench
	(fmx_restart_metrics_token in common_site_config.json). 404 while there is none, and on other sites than control sites.
	"""
	return answer_to_scrape()
