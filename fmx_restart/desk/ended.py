"""What a worker does as soon as an operation has ended: its row, and a notification for whoever asked, where that is switched on."""

from __future__ import annotations

from typing import Any

import frappe
from frappe import _

from fmx_restart.desk import rows
from fmx_restart.desk.notify import notify
from fmx_restart.desk.sync import catch_up
from fmx_restart.worker.switch import is_on

SWITCH = "fmx_restart_notify_end"  # in the configuration of a site, or of all


def record(operation: str) -> None:
	"""The job that desk/announce.py enqueues for the site that started the operation. Once more does no harm."""
	catch_up()
	row = rows.is_here() and row_of(operation)
	if not row or row.status not in rows.OVER or not row.user or was_notified(operation):
		return
	if is_on(frappe.conf.get(SWITCH)) or (row.origin == "Schedule" and row.status != "Done"):
		notify(row.user, subject_of(row), operation, text_of(row))


def row_of(operation: str) -> frappe._dict | None:
	"""None where this site has no row of it."""
	names = ["name", "status", "origin", "user", "reason", "remedy"]
	names += ["headline"] if frappe.get_meta(rows.DOCTYPE).has_field("headline") else []
	return frappe.db.get_value(rows.DOCTYPE, operation, names, as_dict=True)


def was_notified(operation: str) -> bool:
	"""By an earlier run of this job."""
	return bool(
		frappe.db.exists("Notification Log", {"document_type": rows.DOCTYPE, "document_name": operation})
	)


def subject_of(row: Any) -> str:
	"""How it ended, in one sentence."""
	return row.get("headline") or _("{0}: {1}").format(row.name, _(row.status))


def text_of(row: Any) -> str:
	"""With the reason and what to do, where it went wrong."""
	return " ".join(part for part in (subject_of(row), row.reason, row.remedy) if part)
