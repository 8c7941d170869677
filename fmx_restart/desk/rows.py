"""Rows of Restart Operation on this site. Everything that writes one is here, and writes it below the document's hooks."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

import frappe
from frappe.model.document import Document

from fmx_restart.desk.bench import Held, cached, site_zone
from fmx_restart.desk.projection import Row
from fmx_restart.engine.plain_text import printable_lines


def run(operation: str, before: Document | None = None) -> None:
	"""`before`: the row before it was updated; None for a new document. Ends with a commit, or with a rollback of their work."""
	try:
		doc = frappe.get_doc(DOCTYPE, operation)
		doc._action, doc._doc_before_save = "save", before
		doc.flags.update({"ignore_version": True, "in_insert": before is None, "notifications_executed": []})
		if before is None:
			doc.run_method("after_insert")
		doc.run_post_save_methods()
		frappe.db.commit()
	except Exception:  # noqa: BLE001 - whatever the site attached
		frappe.db.rollback()
		frappe.clear_messages()
		frappe.log_error(title=f"What follows a change of Restart Operation {operation} failed")
		frappe.db.commit()


DOCTYPE = "Restart Operation"
DELETED, DELETED_FOR = "deleted", 10  # seconds; forgotten at once when a row is deleted
INSTANTS = {"started", "finished"}
#: What a value was called before: a site that was not migrated yet takes no other
FORMER = {"Cancelled": "Aborted", "Running": "Waited For"}
#: Written with the row and never again
CONSTANT = {"options", "user", "command", "idempotency_key"}
NEVER_LAUNCHED = "NeverLaunched"  # kind of failure: there was no process, so there is no exit code


OPEN = ("Queued", "Running")  # the states of one that is not over
OVER = ("Done", "Cancelled", "Aborted", "Failed", "Recovered")


def is_running(row: Any, held: Held | None) -> bool:
	"""`held`: who holds the bench. One that died has a row that says so only later."""
	return held is not None and held.operation == row.name and row.status == "Running"


def is_here() -> bool:
	"""Commands of this app reach every site of the bench, its DocType only those that have it installed."""
	return bool(frappe.db.table_exists(DOCTYPE))


def write(operation: str, values: Row) -> Document | None:
	"""Insert or update. Returns the document as it was before, if there was one."""
	if frappe.db.exists(DOCTYPE, operation):
		return update(operation, values)
	insert(operation, values)
	return None


def insert(operation: str, values: Row) -> None:
	"""
	Commits. Raises frappe.DuplicateEntryError when it is there, frappe.UniqueValidationError for a used idempotency key,
	frappe.ValidationError for a value that no field can have.
	"""
	doc = frappe.new_doc(DOCTYPE)
	doc.name, doc.docstatus = operation, 0
	doc.owner = values.get("user") or "Administrator"
	doc.creation = local_time(values.get("started") or time.time())
	fill(doc, {"origin": "Terminal", **values})
	doc.db_insert()
	for field in doc.meta.get_table_fields():
		insert_children(doc.get(field.fieldname))
	frappe.db.commit()


def update(operation: str, values: Row) -> Document:
	"""Commits. Returns the document as it was before."""
	before = frappe.get_doc(DOCTYPE, operation, for_update=True)
	doc = frappe.get_doc(DOCTYPE, operation)
	fill(doc, {name: value for name, value in values.items() if name not in CONSTANT})
	doc.db_update()
	for field in doc.meta.get_table_fields():
		update_children(field.options, doc.get(field.fieldname), before.get(field.fieldname))
	frappe.db.commit()
	return before


def update_children(doctype: str, new: list[Document], old: list[Document]) -> None:
	"""All of one table or nothing of it: there may be hundreds, and mostly none has changed."""
	if list(map(stored_values, new)) == list(map(stored_values, old)):
		return
	if old:  # by name: where other rows stand nothing is locked
		frappe.db.delete(doctype, {"name": ("in", [row.name for row in old])})
	insert_children(new)


def stored_values(child: Document) -> list[Any]:
	"""Its fields without its name, and who wrote it when. A number has as many digits as the database keeps."""
	values = child.get_valid_dict(convert_dates_to_str=True)
	kept = [values.get(field.fieldname) or 0 for field in child.meta.fields]
	return [round(value, 6) if isinstance(value, float) else value for value in kept]


def insert_children(children: list[Document]) -> None:
	"""In one statement."""
	if children:
		rows = [child.get_valid_dict(convert_dates_to_str=True) for child in children]
		columns = list(rows[0])
		values = [[row.get(name) for name in columns] for row in rows]
		frappe.db.bulk_insert(children[0].doctype, columns, values)


def fill(doc: Document, values: Row) -> None:
	"""What the values don't tell stays as it is. Raises frappe.ValidationError."""
	set_fields(doc, values)
	doc.set_parent_in_children()
	doc.set_name_in_children()
	doc.modified, doc.modified_by = frappe.utils.now(), frappe.session.user
	for document in (doc, *doc.get_all_children()):
		document.creation, document.owner = document.creation or doc.creation, document.owner or doc.owner
		document.modified, document.modified_by = doc.modified, doc.modified_by
		document._validate_selects()
		document._sanitize_content()


def set_fields(doc: Document, values: Row) -> None:
	"""Put values into a document, each cut to what its field can hold."""
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
		if isinstance(value, str):
			value = printable_lines(value)  # a job's id may hold bytes that no database takes
		if name in INSTANTS and value is not None:
			value = local_time(value)
		elif (
			field.fieldtype == "Select" and value in FORMER and value not in (field.options or "").split("\n")
		):
			value = FORMER[value]
		elif field.fieldtype in ("Data", "Select") and value is not None:
			value = str(value)[: int(field.length or 140)]
		fits[name] = value
	return fits


def local_time(instant: float) -> datetime:
	"""Frappe keeps times without a zone, in the site's own."""
	return datetime.fromtimestamp(instant, timezone.utc).astimezone(site_zone()).replace(tzinfo=None)


def known(operations: Collection[str]) -> dict[str, Any]:
	"""Of these, those that have a row: name → status, phase, and how many bytes of its journal the row tells."""
	fields = ["name", "status", "phase", "journal_size", "started", "modified"]
	filters = {"name": ("in", list(operations))}
	rows = frappe.get_all(DOCTYPE, filters=filters, fields=fields, limit_page_length=0) if operations else []
	return {row.name: row for row in rows}


def deleted() -> set[str]:
	"""Rows that someone deleted: their journals do not bring them back."""
	return cached(DELETED, DELETED_FOR, deleted_names)


def deleted_names() -> set[str]:
	"""The table has no index for this question, and holds every document that was ever deleted."""
	filters = {"deleted_doctype": DOCTYPE, "restored": 0}
	return set(frappe.get_all("Deleted Document", filters=filters, pluck="deleted_name", limit_page_length=0))


def retention_days() -> int:
	"""As Frappe's log clearing has it; what is older is not put back from its journal."""
	days = frappe.db.get_value("Logs To Clear", {"ref_doctype": DOCTYPE}, "days")
	return int(days or frappe.get_hooks("default_log_clearing_doctypes").get(DOCTYPE, [90])[-1])
