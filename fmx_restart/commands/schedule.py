"""What --at and `bench safe-restart scheduled` do: a start at a set time is written beside the journals, shown, and cancelled."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import click

from fmx_restart.adapters.bench import bench_path, read_config
from fmx_restart.adapters.control_sites import read_rule
from fmx_restart.adapters.database import look_at_database
from fmx_restart.adapters.schedule import MOST, Schedule, ScheduledStart, lateness, new_id, text_of
from fmx_restart.adapters.scheduled_events import DEFAULT_ZONE, ScheduleRecord, zone_named
from fmx_restart.adapters.site_config import site_settings
from fmx_restart.console.columns import columns
from fmx_restart.console.machine_lines import answer_line
from fmx_restart.console.restart_command import restart_command
from fmx_restart.console.say import put, say
from fmx_restart.current_bench import journal_folder
from fmx_restart.desk.scheduled_entry import entry
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.format import span
from fmx_restart.engine.identity import new_operation_id
from fmx_restart.engine.options import Options
from fmx_restart.engine.start_time import InvalidStartTime, StartTime, parse

HEAD = ("ID", "STARTS", "WHAT", "BY", "SITE")
NONE = "No restart of this bench is scheduled."
#: Options that are typed for the moment, or may run any program: field, what it must be, and the option
NOT_LATER = (
	("nginx", False, "--nginx"),
	("old_web_timeout", Options().old_web_timeout, "--old-web-timeout"),
)


def schedule(wanted: Options, at: str, repeat: str, as_json: bool) -> None:
	"""Write it down, and say when it starts and how to cancel it. Raises WrongEnvironment; nothing is changed then."""
	refuse_not_later(wanted)
	site = starting_site()
	record, fault = record_of(site)
	when = start_time(at, repeat, record, fault, site)
	options = replace(wanted, origin="schedule", report_every=Options().report_every, start_stopped_web=False)
	start = ScheduledStart(new_id(), site, wanted.requested_by, "terminal", when, options)
	refuse_impossible(start)
	store = Schedule(journal_folder())
	with store.locked():
		if sum(not other.is_over for other in store.all()) >= MOST:
			raise WrongEnvironment(
				f"{MOST} starts are scheduled, and no more are taken. Nothing was changed.",
				hint="Cancel one: bench safe-restart scheduled --cancel ID",
			)
		store.write(start)
	lines = lines_of_start(start, record, fault)
	if as_json:
		put(answer_line(lines[0], {"scheduled": entry(start)}))
	else:
		say("\n".join(lines))


def refuse_not_later(wanted: Options) -> None:
	"""Raises WrongEnvironment for an option that a scheduled start cannot have."""
	typed = [option for field, usual, option in NOT_LATER if getattr(wanted, field) != usual]
	typed += ["--migrate-command"] if wanted.migration and wanted.migration.command else []
	if typed:
		raise WrongEnvironment(
			f"{typed[0]} cannot be scheduled. Nothing was changed.",
			hint="Leave it out, or let cron type the command, as this line of crontab -e does at 22:00 each day:"
			f" 0 22 * * * cd {quote(str(Path.cwd().parent))} && bench safe-restart --wait-workers",
		)


def refuse_impossible(start: ScheduledStart) -> None:
	"""Raises WrongEnvironment for what no order may hold, which would only be seen at its time."""
	from fmx_restart.desk.start_order import InvalidOrder, StartOrder

	try:
		StartOrder(new_operation_id(), start.site, start.options)
	except InvalidOrder as error:
		raise WrongEnvironment(f"It cannot be scheduled: {error} Nothing was changed.") from error


def starting_site() -> str:
	"""The control site whose scheduler starts it: the default site before others. Raises WrongEnvironment where none is."""
	rule, default = read_rule(), read_config().get("default_site")
	if not rule.control:
		raise WrongEnvironment(
			"No control site could start it: a scheduled start needs the scheduler of a site that commands the bench."
			" Nothing was changed.",
			hint=rule.advice or "Install the app on a site: bench --site SITE install-app fmx_restart",
		)
	return default if default in rule.control else min(rule.control)


def record_of(site: str) -> tuple[ScheduleRecord | None, str]:
	"""What the site's database says of its zone and its scheduler, or why it says nothing."""
	database = look_at_database(site, site_settings(Path(bench_path()), site))
	return database.schedule, database.fault or "its tables cannot be read"


def start_time(at: str, repeat: str, record: ScheduleRecord | None, fault: str, site: str) -> StartTime:
	"""Raises WrongEnvironment. A zone that was typed needs no database."""
	zone = (record.time_zone or DEFAULT_ZONE) if record else ""
	unknown: list[str] = []

	def zone_of(name: str) -> Any:
		if not name:
			unknown.append(name)
			return None
		return zone_named(name)

	try:
		return parse(at, repeat, time.time(), zone, zone_of, lateness(read_config()))
	except InvalidStartTime as error:
		if unknown:
			raise WrongEnvironment(
				f"The time zone of {site} is not known: {fault}. Nothing was changed.",
				hint='Write the zone behind the time, e.g. --at "22:00 Europe/Berlin".',
			) from error
		raise WrongEnvironment(f"{error} Nothing was changed.", hint="bench safe-restart --help") from error


def lines_of_start(start: ScheduledStart, record: ScheduleRecord | None, fault: str) -> list[str]:
	"""When it starts, what has to be so until then, and how to cancel it."""
	late = span(lateness(read_config()))
	lines = [
		f"Scheduled as {start.id}: {restart_command(start.options)}",
		f"It starts on {text_of(start.when)}, in {span(max(0.0, start.when.at - time.time()))}; up to {late} later, as the"
		f" scheduler of {start.site} checks no more often.",
	]
	if record is None:
		lines.append(f"Warning: it is unknown whether the scheduler of {start.site} runs: {fault}.")
	elif not record.is_enabled:
		lines.append(f"Warning: that scheduler is off. Type: bench --site {start.site} enable-scheduler")
	return [*lines, f"Cancel it: bench safe-restart scheduled --cancel {start.id}"]


def show(cancel: str | None, as_json: bool) -> None:
	"""`bench safe-restart scheduled`. Raises WrongEnvironment."""
	store = Schedule(journal_folder())
	if cancel:
		remove(store, cancel, as_json)
		return
	starts, unreadable = store.all(), store.unreadable()
	if as_json:
		answer = {"scheduled": [entry(start) for start in starts], "unreadable": unreadable}
		put(answer_line(NONE if not starts else f"{len(starts)} scheduled.", answer))
	else:
		say("\n".join(lines_of(starts, unreadable)))


def lines_of(starts: list[ScheduledStart], unreadable: dict[str, str]) -> list[str]:
	"""A table, and below it what was not started and why."""
	waiting = [start for start in starts if not start.is_over]
	lines = list(columns(HEAD, map(row, waiting), foldable=HEAD[1:])) if waiting else [NONE]
	for start in starts:
		if start.last and start.last.reason:
			lines.append(
				f"{start.id} was not started at its last time ({start.last.operation}): {start.last.reason}"
			)
	lines += [f"{name} cannot be used, and starts nothing: {fault}" for name, fault in unreadable.items()]
	return lines


def row(start: ScheduledStart) -> tuple[str, ...]:
	"""One start as a table's cells."""
	what = restart_command(start.options).removeprefix("bench safe-restart").strip() or "fast"
	return (start.id, text_of(start.when), what, start.options.requested_by, start.site)


def remove(store: Schedule, id: str, as_json: bool) -> None:
	"""Cancel it: while the lock is ours nobody is starting it. Raises WrongEnvironment where there is none."""
	with store.locked():
		start = store.find(id)
		if start is None:
			raise WrongEnvironment(
				f"There is no scheduled start {id!r}. Nothing was changed.",
				hint="bench safe-restart scheduled",
			)
		store.remove(id)
	text = f"Cancelled {id}: it will not be started."
	if start.starting:
		text += (
			f" Its last start was interrupted, as operation {start.starting}. To see whether that is running, type:"
			" bench safe-restart status"
		)
	if as_json:
		put(answer_line(text, {"cancelled": id}))
	else:
		click.echo(text)
