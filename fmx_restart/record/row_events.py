"""
What a site attaches to its rows: Notifications, Webhooks, Server Scripts, realtime events. They run when the row is
committed, on a document that RestartOperation.validate lets nobody save; what they raise is logged and stops nothing.
"""

from __future__ import annotations

import frappe
from frappe.model.document import Document

from fmx_restart.record.rows import DOCTYPE


def run(operation: str, before: Document | None = None) -> None:
	"""`before`: the row before it was updated; None for a new one. Ends with a commit, or with a rollback of their work."""
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
