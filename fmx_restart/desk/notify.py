"""One notification for one user of this site, as Frappe shows them in Desk. Nobody's template takes part."""

from __future__ import annotations

import frappe

from fmx_restart.desk.rows import DOCTYPE


def notify(user: str, subject: str, operation: str, text: str = "") -> None:
	"""Plain texts, which may hold anything. Does nothing for a user that this site does not have."""
	if not frappe.db.exists("User", user):
		return
	escape = frappe.utils.escape_html
	frappe.get_doc(
		{
			"doctype": "Notification Log",
			"type": "Alert",
			"for_user": user,
			"from_user": "Administrator",
			"document_type": DOCTYPE,
			"document_name": operation,
			"subject": escape(subject),
			"email_content": f"<p>{escape(text or subject)}</p>",
		}
	).insert(ignore_permissions=True)
