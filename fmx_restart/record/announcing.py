"""An operation has ended: a worker records it now, rather than when somebody looks. Nothing depends on that."""

from __future__ import annotations

from contextlib import suppress

from fmx_restart import through_frappe
from fmx_restart.adapters.bench_config import read_config, sites

CATCH_UP = "fmx_restart.record.catching_up.catch_up"


def announce(site: str | None) -> None:
	"""
	On the site it was asked for, or on the default one; other sites follow with their scheduler's next tick. Needs no
	database: where the app is not installed, the job finds nothing to do.
	"""
	if not through_frappe.is_there():
		return
	with suppress(Exception):  # a restart that went well doesn't fail because Redis is away just now
		through_frappe.redis_connection()  # one attempt; Frappe's own would be five
		enqueue(site or read_config().get("default_site") or sites()[0])


def enqueue(site: str) -> None:
	import frappe

	frappe.local.site = site
	frappe.enqueue(CATCH_UP, queue="short", job_id="fmx_restart_record", deduplicate=True)
