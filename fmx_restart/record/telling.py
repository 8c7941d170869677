"""Where an operation stands, and which there were, from the rows."""

from __future__ import annotations

from typing import Any

import frappe
from frappe import _
from frappe.utils import get_datetime, now_datetime

from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.operation_id import is_operation_id
from fmx_restart.record import access, here, rows

OVER = {"Done", "Aborted", "Failed", "Recovered"}
PATIENCE = 10.0  # seconds for a worker to take the job that launches an operation
MOST = 100  # rows in one answer
STATUS = ("status", "phase", "strategy", "started", "finished", "duration", "exit_code")
FAILURE = ("failure", "reason", "remedy")
HISTORY = (
	*("status", "phase", "strategy", "migrate", "origin", "requested_by", "started", "finished", "duration"),
	*("jobs_waited_for", "jobs_interrupted", "jobs_lost", "reason"),
)


def status_of(operation: str) -> dict[str, Any]:
	held = held_by()
	name = operation or (held.operation if held else newest())
	if not name:
		return {"operation": None, "holder": None, "access": access.told()}
	row = row_of(name)
	told = {field: row.get(field) for field in (*STATUS, *FAILURE)} | {"phase": phase_of(row, held)}
	if not row.finished:
		told |= {"finished": None}
	if not row.finished or row.failure == rows.NEVER_LAUNCHED:
		told |= {"duration": None, "exit_code": None}
	waited = queued_for(row)
	return {
		"operation": row.name,
		**told,
		"is_over": row.is_over,
		"succeeded": row.status == "Done",
		"queued_for": waited,
		"may_start_from_web": waited is not None and waited > PATIENCE,
		"holder": access.holder_text(held),
		"access": access.told(),
	}


def phase_of(row: frappe._dict, held: here.Held | None) -> str:
	"""A running operation's lock says it at once; its row follows within seconds."""
	is_running = row.status == "Running" and held is not None and held.operation == row.name
	return held.phase if is_running and held.phase else row.phase


def history_of(limit: int, offset: int, status: str) -> dict[str, Any]:
	found = frappe.get_all(
		rows.DOCTYPE,
		filters={"status": status} if status else {},
		fields=["name", *HISTORY],
		order_by="started desc",
		limit_start=max(0, offset),
		limit_page_length=min(max(1, limit), MOST),
	)
	return {"operations": [{"operation": row.pop("name"), **row} for row in found]}


def row_of(operation: str) -> frappe._dict:
	"""One that another site asked for has no row here before its journal begins."""
	row = is_operation_id(operation) and (row_here(operation) or row_elsewhere(operation))
	if not row:
		name = frappe.utils.escape_html(operation)
		frappe.throw(_("There is no operation {0}.").format(name), frappe.DoesNotExistError)
	row.is_over = row.status in OVER
	return row


def row_here(operation: str) -> frappe._dict | None:
	return frappe.db.get_value(rows.DOCTYPE, operation, ["name", *STATUS, *FAILURE], as_dict=True)


def row_elsewhere(operation: str) -> frappe._dict | None:
	waiting = here.ticket().waiting()
	is_waiting = waiting and waiting.operation == operation
	return frappe._dict(name=operation, status="Queued") if is_waiting else None


def queued_for(row: frappe._dict) -> float | None:
	"""Seconds; None for one that is launched, or was never queued."""
	if row.status != "Queued" or not row.started:
		return None
	try:
		waiting = here.ticket().waiting()
	except OperationError:
		return None
	is_waiting = waiting and waiting.operation == row.name and not waiting.is_launched
	return (now_datetime() - get_datetime(row.started)).total_seconds() if is_waiting else None


def held_by() -> here.Held | None:
	try:
		return here.held()
	except OperationError:  # the rows are still worth telling
		return None


def newest() -> str | None:
	"""Rows whose name is no operation id are not ours."""
	found = frappe.get_all(
		rows.DOCTYPE,
		filters={"name": ("like", "________-______-____")},
		order_by="started desc",
		limit_page_length=MOST,
		pluck="name",
	)
	return next(filter(is_operation_id, found), None)
