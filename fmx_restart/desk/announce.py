"""An operation has ended: a worker records it now, rather than when someone looks. Nothing depends on that."""

from __future__ import annotations

from contextlib import suppress

from fmx_restart import wiring
from fmx_restart.adapters.bench import read_config, sites
from fmx_restart.adapters.control_sites import marked_sites
from fmx_restart.adapters.redis_queue.requests import LaunchTicket
from fmx_restart.current_bench import identity
from fmx_restart.wiring import queue_connection

CATCH_UP = "fmx_restart.desk.sync.catch_up"


def announce(operation: str, site: str | None) -> None:
	"""
	It holds the bench no more: the next one that Desk or the API asks for need not wait until its ticket expires. Then
	to the site it was asked for, or to the default one; other sites follow with their scheduler's next tick. Needs no
	database: a mark in its folder tells that a site has the app installed.
	"""
	with suppress(Exception):  # a restart that went well doesn't fail because Redis is away just now
		config, connection = read_config(), queue_connection()
		LaunchTicket(connection, identity(config)[0]).give_back(operation)
		if not wiring.is_there():
			return
		site = site or config.get("default_site") or sites()[0]
		if site in marked_sites():
			enqueue(site)


def enqueue(site: str) -> None:
	import frappe

	frappe.init(site=site, force=True)
	frappe.enqueue(CATCH_UP, queue="short", job_id="fmx_restart_record", deduplicate=True)
