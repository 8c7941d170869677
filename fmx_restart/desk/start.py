"""Start an operation over HTTP: at most one, once per key, and answered before it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import frappe
from frappe import _
from frappe.rate_limiter import rate_limit

from fmx_restart.adapters.bench import is_site, named_sites
from fmx_restart.adapters.journal_files import newest
from fmx_restart.adapters.redis_queue.requests import LaunchTicket, Waiting
from fmx_restart.console.restart_command import restart_command
from fmx_restart.desk import bench, launch, rows, start_order
from fmx_restart.desk.access import FOR_MANAGERS, MANAGER, check_start, current, holder_text, only_for
from fmx_restart.desk.own_view import BENCH
from fmx_restart.desk.projection import option_fields
from fmx_restart.desk.refusals import refuse
from fmx_restart.desk.start_arguments import flag, options_from, start_time_from
from fmx_restart.desk.start_order import LONGEST_NAME, StartOrder
from fmx_restart.desk.sync import catch_up
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.identity import new_operation_id
from fmx_restart.engine.options import InvalidOptions, Options
from fmx_restart.engine.start_time import StartTime


@dataclass(frozen=True)
class StartArguments:
	options: Options
	command: str  # for people to read; it is never executed
	when: StartTime | None = None  # None: at once

	@classmethod
	def of(cls, arguments: Mapping[str, Any]) -> StartArguments:
		"""`arguments`: by the names of the command's options. Raises what Frappe tells the client."""
		try:
			if any(flag(name, arguments[name]) for name in FOR_MANAGERS):
				only_for(MANAGER)
			options = options_from(arguments, frappe.local.site)
			when = start_time_from(arguments, bench.zone_name())
		except InvalidOptions as error:
			refuse(str(error), code="InvalidArgument")
		check_start(options)
		return cls(on_this_bench(options), restart_command(options, when), when)


def on_this_bench(options: Options) -> Options:
	"""
	With the sites that there are, and who asked. Which other sites there are is for control sites to know; check_start has
	refused the others whatever they name.
	"""
	unknown = [name for name in options.sites if name != "all" and not is_site(name)]
	if unknown and current().is_control:
		names = ", ".join(sorted(unknown))
		refuse(_("There is no site {0} on this bench.").format(names), code="InvalidArgument")
	user = "".join(letter if letter.isprintable() else "?" for letter in frappe.session.user)
	return replace(
		options,
		sites=named_sites(options.sites),
		web_sites=() if "all" in options.sites else options.sites,
		requested_by=user[:LONGEST_NAME],
		origin=origin().lower(),
	)


LONGEST_KEY = 140  # characters
STARTS_A_MINUTE = 10  # by one address


def start(asked: StartArguments, key: str, *, from_web: bool) -> dict:
	"""
	Start once: a key that was used before, or an operation that holds the bench, is answered with that one. Raises
	PermissionError, ValidationError, OperationError.
	"""
	check_key(key)
	catch_up()
	if known := key and frappe.db.get_value(rows.DOCTYPE, {"idempotency_key": key}):
		return (
			launched_from_web(known)
			if from_web
			else answer(known, _("This idempotency key was used before."), is_repeated=True)
		)
	if held := bench.held():
		return answer(held.operation, _("Another operation holds the bench: {0}").format(holder_text(held)))
	return queue(asked, key, from_web=from_web)


def check_key(key: str) -> None:
	"""And count the start. Raises TooManyRequestsError, ValidationError."""
	if getattr(frappe.local, "request", None):
		heed_rate_limit()
	if len(key) > LONGEST_KEY:
		text = _("An idempotency key has at most {0} characters.").format(LONGEST_KEY)
		refuse(text, code="InvalidArgument")


def heed_rate_limit() -> None:
	"""Raises TooManyRequestsError (HTTP 429); Frappe's own error has that status in newer versions only."""
	try:
		count_start()
	except frappe.ValidationError:
		frappe.clear_messages()
		refuse(
			_("More than {0} starts in a minute came from this address.").format(STARTS_A_MINUTE),
			code="TooManyRequests",
			remedy=_("Nothing was started. Send it again in a minute."),
			kind=frappe.TooManyRequestsError,
		)


@rate_limit(limit=STARTS_A_MINUTE, seconds=60)
def count_start() -> None:
	"""
	A function of its own, without arguments: Frappe's decorator calls what it decorates with the raw form, and would undo
	the checking of arguments.
	"""


def queue(asked: StartArguments, key: str, *, from_web: bool) -> dict:
	"""Put it in line and launch it. Where another one waits already, that one is answered."""
	operation, is_new = put_in_line(asked, key)
	if not is_new:
		return launched_from_web(operation) if from_web else answer(operation, _("It waits to begin."))
	with withdrawn_on_error(operation):
		launched = launch_now(operation) if from_web else launch_soon(operation)
	rows.run(operation)
	return {**answer(operation, launched.message, is_new=True), "launched_by": launched.by}


def put_in_line(asked: StartArguments, key: str) -> tuple[str, bool]:
	"""Write the order, take the ticket, insert the row. The operation that waits now, and whether it is this one."""
	order = new_order(asked)
	write_order(order)
	if other := free_ticket(bench.ticket(), order.operation):
		start_order.remove(bench.journal_folder(), order.operation)
		return other.operation, False
	with withdrawn_on_error(order.operation):
		rows.insert(order.operation, queued_row(asked, key))
	return order.operation, True


@dataclass(frozen=True)
class Launched:
	message: str
	by: str | None  # web or worker; None where nobody has launched it


def launch_soon(operation: str) -> Launched:
	"""
	A worker launches it, in a process of its own; where none is free, or none has taken it after some seconds, the web
	process does. The ticket is for one of them: a worker that takes it at the same instant has launched it, or finds it taken.
	"""
	if not launch.has_free_worker():
		return launch_now(operation, _("Launched from the web process, because no worker is free."))
	launch.enqueue(operation)
	if launch.was_taken(operation):
		return taken(operation)
	text = _("Launched from the web process, because no worker took it within {0} seconds.")
	return launch_now(operation, text.format(f"{launch.TAKEN_WITHIN:g}"))


def launch_now(operation: str, message: str = "") -> Launched:
	"""Launch it from the web process. `message`: why, where nobody asked for that."""
	if launch.launch(operation, is_web=True):
		return Launched(message or _("Launched from the web process."), "web")
	return taken(operation)


def taken(operation: str) -> Launched:
	"""Its ticket is not ours any more: why, as the ticket and the row tell."""
	waiting = bench.ticket().waiting()
	if (waiting and waiting.operation == operation and waiting.is_launched) or bench.was_launched(operation):
		return Launched(_("A worker launched it."), "worker")
	return Launched(_("It was not launched: it was cancelled, or could not be."), None)


def new_order(asked: StartArguments) -> StartOrder:
	"""An order with an id of its own. Raises InvalidOrder for options that no order may have."""
	return StartOrder(next_operation(), frappe.local.site, asked.options)


def next_operation() -> str:
	"""An id that is later than every journal's."""
	last = newest(bench.journal_folder())
	return new_operation_id(last.stem if last else "")


def write_order(order: StartOrder) -> None:
	"""Raises WrongEnvironment where the bench's folder cannot be written."""
	try:
		start_order.write(bench.journal_folder(), order)
	except OSError as error:
		raise WrongEnvironment(
			f"The request cannot be written: {error}. Nothing was changed.",
			hint=f"The bench user must be able to write into {bench.journal_folder()}, and the disk must have room.",
		) from error


@contextmanager
def withdrawn_on_error(operation: str) -> Iterator[None]:
	"""The next one must not wait for an operation that nobody will launch."""
	try:
		yield
	except Exception:
		frappe.db.rollback()
		launch.withdraw(operation, _("It could not be queued."))
		raise


def free_ticket(ticket: LaunchTicket, operation: str) -> Waiting | None:
	"""None when it is ours; else who has it, and is not over yet."""
	other = ticket.issue(operation)
	if other and other.is_launched and bench.is_over(other.operation):
		ticket.give_back(other.operation)
		other = ticket.issue(operation)
	return other


def launched_from_web(operation: str) -> dict:
	"""One that waits in vain for a worker. Only this site's own: launch() leaves another site's alone."""
	if launch.launch(operation, is_web=True):
		return {**answer(operation, _("Launched from the web process.")), "launched_by": "web"}
	return answer(operation, _("It was launched already, or another site started it."))


def queued_row(asked: StartArguments, key: str) -> rows.Row:
	"""The row while it waits to be launched."""
	options = asked.options
	return {
		**option_fields(options),
		"status": "Queued",
		"strategy": options.strategy.value,
		"sites": "\n".join(options.sites) if options.migration else "",
		"started": time.time(),
		"user": frappe.session.user,
		"bench": bench.bench_id() if current().is_control else BENCH,
		"command": asked.command,
		"idempotency_key": key,
	}


def origin() -> str:
	"""A token is a program's; a person in Desk has a session."""
	request = getattr(frappe.local, "request", None)
	return "API" if request is None or frappe.get_request_header("Authorization") else "Desk"


def answer(operation: str, message: str, *, is_new: bool = False, is_repeated: bool = False) -> dict:
	"""What the API returns. `is_new`: this request has queued it; `is_repeated`: one before with the same key has."""
	status = frappe.db.get_value(rows.DOCTYPE, operation, "status") or "Queued"
	return {
		"operation": operation,
		"status": status,
		"is_new": is_new,
		"is_repeated": is_repeated,
		"launched_by": None,
		"message": message,
	}
