"""What a site gets when the app is installed on it, and what is removed when the app leaves the site."""

from collections.abc import Callable
from pathlib import Path

import click
import frappe

from fmx_restart.adapters.control_sites import mark_site, unmark_site
from fmx_restart.adapters.web.gunicorn_configuration import advice_at_installation, remove_where_unused
from fmx_restart.adapters.web.ways import SETUP
from fmx_restart.desk import daily
from fmx_restart.desk.access import OPERATOR

APP = "fmx_restart"
DOCTYPE = "Restart Operation"
KEPT = 90  # days, unless Log Settings says something else
#: Frappe 16 syncs these from the app's folders of the same name, and leaves them behind when the app is uninstalled
WORKSPACE = "Restarts"
BLOCK = "Bench Restart"  # a Custom HTML Block, from fixtures/: the first line of the workspace
DESK_RECORDS = ("Desktop Icon", "Workspace Sidebar")
JOBS = "Scheduled Job Type"


def after_install() -> None:
	"""A hook of Frappe: the role, how long rows are kept, the site's mark; then a line about `bench safe-restart setup`."""
	make_role()
	keep_for_a_while()
	mark_site(*here())
	say_about_web(advice_at_installation)


def after_migrate() -> None:
	"""A hook of Frappe: the same as at the installation, for sites that had an older version; nothing is said."""
	make_role()
	keep_for_a_while()
	mark_site(*here())


def after_uninstall() -> None:
	"""
	Frappe deletes the app's modules with their DocTypes, and the workspace. The rest is ours to remove. Frappe also calls
	this at the end of a dry run: then the site still has the app, and keeps all of it.
	"""
	if APP in frappe.get_installed_apps():
		return
	unmark_site(*here())
	remove_role()
	remove_log_setting()
	remove_desk_records()
	remove_block()
	remove_scheduled_jobs()
	frappe.db.delete("DefaultValue", {"parent": "__global", "defkey": daily.KNOWN})
	frappe.db.commit()  # nosemgrep: Frappe commits an uninstallation before it calls this hook
	say_about_web(remove_where_unused)


def say_about_web(act: Callable[[Path], str]) -> None:
	"""`act`: what to do with the sites folder; it returns a sentence for the person. Nothing of it may break the hook."""
	_, sites_folder = here()
	try:
		text = act(sites_folder)
	except Exception as error:  # noqa: BLE001  the app is installed, or gone, whatever it is
		text = f"Whether web is set up for restarts is unknown ({error!r}). To see it, type: {SETUP}"
	if text:
		click.echo(f"fmx_restart: {text}")


def here() -> tuple[str, Path]:
	"""This site, and the folder of all sites."""
	return frappe.local.site, Path(frappe.local.sites_path)


def make_role() -> None:
	"""Whoever has it may see, start and stop operations. A role that someone changed or disabled stays as it is."""
	if not frappe.db.exists("Role", OPERATOR):
		role = frappe.get_doc({"doctype": "Role", "role_name": OPERATOR, "desk_access": 1})
		role.insert(ignore_permissions=True)


def remove_role() -> None:
	"""From every user who has it, too: a role of that name must not come back with its users when the app does."""
	frappe.db.delete("Has Role", {"role": OPERATOR})
	frappe.delete_doc("Role", OPERATOR, force=True, ignore_permissions=True, ignore_missing=True)


def keep_for_a_while() -> None:
	"""Early releases of Frappe 15 don't read the hook default_log_clearing_doctypes yet."""
	settings = frappe.get_single("Log Settings")
	if not any(entry.ref_doctype == DOCTYPE for entry in settings.logs_to_clear):
		settings.append("logs_to_clear", {"ref_doctype": DOCTYPE, "days": KEPT})
		settings.save(ignore_permissions=True)


def remove_log_setting() -> None:
	"""Log Settings cannot be saved as long as it names a DocType that is gone."""
	frappe.db.delete("Logs To Clear", {"ref_doctype": DOCTYPE})
	frappe.clear_document_cache("Log Settings", "Log Settings")


def remove_scheduled_jobs() -> None:
	"""With what they logged, as Frappe does it when one is deleted."""
	jobs = frappe.get_all(JOBS, filters={"method": ("like", f"{APP}.%")}, fields=["name", "method"])
	# an underscore is any character in SQL
	names = [job.name for job in jobs if job.method.startswith(f"{APP}.")]
	if names:
		frappe.db.delete("Scheduled Job Log", {"scheduled_job_type": ("in", names)})
		frappe.db.delete(JOBS, {"name": ("in", names)})


def remove_block() -> None:
	"""That of the workspace: a fixture, which Frappe leaves behind."""
	frappe.delete_doc("Custom HTML Block", BLOCK, force=True, ignore_permissions=True, ignore_missing=True)


def remove_desk_records() -> None:
	"""By SQL: in developer mode the records' own controllers would delete the app's files, too."""
	for doctype in DESK_RECORDS:
		if frappe.db.table_exists(doctype):
			names = frappe.get_all(doctype, filters={"name": WORKSPACE}, pluck="name")
			for field in frappe.get_meta(doctype).get_table_fields() if names else ():
				frappe.db.delete(field.options, {"parenttype": doctype, "parent": ("in", names)})
			frappe.db.delete(doctype, {"name": WORKSPACE})
