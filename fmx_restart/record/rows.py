"""Rows of Restart Operation on this site. Everything that writes one is here."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import frappe
from frappe.model.document import Document
from frappe.utils import get_system_timezone

from fmx_restart.record.projection import Row

DOCTYPE = "Restart Operation"
INSTANTS = {"started", "finished"}


def is_here() -> bool:
	"""Commands of this app reach every site of the bench, its DocType only those that have it installed."""
	return bool(frappe.db.table_exists(DOCTYPE))


def insert(operation: str, values: Row) -> Document:
	"""Raises frappe.DuplicateEntryError when it is there, frappe.UniqueValidationError for a used idempotency key."""
	doc = frappe.new_doc(DOCTYPE)
	doc.name = operation
	doc.owner = values.get("user") or "Administrator"
	doc.creation = local_time(values["started"]) if values.get("started") else None
	fill(doc, {"origin": "Terminal", **values})
	return doc.insert(ignore_permissions=True)


def update(operation: str, values: Row) -> Document:
	doc = frappe.get_doc(DOCTYPE, operation, for_update=True)
	fill(doc, values)
	return doc.save(ignore_permissions=True, ignore_version=True)


def fill(doc: Document, values: Row) -> None:
	"""What the values don't tell stays as it is."""
	doc.flags.from_the_journal = True
	for name, value in values.items():
		if isinstance(value, list):
			doc.set(name, [fitting(doc.meta.get_field(name).options, row) for row in value])
		else:
			doc.set(name, fitting(doc.doctype, {name: value}).get(name))


def fitting(doctype: str, values: Row) -> Row:
	"""Only fields of the DocType, instants as Frappe keeps them, and no text longer than its column."""
	meta, fits = frappe.get_meta(doctype), {}
	for name, value in values.items():
		if not (field := meta.get_field(name)):
			continue
		if name in INSTANTS and value is not None:
			value = local_time(value)
		elif field.fieldtype in ("Data", "Select") and value is not None:
			value = str(value)[: int(field.length or 140)]
		fits[name] = value
	return fits


def zone() -> ZoneInfo:
	return ZoneInfo(get_system_timezone())


def local_time(instant: float) -> datetime:
	"""Frappe keeps times without a zone, in the site's own."""
	return datetime.fromtimestamp(instant, timezone.utc).astimezone(zone()).replace(tzinfo=None)


def known() -> dict[str, Any]:
	"""Name → status and how many bytes of its journal the row tells."""
	rows = frappe.get_all(DOCTYPE, fields=["name", "status", "journal_size", "started"], limit_page_length=0)
	return {row.name: row for row in rows}


def deleted() -> set[str]:
	"""Rows that somebody deleted: they do not come back."""
	filters = {"deleted_doctype": DOCTYPE, "restored": 0}
	return set(frappe.get_all("Deleted Document", filters=filters, pluck="deleted_name", limit_page_length=0))


def retention_days() -> int:
	"""As Frappe's log clearing has it; what is older is not put back from its journal."""
	days = frappe.db.get_value("Logs To Clear", {"ref_doctype": DOCTYPE}, "days")
	return int(days or frappe.get_hooks("default_log_clearing_doctypes").get(DOCTYPE, [90])[-1])
