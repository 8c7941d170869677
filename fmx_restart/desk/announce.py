"""An operation has ended: a worker records it now, rather than when someone looks. Nothing depends on that."""

from __future__ import annotations

import os
from contextlib import suppress

from fmx_restart import wiring
from fmx_restart.adapters.bench import read_config, sites
from fmx_restart.adapters.code import be_alone, fork
from fmx_restart.adapters.control_sites import marked_sites
from fmx_restart.adapters.redis_queue.requests import LaunchTicket
from fmx_restart.current_bench import frappe_is_imported, identity
from fmx_restart.wiring import queue_connection

RECORD = "fmx_restart.desk.ended.record"


def announce(operation: str, site: str | None) -> None:
	"""
	It holds the bench no more: the next one that Desk or the API asks for need not wait until its ticket expires. Then
	to the site it was asked for, or to the default one; other sites follow with their scheduler's next tick. Needs no
	database: a mark in its folder tells that a site has the app installed.
	"""
	with suppress(Exception):  # a restart that went well doesn't fail because Redis is away just now
		LaunchTicket(queue_connection(), identity(read_config())[0]).give_back(operation)
	if frappe_is_imported():
		with suppress(OSError):
			enqueue_aside(operation, site)


def enqueue_aside(operation: str, site: str | None) -> None:
	"""In a child that nobody waits for: Frappe takes its time to initialise, and a person waits for the end of the command."""
	if fork() == 0:
		try:
			be_alone()
			enqueue(operation, site)
		finally:
			os._exit(0)


def enqueue(operation: str, site: str | None) -> None:
	"""The job that writes the row and tells who asked, where Frappe can be used and the site has the app: before others."""
	if not wiring.is_there():
		return
	chosen = site or read_config().get("default_site") or sites()[0]
	if chosen not in marked_sites():
		return
	import frappe

	frappe.init(site=chosen, force=True)
	frappe.enqueue(
		RECORD,
		queue="short",
		job_id=f"fmx_restart_record:{operation}",
		deduplicate=True,
		at_front=True,
		operation=operation,
	)
