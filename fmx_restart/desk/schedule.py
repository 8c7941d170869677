"""
Starts at a set time: asked for over HTTP, and begun by the scheduler of the site that asked. The files beside the journals
(adapters/schedule.py) are all that is read of them; from the site's database comes only whether its user still may.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timezone
from typing import Any

import frappe
from frappe import _

from fmx_restart.adapters.bench import read_config
from fmx_restart.adapters.schedule import (
	KEPT_FOR,
	MOST,
	MOST_OF_A_SITE,
	MOST_OF_OTHERS,
	Outcome,
	Schedule,
	ScheduledStart,
	lateness,
	latest,
	new_id,
	text_of,
)
from fmx_restart.adapters.scheduled_events import zone_named
from fmx_restart.console.restart_command import restart_command
from fmx_restart.desk import bench, launch, rows, start_order
from fmx_restart.desk.access import access_of, current, forbid, refusal_of_user, refusal_to_start
from fmx_restart.desk.notify import notify
from fmx_restart.desk.refusals import refuse
from fmx_restart.desk.scheduled_entry import entry
from fmx_restart.desk.start import (
	StartArguments,
	check_key,
	free_ticket,
	new_order,
	next_operation,
	origin,
	queued_row,
	write_order,
)
from fmx_restart.desk.start_order import InvalidOrder, StartOrder
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.format import span
from fmx_restart.engine.start_time import following

STATUS = "Scheduled"


def store() -> Schedule:
	"""Of this bench."""
	return Schedule(bench.journal_folder())


def put(asked: StartArguments, key: str) -> dict[str, Any]:
	"""Schedule it; the same key names the same one as long as it waits. Raises ValidationError, WrongEnvironment."""
	check_key(key)
	schedule, site = store(), frappe.local.site
	with schedule.locked():
		waiting = [start for start in schedule.all() if not start.is_over]
		for start in waiting:
			if key and (start.key, start.site) == (key, site):
				return answer(start, is_new=False)
		check_room(waiting)
		options = replace(asked.options, origin="schedule")
		start = ScheduledStart(
			new_id(), site, frappe.session.user, origin().lower(), asked.when, options, key
		)
		StartOrder(next_operation(), site, options)  # raises what would keep it from being started then
		schedule.write(start)
	return answer(start, is_new=True)


def check_room(waiting: list[ScheduledStart]) -> None:
	"""Raises ValidationError where there are as many as there may be."""
	is_full = len(waiting) >= MOST
	if not current().is_control:
		own = sum(start.site == frappe.local.site for start in waiting)
		of_others = sum(not access_of(start.site).is_control for start in waiting)
		is_full |= own >= MOST_OF_A_SITE or of_others >= MOST_OF_OTHERS
	if is_full:
		refuse(
			_("Too many starts are scheduled already. Cancel one first."), remedy=_("Nothing was changed.")
		)


def answer(start: ScheduledStart, *, is_new: bool) -> dict[str, Any]:
	"""Of `start`: there is no operation yet."""
	text = _("It is scheduled for {0}.").format(text_of(start.when))
	return {
		"operation": None,
		"status": STATUS,
		"is_new": is_new,
		"is_repeated": not is_new,
		"launched_by": None,
		"message": text if is_new else _("This idempotency key was used before.") + " " + text,
		"scheduled": own_entry(start),
	}


def own_entry(start: ScheduledStart) -> dict[str, Any]:
	"""What this site sees of it, and may do to it."""
	return {**entry(start), "may_cancel": may_cancel(start)}


def listed() -> dict[str, Any]:
	"""On another site than a control site its own only."""
	is_control, site = current().is_control, frappe.local.site
	entries = [own_entry(start) for start in store().all() if is_control or start.site == site]
	return {"scheduled": entries, "zone": bench.zone_name(), "late": lateness(read_config())}


def may_cancel(start: ScheduledStart) -> bool:
	"""A control site any, one in the mode `restart` its own."""
	access = current()
	return access.is_control or (access.may_start and start.site == access.site)


def cancel(id: str) -> dict[str, Any]:
	"""Raises PermissionError, ValidationError, DoesNotExistError, WrongEnvironment."""
	schedule = store()
	with schedule.locked():
		start = schedule.find(id)
		if start is None or not (current().is_control or start.site == frappe.local.site):
			text = _("There is no scheduled start {0}.").format(id[:40])
			refuse(text, code="NotFound", kind=frappe.DoesNotExistError)
		if not may_cancel(start):
			forbid(_("This site may only stop what it started."))
		message = _("It will not be started.")
		if start.starting and not withdrawn(start.starting):
			message += " " + _("The operation {0} was started for it, and is not cancelled.").format(
				start.starting
			)
		schedule.remove(id)
	return {"scheduled": id, "message": message}


def withdrawn(operation: str) -> bool:
	"""Whoever was at it has ended, as the lock is ours. False for an operation that was launched before."""
	if bench.was_launched(operation):
		return False
	launch.withdraw(operation, _("Its scheduled start was cancelled."), "Cancelled")
	return True


def tick() -> None:
	"""Of the site's scheduler, every few minutes, in a worker. Two at once start one operation: the lock is for one of them."""
	schedule = store()
	if not rows.is_here() or not any(start.site == frappe.local.site for start in schedule.all()):
		return
	try:
		with schedule.locked():
			for start in schedule.all():
				if start.site == frappe.local.site:
					look_safely(schedule, start)
	except OperationError as error:  # another tick is at it, or the folder cannot be written
		frappe.logger("fmx_restart").warning(f"Scheduled starts were not looked at: {error}")


def look_safely(schedule: Schedule, start: ScheduledStart) -> None:
	"""What is wrong with one keeps no other from being started; the next tick looks again, until it is too late for it."""
	try:
		look_after(schedule, start, time.time())
	except OperationError as error:  # Redis is away
		frappe.logger("fmx_restart").warning(f"The scheduled start {start.id} was not looked at: {error}")
	except Exception:  # noqa: BLE001 - a fault of ours, or of the database
		frappe.db.rollback()
		frappe.log_error(title=f"The scheduled start {start.id} could not be looked after")
		frappe.db.commit()


def look_after(schedule: Schedule, start: ScheduledStart, now: float) -> None:
	"""Start it, tell that it was not started, or leave it for later."""
	if start.is_over:
		if now - start.when.at > KEPT_FOR:
			schedule.remove(start.id)
	elif start.starting:
		settle(schedule, start, now)
	elif now >= start.when.at:
		start_now(schedule, start, now)


def start_now(schedule: Schedule, start: ScheduledStart, now: float) -> None:
	"""Its time has come, or has passed."""
	is_too_late = now > latest(start.when, read_config())
	reason = too_late(start, now) if is_too_late else refusal(start)
	if not reason and is_busy():
		if start.when.end:  # a window is for trying again
			if not start.has_waited:
				schedule.write(replace(start, has_waited=True))
			return
		reason = busy_text()
	if reason:
		miss(schedule, start, reason, now)
	else:
		begin(schedule, start, now)


def settle(schedule: Schedule, start: ScheduledStart, now: float) -> None:
	"""The process that was at it has ended: what came of it shows in what was launched."""
	if bench.was_launched(start.starting):
		advance(schedule, start, Outcome(start.when.at, start.starting), now)
	else:
		reason = _("The process that was to start it ended before it did.")
		launch.withdraw(start.starting, reason)
		miss(schedule, start, reason, now)


def too_late(start: ScheduledStart, now: float) -> str:
	"""Why nobody could start it in time."""
	if start.has_waited:
		return _("Another operation held the bench until its window was over.")
	text = _(
		"Nothing looked for it until {0} after its time: the scheduler was off, no worker was free, or the bench was down."
	)
	return text.format(span(now - start.when.at))


def refusal(start: ScheduledStart) -> str:
	"""Empty where whoever asked may still start it from this site."""
	if start.asked_from == "terminal":  # whoever types there may do anything, but a site may lose the bench
		lost = _("The site {0} is no control site any more.").format(start.site)
		return "" if current().is_control else lost
	return refusal_of_user(start.user, start.options) or refusal_to_start(current(), start.options)


def busy_text() -> str:
	"""Why it is not started beside another operation."""
	return _("Another operation held the bench, or waited to begin.")


def is_busy() -> bool:
	"""Another operation holds the bench or waits to be launched. Raises QueueUnreachable."""
	waiting = bench.ticket().waiting()
	return bench.held() is not None or (waiting is not None and not bench.is_over(waiting.operation))


def begin(schedule: Schedule, start: ScheduledStart, now: float) -> None:
	"""It is noted before it is done: a tick that dies in between starts nothing twice."""
	try:
		order = new_order(arguments_of(start))
	except InvalidOrder as error:  # another version may order less
		miss(schedule, start, str(error), now)
		return
	starting = replace(start, starting=order.operation)
	schedule.write(starting)
	try:
		reason = launched(starting, order)
	except (OperationError, subprocess.SubprocessError, OSError) as error:
		reason = launch_fault(error)
		with suppress(OperationError):  # Redis is away: its ticket expires
			launch.withdraw(order.operation, reason)
	if reason:
		miss(schedule, starting, reason, now)
	else:
		advance(schedule, starting, Outcome(start.when.at, order.operation), now)


def launch_fault(error: Exception) -> str:
	"""For people. On other sites than a control site without what the error may name: hosts, paths, commands."""
	frappe.logger("fmx_restart").warning(f"A scheduled start could not be launched: {error}")
	is_sentence = isinstance(error, OperationError) and current().is_control
	return str(error) if is_sentence else _("It could not be launched.")


def launched(start: ScheduledStart, order: StartOrder) -> str:
	"""Launch it from this worker. Empty, or why it was not."""
	write_order(order)
	if free_ticket(bench.ticket(), order.operation):
		start_order.remove(bench.journal_folder(), order.operation)
		return busy_text()
	rows.insert(order.operation, row_of(start))
	is_launched = launch.launch(order.operation)
	rows.run(order.operation)
	return "" if is_launched else _("It could not be launched.")


def arguments_of(start: ScheduledStart) -> StartArguments:
	"""As if it was asked for now."""
	return StartArguments(start.options, restart_command(start.options))


def row_of(start: ScheduledStart) -> rows.Row:
	"""The row of an operation that is started for it."""
	user = "Administrator" if start.asked_from == "terminal" else start.user
	return {**queued_row(arguments_of(start), ""), "user": user}


def advance(schedule: Schedule, start: ScheduledStart, outcome: Outcome, now: float) -> None:
	"""One time is over: the next one follows, or none."""
	if start.when.repeat:
		when = following(start.when, now, zone_named(start.when.zone) or timezone.utc)
		schedule.write(replace(start, when=when, starting="", has_waited=False, last=outcome))
	elif outcome.reason:
		schedule.write(replace(start, starting="", last=outcome, is_over=True))
	else:
		schedule.remove(start.id)


def miss(schedule: Schedule, start: ScheduledStart, reason: str, now: float) -> None:
	"""It is not started, and whoever asked learns why: by a row, a notification, the schedule itself, and the doctor."""
	operation = start.starting or next_operation()
	advance(schedule, start, Outcome(start.when.at, operation, reason), now)
	values = {**launch.never_launched(reason), "remedy": launch.AGAIN}
	if frappe.db.exists(rows.DOCTYPE, operation):
		before = rows.update(operation, values)
	else:
		before = rows.insert(operation, {**row_of(start), **values})
	rows.run(operation, before)
	title = _("The restart of {0} was not started").format(text_of(start.when))
	notify(start.user if start.asked_from != "terminal" else "Administrator", title, operation, reason)
	frappe.db.commit()
