"""
What tests do on a site from inside Frappe, in a process of its own. Run by Frappe's interpreter in the sites folder:
on_site.py SITE FUNCTION JSON; prints the answer as JSON.
"""

from __future__ import annotations

import json
import sys
import time

import click
import frappe
from frappe.utils.password import set_encrypted_password

#: Who tries what in tests: name → user type and roles. The manager first: Frappe makes a site's first user one.
PEOPLE = {
	"manager": ("System User", ["System Manager"]),
	"operator": ("System User", ["Restart Operator"]),
	"desk": ("System User", ["Blogger"]),
	"website": ("Website User", []),
}


def people() -> dict[str, str]:
	"""Name → API token. Users stay, tokens are new each time."""
	return {name: token_of(person(name, *kind)) for name, kind in PEOPLE.items()}


def person(name: str, user_type: str, roles: list[str]) -> str:
	email = f"fmx-{name}@example.com"
	if not frappe.db.exists("User", email):
		user = frappe.get_doc(
			{"doctype": "User", "email": email, "first_name": name, "send_welcome_email": 0}
		)
		user.flags.ignore_password_policy = True
		user.insert(ignore_permissions=True)
		user.add_roles(*roles)
	assert frappe.db.get_value("User", email, "user_type") == user_type, name
	return email


def token_of(email: str) -> str:
	"""Not by saving the user: that takes seconds."""
	key, secret = frappe.generate_hash(length=15), frappe.generate_hash(length=15)
	frappe.db.set_value("User", email, "api_key", key)
	set_encrypted_password("User", email, secret, "api_secret")
	frappe.clear_cache(user=email)
	return f"{key}:{secret}"


def catch_up(at: float = 0.0) -> list[str]:
	"""`at`: begin at that instant (seconds since the epoch), so that several do so at once."""
	from fmx_restart.record.catching_up import catch_up

	time.sleep(max(0.0, at - time.time()))
	return catch_up()


def row(operation: str) -> dict | None:
	if not frappe.db.exists("Restart Operation", operation):
		return None
	return frappe.get_doc("Restart Operation", operation).as_dict()


def rows(prefix: str) -> list[str]:
	return frappe.get_all("Restart Operation", {"name": ("like", f"{prefix}%")}, pluck="name")


def make_row(operation: str) -> None:
	"""Of an operation that never was."""
	from fmx_restart.record import rows

	rows.insert(operation, {"status": "Running", "strategy": "fast", "started": time.time()})


def delete(operation: str) -> None:
	frappe.delete_doc("Restart Operation", operation)


def forget(prefix: str) -> None:
	"""Rows of tests, without a trace."""
	for doctype, field in (("Restart Operation", "name"), ("Deleted Document", "deleted_name")):
		frappe.db.delete(doctype, {field: ("like", f"{prefix}%")})


def grow_old(operation: str, days: int) -> None:
	created = frappe.utils.add_days(frappe.utils.now(), -days)
	frappe.db.set_value("Restart Operation", operation, "creation", created, update_modified=False)


def clear_logs(days: int) -> int:
	"""As Frappe does every night. Returns how many child rows have no parent any more."""
	from frappe.model.base_document import get_controller

	get_controller("Restart Operation").clear_old_logs(days=days)
	parents = set(frappe.get_all("Restart Operation", pluck="name"))
	children = frappe.get_all("Restart Operation Phase", pluck="parent")
	return sum(parent not in parents for parent in children)


def kept_days() -> int:
	"""As Log Settings has it."""
	settings = frappe.get_single("Log Settings")
	return next(entry.days for entry in settings.logs_to_clear if entry.ref_doctype == "Restart Operation")


def error_logs(text: str) -> int:
	return frappe.db.count("Error Log", {"method": ("like", f"%{text}%")})


def main(site: str, function: str, given: str) -> None:
	frappe.init(site=site)
	frappe.connect()
	answer = globals()[function](**json.loads(given))
	frappe.db.commit()
	frappe.destroy()
	click.echo("\n" + json.dumps(answer, default=str))


if __name__ == "__main__":
	main(*sys.argv[1:])
