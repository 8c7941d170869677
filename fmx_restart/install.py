"""What a site gets when the app is installed on it: the role, and the records of the operations so far."""

import frappe

OPERATOR = "Restart Operator"


def after_install() -> None:
	make_role()


def after_migrate() -> None:
	make_role()


def make_role() -> None:
	"""Whoever has it may see, start and stop operations. A role that somebody changed or disabled stays as it is."""
	if not frappe.db.exists("Role", OPERATOR):
		role = frappe.get_doc({"doctype": "Role", "role_name": OPERATOR, "desk_access": 1})
		role.insert(ignore_permissions=True)
