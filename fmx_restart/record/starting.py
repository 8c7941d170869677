"""Start an operation over HTTP: at most one, once per key, and answered before it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import frappe
from frappe import _
from frappe.rate_limiter import rate_limit

from fmx_restart.adapters.journal_reader import newest
from fmx_restart.adapters.redis_queue.ticket import LaunchTicket, Waiting
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.operation_id import new_operation_id
from fmx_restart.record import here, launching, row_events, rows, start_order
from fmx_restart.record.access import current, holder_text, refuse
from fmx_restart.record.asked import Asked
from fmx_restart.record.catching_up import catch_up
from fmx_restart.record.finite import finite
from fmx_restart.record.own_view import BENCH
from fmx_restart.record.start_order import LONGEST_NAME, StartOrder

LONGEST_KEY = 140  # characters


def start(asked: Asked, key: str, *, from_web: bool) -> dict:
	if getattr(frappe.local, "request", None):
		heed_rate_limit()
	if len(key) > LONGEST_KEY:
		refuse(_("An idempotency key has at most {0} characters.").format(LONGEST_KEY))
	catch_up()
	if known := key and frappe.db.get_value(rows.DOCTYPE, {"idempotency_key": key}):
		return launched_from_web(known) if from_web else answer(known, _("This key was used before."))
	if held := here.held():
		return answer(held.operation, _("Another operation holds the bench: {0}").format(holder_text(held)))
	return queue(asked, key, from_web=from_web)


@rate_limit(limit=10, seconds=60)
def heed_rate_limit() -> None:
	"""
	A function of its own, without arguments: Frappe's decorator calls what it decorates with the raw form, and would undo
	the checking of arguments.
	"""


def queue(asked: Asked, key: str, *, from_web: bool) -> dict:
	order, ticket = new_order(asked), here.ticket()
	write_order(order)
	if other := free_ticket(ticket, order.operation):
		start_order.remove(here.journal_folder(), order.operation)
		if from_web:
			return launched_from_web(other.operation)
		return answer(other.operation, _("It waits to begin."))
	with withdrawn_on_error(order.operation):
		rows.insert(order.operation, queued_row(asked, key))
		message = launch_now(order.operation) if from_web else launch_soon(order.operation)
	row_events.run(order.operation)
	return answer(order.operation, message, is_new=True)


def launch_soon(operation: str) -> str:
	launching.enqueue(operation)
	return _("Queued. A worker will launch it.")


def launch_now(operation: str) -> str:
	is_launched = launching.launch(operation)
	return _("Launched from the web process.") if is_launched else _("It could not be launched.")


def new_order(asked: Asked) -> StartOrder:
	user = "".join(letter if letter.isprintable() else "?" for letter in frappe.session.user)
	last = newest(here.journal_folder())
	return StartOrder(
		new_operation_id(last.stem if last else ""),
		frappe.local.site,
		origin().lower(),
		user[:LONGEST_NAME],
		asked.request,
	)


def write_order(order: StartOrder) -> None:
	try:
		start_order.write(here.journal_folder(), order)
	except OSError as error:
		raise WrongEnvironment(
			f"The request cannot be written: {error}. Nothing was changed.",
			hint=f"The bench user must be able to write into {here.journal_folder()}, and the disk must have room.",
		) from error


@contextmanager
def withdrawn_on_error(operation: str) -> Iterator[None]:
	"""The next one must not wait for an operation that nobody will launch."""
	try:
		yield
	except Exception:
		frappe.db.rollback()
		launching.withdraw(operation, _("It could not be queued."))
		raise


def free_ticket(ticket: LaunchTicket, operation: str) -> Waiting | None:
	"""None when it is ours; else who has it, and is not over yet."""
	other = ticket.issue(operation)
	if other and other.is_launched and here.is_over(other.operation):
		ticket.give_back(other.operation)
		other = ticket.issue(operation)
	return other


def launched_from_web(operation: str) -> dict:
	"""One that waits in vain for a worker. Only this site's own: launch() leaves another site's alone."""
	if launching.launch(operation):
		return answer(operation, _("Launched from the web process."))
	return answer(operation, _("It was launched already, or another site started it."))


def queued_row(asked: Asked, key: str) -> rows.Row:
	# The options that the command made of the request name whoever runs this web server, and its host
	user, came_from = frappe.session.user, origin()
	options = replace(asked.options, requested_by=user, origin=came_from.lower())
	return {
		"status": "Queued",
		"strategy": options.strategy.value,
		"migrate": bool(options.migration),
		"sites": "\n".join(options.sites) if options.migration else "",
		"started": time.time(),
		"origin": came_from,
		"user": user,
		"requested_by": user,
		"bench": here.bench_id() if current().is_control else BENCH,
		"command": asked.command,
		"options": json.dumps(finite(asdict(options)), indent=1, default=sorted),
		"idempotency_key": key,
	}


def origin() -> str:
	"""A token is a program's; a person in Desk has a session."""
	request = getattr(frappe.local, "request", None)
	return "API" if request is None or frappe.get_request_header("Authorization") else "Desk"


def answer(operation: str, message: str, *, is_new: bool = False) -> dict:
	status = frappe.db.get_value(rows.DOCTYPE, operation, "status") or "Queued"
	return {"operation": operation, "status": status, "is_new": is_new, "message": message}
