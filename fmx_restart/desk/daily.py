"""
The daily check, where it is switched on: fmx_restart_daily_doctor in a site's or the common configuration. System
Managers get a notification when something turned bad since the last time, and none when it is as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from fmx_restart.adapters.control_sites import Mode, read_rule
from fmx_restart.doctor.registry import Finding
from fmx_restart.wiring import examine

SWITCH = "fmx_restart_daily_doctor"
KNOWN = "fmx_restart_daily_doctor_findings"  # in this site's globals: what was wrong the last time
SHOWN = 10  # findings in one notification


def run() -> None:
	"""For hooks.py, once a day for each site."""
	import frappe

	if frappe.conf.get(SWITCH):
		notify_of_new_errors(shown(examine().problems, frappe.local.site))


def shown(findings: Iterable[Finding], site: str) -> list[Finding]:
	"""Everything on a control site. Another site's people learn what is about their own; one that is off, nothing."""
	mode = read_rule().mode(site)
	if mode is Mode.CONTROL:
		return list(findings)
	return [finding for finding in findings if finding.subject == site and mode is not Mode.OFF]


def notify_of_new_errors(findings: Iterable[Finding]) -> list[Finding]:
	"""Those that were not there the last time; what was put right meanwhile is new when it comes back."""
	import frappe

	findings = list(findings)
	known = names_in(frappe.db.get_global(KNOWN))
	new = [finding for finding in findings if name_of(finding) not in known]
	frappe.db.set_global(KNOWN, json.dumps(sorted({name_of(finding) for finding in findings})))
	if new:
		notify(new)
	return new


def names_in(kept: str | None) -> set[str]:
	"""Empty for what is not a list of names: then everything is news."""
	try:
		names = json.loads(kept or "[]")
	except (ValueError, TypeError, RecursionError):
		return set()
	return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def name_of(finding: Finding) -> str:
	"""A warning that became an error is news."""
	return f"{finding.severity.value} {finding.check} {finding.subject}"


def notify(findings: list[Finding]) -> None:
	"""One notification for each System Manager; it names the first problem."""
	import frappe
	from frappe.utils.user import get_users_with_role

	first = findings[0]
	rest = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
	for user in {"Administrator", *get_users_with_role("System Manager")}:
		frappe.get_doc(
			{
				"doctype": "Notification Log",
				"type": "Alert",
				"for_user": user,
				"from_user": "Administrator",
				"subject": frappe.utils.escape_html(f"bench doctor: {first.text}{rest}"),
				"email_content": as_html(findings),
			}
		).insert(ignore_permissions=True)


def as_html(findings: list[Finding]) -> str:
	"""The problems as a list, escaped: texts may hold names from the bench."""
	import frappe

	escape = frappe.utils.escape_html
	items = [
		f"<li><b>{escape(finding.check)}</b>: {escape(finding.text)}<br>{escape(finding.remedy)}</li>"
		for finding in findings[:SHOWN]
	]
	more = len(findings) - SHOWN
	return f"<ul>{''.join(items)}</ul>" + (f"<p>{more} more: bench doctor</p>" if more > 0 else "")
