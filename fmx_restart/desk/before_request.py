"""Before Frappe handles a request of any kind: an error here would fail every page of the site, so this does next to nothing."""

from __future__ import annotations

import frappe

#: Of functions of fmx_restart.api; v1 and v2 since Frappe 15
OURS = tuple(f"/api/{version}method/fmx_restart.api." for version in ("", "v1/", "v2/"))
METRICS = tuple(f"{prefix}metrics" for prefix in OURS)


def prepare() -> None:
	"""
	No traceback is sent to a client of the API, not even where Frappe refuses it before the function is called. The bearer
	token of the metrics is no user's: Frappe, which would refuse it, does not see it.
	"""
	request = frappe.local.request
	if not request.path.startswith(OURS):
		return
	frappe.local.flags.disable_traceback = True
	if request.path.rstrip("/") in METRICS:
		frappe.local.flags.fmx_restart_authorization = request.environ.pop("HTTP_AUTHORIZATION", "")
