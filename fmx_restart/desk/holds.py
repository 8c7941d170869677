"""Holds of the queue over the API, on sites that command the bench. Nobody waits for running jobs in a web request."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import frappe
from frappe import _

from fmx_restart.console.holds import release_refusal
from fmx_restart.desk import bench
from fmx_restart.desk.access import check_control
from fmx_restart.desk.json_safe import json_safe
from fmx_restart.desk.refusals import refuse
from fmx_restart.engine.holding import HoldOptions
from fmx_restart.engine.queue_hold import InvalidHold, checked_seconds, checked_text
from fmx_restart.wiring import new_holding, queue_holds, read_held_queue


def hold(seconds: float, reason: str, owner: str) -> dict[str, Any]:
	"""From now on, for so long. Raises PermissionError, ValidationError, OperationError where it cannot be held."""
	check_control()
	try:
		wanted = HoldOptions(
			owner=checked_text("owner", owner.strip()) or frappe.session.user,
			seconds=checked_seconds(seconds),
			reason=checked_text("reason", reason.strip()),
			by=frappe.session.user,
		)
	except InvalidHold as error:
		refuse(str(error), code="InvalidArgument", remedy=_("Nothing was done."))
	made = new_holding(wanted, lambda event: None).run()
	return json_safe({"hold": asdict(made), **held_queue()})


def release(owner: str) -> dict[str, Any]:
	"""
	Lift the hold by this name, by default that of the user. Raises PermissionError; HoldLapsed where it had ended before or
	has not stood, BenchBusy where only others hold the queue.
	"""
	check_control()
	name, holds = owner.strip() or frappe.session.user, queue_holds()
	done = holds.release(name, frappe.session.user)
	if refusal := release_refusal(name, done, read_held_queue(), holds.serves_since):
		raise refusal
	return json_safe({"released": asdict(done), **held_queue()})


def held_queue() -> dict[str, Any]:
	"""Who holds the queue, and what runs and waits."""
	queue = read_held_queue()
	return {
		"bench": bench.bench_id(),
		"suspension": queue.look.suspension,
		"holds": [asdict(hold) for hold in queue.holds],
		"running": queue.running,
		"queued": dict(queue.look.depths),
	}
