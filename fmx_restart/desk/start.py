"""Start an operation over HTTP: at most one, once per key, and answered before it runs."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import click
import frappe
from frappe import _
from frappe.rate_limiter import rate_limit

from fmx_restart.adapters.bench import is_site
from fmx_restart.adapters.journal import newest
from fmx_restart.adapters.redis_queue.requests import LaunchTicket, Waiting
from fmx_restart.commands import safe_restart as command_line
from fmx_restart.desk import bench, launch, rows, start_request
from fmx_restart.desk.access import MANAGER, check_start, current, holder_text, only_for, refuse
from fmx_restart.desk.json_safe import finite
from fmx_restart.desk.own_view import BENCH
from fmx_restart.desk.start_request import FLAGS, LONGEST_NAME, InvalidRequest, StartOrder, StartRequest
from fmx_restart.desk.sync import catch_up
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.identity import new_operation_id
from fmx_restart.engine.options import Options, Strategy

YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class StartArguments:
	request: StartRequest
	options: Options

	@classmethod
	def of(cls, given: Mapping[str, Any]) -> StartArguments:
		"""`given`: the arguments by the names of the command's options. Raises what Frappe tells the client."""
		try:
			if flag(given["migrate"]) or flag(given["force"]):
				only_for(MANAGER)
			request = StartRequest(**typed(given))
		except InvalidRequest as error:
			refuse(frappe.utils.escape_html(str(error)))
		check_start(request)
		return cls(request, parsed(request.argv()))

	@property
	def command(self) -> str:
		"""For people to read; it is never executed."""
		return shlex.join(["bench", "safe-restart", *self.request.argv()])


def typed(given: Mapping[str, Any]) -> dict[str, Any]:
	"""As StartRequest has them. Clients send text where the command has numbers."""
	flags = {name: flag(given[name]) for name in ("web", "workers", *FLAGS)}
	values = {name: given_value(given[name], kind) for name, kind in KINDS.items()}
	return {
		**flags,
		**values,
		"strategy": given["strategy"] or Strategy.WAIT_WORKERS.value,
		"sites": tuple(chosen_sites(given, migrates=flags["migrate"])),
		"maintenance_mode": tuple(listed(given["maintenance_mode"])),
	}


def flag(value: Any) -> bool:
	text = str(value).strip().lower()
	if text not in YES | NO:
		raise InvalidRequest(f"{value!r} is neither yes nor no.")
	return text in YES


def given_value(value: Any, kind: Callable[[Any], Any]) -> Any:
	if value in (None, ""):
		return None
	try:
		return kind(value)
	except (TypeError, ValueError) as error:
		raise InvalidRequest(f"{value!r} is not possible here.") from error


def percent(value: Any) -> float:
	return float(str(value).strip().removesuffix("%"))


KINDS: dict[str, Callable[[Any], Any]] = {
	"wait_workers_timeout": float,
	"on_timeout": str,
	"force_kill_timeout": float,
	"rolling_share": percent,
	"rolling_max_failures": int,
	"migrate_timeout": float,
}


def chosen_sites(given: Mapping[str, Any], *, migrates: bool) -> list[str]:
	"""
	Without a migration the site only says whose web answer is checked: this one's. Which other sites there are is for
	control sites to know; check_start refuses the others whatever they name.
	"""
	named = listed(given["sites"]) if migrates else []
	unknown = [name for name in named if name != "all" and not is_site(name)]
	if unknown and current().is_control:
		names = frappe.utils.escape_html(", ".join(sorted(unknown)))
		refuse(_("There is no site {0} on this bench.").format(names))
	return named or [frappe.local.site]


def listed(value: list | str | None) -> list[str]:
	"""A list, JSON of one, or names with commas."""
	if isinstance(value, str):
		value = json_list(value) if value.strip().startswith("[") else value.split(",")
	return [str(item).strip() for item in value or () if str(item).strip()]


def json_list(text: str) -> list:
	try:
		return json.loads(text)
	except ValueError as error:
		raise InvalidRequest(f"{text!r} is not a JSON list.") from error


def parsed(words: list[str]) -> Options:
	from fmx_restart.commands.restart import options

	try:
		context = command_line.make_context("safe-restart", words)
		return options(context.params, [])
	except click.UsageError as error:
		refuse(frappe.utils.escape_html(error.format_message()))
	except click.exceptions.Exit:  # an eager option among the values, such as --help
		refuse(_("These options start nothing."))


LONGEST_KEY = 140  # characters


def start(asked: StartArguments, key: str, *, from_web: bool) -> dict:
	if getattr(frappe.local, "request", None):
		heed_rate_limit()
	if len(key) > LONGEST_KEY:
		refuse(_("An idempotency key has at most {0} characters.").format(LONGEST_KEY))
	catch_up()
	if known := key and frappe.db.get_value(rows.DOCTYPE, {"idempotency_key": key}):
		return launched_from_web(known) if from_web else answer(known, _("This key was used before."))
	if held := bench.held():
		return answer(held.operation, _("Another operation holds the bench: {0}").format(holder_text(held)))
	return queue(asked, key, from_web=from_web)


@rate_limit(limit=10, seconds=60)
def heed_rate_limit() -> None:
	"""
	A function of its own, without arguments: Frappe's decorator calls what it decorates with the raw form, and would undo
	the checking of arguments.
	"""


def queue(asked: StartArguments, key: str, *, from_web: bool) -> dict:
	order, ticket = new_order(asked), bench.ticket()
	write_order(order)
	if other := free_ticket(ticket, order.operation):
		start_request.remove(bench.journal_folder(), order.operation)
		if from_web:
			return launched_from_web(other.operation)
		return answer(other.operation, _("It waits to begin."))
	with withdrawn_on_error(order.operation):
		rows.insert(order.operation, queued_row(asked, key))
		message = launch_now(order.operation) if from_web else launch_soon(order.operation)
	rows.run(order.operation)
	return answer(order.operation, message, is_new=True)


def launch_soon(operation: str) -> str:
	launch.enqueue(operation)
	return _("Queued. A worker will launch it.")


def launch_now(operation: str) -> str:
	is_launched = launch.launch(operation)
	return _("Launched from the web process.") if is_launched else _("It could not be launched.")


def new_order(asked: StartArguments) -> StartOrder:
	user = "".join(letter if letter.isprintable() else "?" for letter in frappe.session.user)
	last = newest(bench.journal_folder())
	return StartOrder(
		new_operation_id(last.stem if last else ""),
		frappe.local.site,
		origin().lower(),
		user[:LONGEST_NAME],
		asked.request,
	)


def write_order(order: StartOrder) -> None:
	try:
		start_request.write(bench.journal_folder(), order)
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
	if launch.launch(operation):
		return answer(operation, _("Launched from the web process."))
	return answer(operation, _("It was launched already, or another site started it."))


def queued_row(asked: StartArguments, key: str) -> rows.Row:
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
		"bench": bench.bench_id() if current().is_control else BENCH,
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
