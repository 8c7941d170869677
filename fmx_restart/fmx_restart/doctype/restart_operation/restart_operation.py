# Copyright (c) 2026, fmx_restart contributors
# For license information, please see license.txt

import frappe
from frappe import _
from frappe.model.document import Document
from frappe.query_builder import Interval
from frappe.query_builder.functions import Now

from fmx_restart.desk import rows
from fmx_restart.desk.bench import forget

CHILD_TABLES = ("phases", "processes", "jobs", "migrations", "settings")


class RestartOperation(Document):
	"""
	One safe restart, as its journal tells it. Nobody saves one: desk/rows.py writes below the document's hooks. A flag
	that lets some callers save would be there for a site's own scripts too.
	"""

	def validate(self) -> None:
		"""Refuse every change by a person. Raises PermissionError; rows are written without it."""
		frappe.throw(
			_("A Restart Operation records what happened. It cannot be changed."), frappe.PermissionError
		)

	def before_rename(self, *_args) -> None:
		"""The name is the journal's. Raises PermissionError."""
		frappe.throw(_("A Restart Operation keeps the name of its journal."), frappe.PermissionError)

	def on_trash(self) -> None:
		"""Refuse to delete the row of an operation that is not over. Raises ValidationError."""
		if self.status in rows.OPEN:
			frappe.throw(_("{0} is not over yet. Cancel it first.").format(self.name))

	def after_delete(self) -> None:
		"""The next look must know that this one was deleted, or its journal brings it back."""
		frappe.db.after_commit.add(lambda: forget(rows.DELETED))

	@staticmethod
	def clear_old_logs(days: int = 90) -> None:
		"""Frappe's log clearing (Log Settings) calls this every day. Child rows go with their operation."""
		operations = frappe.qb.DocType("Restart Operation")
		is_old = operations.creation < (Now() - Interval(days=days))
		names = frappe.qb.from_(operations).select(operations.name).where(is_old).run(pluck=True)
		for field in CHILD_TABLES if names else ():
			child = frappe.get_meta("Restart Operation").get_field(field).options
			frappe.db.delete(child, {"parenttype": "Restart Operation", "parent": ("in", names)})
		if names:
			frappe.db.delete("Restart Operation", {"name": ("in", names)})
