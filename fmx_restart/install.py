"""What a site gets when the app is installed on it: the role, and the records of the operations so far."""

import frappe

from fmx_restart.record.announcing import forget_site, note_site

OPERATOR = "Restart Operator"


DOCTYPE = "Restart Operation"
KEPT = 90  # days, unless Log Settings says something else


def after_install() -> None:
	make_role()
	keep_for_a_while()
	note_site()


def after_migrate() -> None:
	make_role()
	keep_for_a_while()
	note_site()


def before_uninstall() -> None:
	forget_site()


def make_role() -> None:
	"""Whoever has it may see, start and stop operations. A role that somebody changed or disabled stays as it is."""
	if not frappe.db.exists("Role", OPERATOR):
		role = frappe.get_doc({"doctype": "Role", "role_name": OPERATOR, "desk_access": 1})
		role.insert(ignore_permissions=True)


def keep_for_a_while() -> None:
	"""Early releases of Frappe 15 don't read the hook default_log_clearing_doctypes yet."""
	settings = frappe.get_single("Log Settings")
	if not any(entry.ref_doctype == DOCTYPE for entry in settings.logs_to_clear):
		settings.append("logs_to_clear", {"ref_doctype": DOCTYPE, "days": KEPT})
		settings.save(ignore_permissions=True)
