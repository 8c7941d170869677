"""What is asked from Frappe itself, on the paths on which it was imported already. Nothing here is needed without it."""

from __future__ import annotations

import sys
from functools import cache

from fmx_restart.adapters.bench_config import bench_folder, sites
from fmx_restart.adapters.numbers import whole_number
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.engine.errors import WrongEnvironment


def is_imported() -> bool:
	"""`python -m fmx_restart` and the guardian never import it: they must work when it cannot be imported."""
	return "frappe" in sys.modules


@cache
def is_there() -> bool:
	"""Imported, and fit for use: frappe.init fails where the code of any app cannot be loaded. Then we do without."""
	if not is_imported():
		return False
	try:
		initialise()
	except (Exception, SystemExit):  # noqa: BLE001  whatever an app does when it is imported; the last look tells it
		return False
	return True


def initialise() -> None:
	import frappe

	if not getattr(frappe.local, "conf", None):
		frappe.init("")


def queue_limit() -> int | None:
	"""
	The depth at which frappe.enqueue begins to raise QueueOverloaded (frappe.utils.background_jobs): Frappe 15 looks
	only where max_queued_jobs is set, Frappe 16 has a default that grows with the number of sites.
	"""
	import frappe
	from frappe.utils import background_jobs

	if not hasattr(background_jobs, "_check_queue_size"):
		return None
	if configured := whole_number(frappe.conf.get("max_queued_jobs")):
		return configured
	return 500 + 50 * len(sites()) if int(frappe.__version__.split(".")[0]) >= 16 else None


def site_config(site: str) -> dict:
	"""By Frappe's own rules (both files, environment variables), but read strictly first. Raises WrongEnvironment."""
	initialise()
	import frappe

	SiteConfigFiles(bench_folder(frappe.utils.get_bench_path())).read(site, "db_name")
	try:
		return frappe.get_site_config(sites_path=".", site_path=site)
	except Exception as error:  # noqa: BLE001  each version has its own for a db_type that it does not know, for instance
		kind = type(error).__name__
	raise WrongEnvironment(
		f"Frappe cannot read the configuration of {site} ({kind}).",
		hint=f"bench doctor --check odd-settings names what is wrong in sites/{site}/site_config.json.",
	)
