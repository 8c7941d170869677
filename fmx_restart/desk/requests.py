"""What is asked of an operation that is under way: stop, more time, no more waiting."""

from __future__ import annotations

from typing import Any

import frappe
from frappe import _

from fmx_restart.adapters.redis_queue.requests import RedisRequests
from fmx_restart.desk import bench, launch
from fmx_restart.desk.access import check_control, check_stop
from fmx_restart.desk.queries import row_of
from fmx_restart.desk.refusals import refuse
from fmx_restart.desk.sync import catch_up
from fmx_restart.engine.phases import phase_named
from fmx_restart.engine.ports import LONGEST_EXTENSION, Request, RequestKind
from fmx_restart.engine.report import CANCELLED
from fmx_restart.engine.requests import refusal_of

WITHDRAWN = "It was cancelled before it began."


def cancel(operation: str) -> dict[str, Any]:
	"""Withdraw it before its launch, or ask the running one to stop. Raises PermissionError, ValidationError."""
	catch_up()
	row = row_of(operation)
	check_stop(operation)
	if launch.withdraw(row.name, WITHDRAWN, CANCELLED):
		return answer(operation, _("It will not be launched."))
	return put(operation, Request(RequestKind.CANCEL, frappe.session.user), _("Asked to stop."))


def extend(operation: str, seconds: float) -> dict[str, Any]:
	"""More seconds for running jobs, in front of the deadline. Raises PermissionError, ValidationError."""
	check_control()
	if not 0 < seconds <= LONGEST_EXTENSION:
		refuse(_("Give it more than 0 seconds and at most a day."), code="InvalidArgument")
	return put(
		operation,
		Request(RequestKind.EXTEND, frappe.session.user, seconds),
		_("Asked to give running jobs more time."),
	)


def force(operation: str) -> dict[str, Any]:
	"""Kill the running jobs now, as at the deadline. Raises PermissionError, ValidationError."""
	check_control()
	return put(
		operation, Request(RequestKind.FORCE, frappe.session.user), _("Asked to kill the running jobs now.")
	)


def put(operation: str, request: Request, sentence: str) -> dict[str, Any]:
	"""
	Puts the request into the operation's mailbox. The operation answers in the feed within a second: `Requested`, with
	`refusal`. Raises frappe.ValidationError where it does not run, or refuses such a request in its phase.
	"""
	row, held = row_of(operation), bench.held()
	if held is None or held.operation != row.name:
		refuse(_("{0} is not running.").format(row.name), code="NotRunning")
	if reason := refusal_of(request.wish, phase_named(held.phase)):
		refuse(_("{0} is not possible now: {1}").format(request.wish.value, reason))
	RedisRequests(bench.connection(), bench.bench_id(), operation).put(request)
	return answer(operation, sentence)


def answer(operation: str, message: str) -> dict[str, Any]:
	"""What the API returns: where the operation stands, and what was done."""
	return {"operation": operation, "status": row_of(operation).status, "message": message}
