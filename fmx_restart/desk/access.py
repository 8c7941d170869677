"""
Who may ask for what: the role of the user, and the mode of the site (adapters/control_sites.py). Both are looked at on the
server for every request. A button that Desk hides is no gate; these are.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import frappe
from frappe import _
from frappe.utils.typing_validations import validate_argument_types

from fmx_restart.adapters.control_sites import AccessRule, Mode, read_rule
from fmx_restart.desk import bench, start_order
from fmx_restart.desk.own_view import OwnView
from fmx_restart.desk.refusals import (
	OF_FRAPPE,
	answer_with_error,
	check_arguments,
	forbid,
	is_answer,
	refuse,
	refuse_failed,
)
from fmx_restart.desk.start_order import InvalidOrder
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.migration import TIMEOUT
from fmx_restart.engine.options import DRAIN_TIMEOUT, FORCE_KILL_TIMEOUT, OnTimeout, Options, Strategy
from fmx_restart.engine.phases import doing, phase_named
from fmx_restart.engine.ports import RequestKind
from fmx_restart.engine.requests import refusal_of

MANAGER = "System Manager"
OPERATOR = "Restart Operator"
#: What a site in the mode `restart` may start: each waits for every running job, and kills none
GENTLE = {Strategy.WAIT_WORKERS, Strategy.ROLLING}
#: Seconds that such a site may keep the queues of all others standing: what the command does unless told
LONGEST_WAIT = DRAIN_TIMEOUT
LONGEST_MIGRATION = TIMEOUT
#: Options of `start` that are for control sites: they reach beyond the site, or kill jobs
ONLY_CONTROL = {
	*("on_timeout", "force_kill_timeout", "sites", "hold_web", "force"),
	*("hosts", "host_batch", "host_pause", "canary", "update_config"),
}
#: Options that are for System Managers: they change more than which code runs
FOR_MANAGERS = frozenset({"migrate", "force", "update_config"})
UNREADABLE = AccessRule(frozenset(), Mode.OFF)


@dataclass(frozen=True)
class Access:
	"""What the current site may. `advice`: the line that names a control site, where someone should type it."""

	site: str
	mode: Mode
	advice: str = ""

	@property
	def is_control(self) -> bool:
		"""The site commands the whole bench."""
		return self.mode is Mode.CONTROL

	@property
	def may_start(self) -> bool:
		"""The site may start restarts: any, or gentle ones only."""
		return self.mode in (Mode.CONTROL, Mode.RESTART)

	@property
	def notice(self) -> str:
		"""For people who miss something; empty on a control site."""
		if self.is_control:
			return ""
		if self.advice:
			return _(
				"No control site is named, so nobody can restart the bench from Desk. On the bench, type: {0}"
			).format(self.advice)
		return _(
			"This site does not command the bench. You see its own jobs; those of other sites are only counted."
		)


def current() -> Access:
	"""Read from the disk once a request. A configuration that cannot be read allows nothing."""
	known = getattr(frappe.local, "fmx_restart_access", None)
	if known is None or known.site != frappe.local.site:
		known = frappe.local.fmx_restart_access = access_of(frappe.local.site)
	return known


def access_of(site: str) -> Access:
	"""What a site sees and commands. A rule that cannot be read allows nothing."""
	try:
		rule = read_rule(Path(frappe.local.sites_path))
	except WrongEnvironment:
		rule = UNREADABLE
	return Access(site, rule.mode(site), rule.advice)


def for_operators(function: Callable) -> Callable:
	"""
	Only for System Managers and Restart Operators of a site that is not off. What the engine refuses becomes an answer
	that people can read; on other sites than a control site it may name hosts, paths and other sites, and is left out.
	The function that Frappe calls takes any argument: Frappe hands over only those that a signature names.
	"""
	typed = validate_argument_types(function)

	@wraps(function)
	def guarded(**arguments: Any) -> Any:
		try:
			check_operator()
			check_arguments(function, arguments)
			return typed(**{name: arguments[name] for name in arguments if name not in OF_FRAPPE})
		except OperationError as error:
			if current().is_control:
				refuse_failed(error)
		except Exception as error:
			if is_answer(error) or current().is_control:
				answer_with_error(error)
				raise
			traceback.print_exc()  # into the web server's own log, which is the bench's
		return refuse(_("The bench is not ready for this."), code="BenchNotReady")

	del guarded.__wrapped__  # else its signature would be that of `function`
	guarded.__annotations__ = {"arguments": Any}
	return guarded


def check_operator() -> None:
	"""Raises PermissionError unless this user of this site may see and restart the bench."""
	only_for(MANAGER, OPERATOR)
	if current().mode is Mode.OFF:
		forbid(_("This site may neither see nor restart the bench."))


def only_for(*roles: str) -> None:
	"""frappe.only_for lets everybody pass while tests run, and this is what tests must see."""
	if frappe.session.user != "Administrator" and set(roles).isdisjoint(frappe.get_roles()):
		names = ", ".join(_(role) for role in roles)
		forbid(_("This is only for: {0}").format(names))


def check_start(options: Options) -> None:
	"""Raises frappe.PermissionError for what this site may not start, nor see a preview of."""
	if reason := refusal_to_start(current(), options):
		forbid(reason)


def refusal_to_start(access: Access, options: Options) -> str:
	"""Empty where this site may start it. The launch asks once more: the mode may have changed since."""
	if access.is_control:
		return ""
	if not access.may_start:
		return access.notice
	if options.strategy not in GENTLE:
		return _("This site may only start: {0}").format(", ".join(gentle_names()))
	if may_kill(options):
		return _("This site may not kill jobs.")
	return refusal_of_reach(access, options) or refusal_of_patience(options)


def refusal_of_reach(access: Access, options: Options) -> str:
	"""For what concerns more than this site and its jobs."""
	if not {*options.sites, *options.web_sites} <= {access.site}:
		return _("This site may not migrate or close another site.")
	if options.hosts is not None:
		return _("This site may not choose hosts: it does not know which there are.")
	if options.update_config:
		return _("This site may not change how programs run: they are those of the whole bench.")
	if options.migration is not None and options.migration.hold_web:
		return _("This site may not hold web: requests to other sites would wait, too.")
	return ""


def refusal_of_user(user: str, options: Options) -> str:
	"""Empty where this user of the site may start it now, as when it was asked for."""
	if not frappe.db.get_value("User", user, "enabled"):
		return _("The user {0} is disabled, or is gone.").format(user)
	is_more = options.ignore_code_faults or options.update_config or options.migration is not None
	needed = {MANAGER} if is_more else {MANAGER, OPERATOR}
	if user != "Administrator" and needed.isdisjoint(frappe.get_roles(user)):
		return _("The user {0} has no role any more that may start it.").format(user)
	return ""


def may_kill(options: Options) -> bool:
	"""Or overrule what speaks against it."""
	is_forced = options.ignore_code_faults or (options.migration is not None and options.migration.force)
	kills = options.on_timeout is not OnTimeout.ABORT or options.force_kill_timeout != FORCE_KILL_TIMEOUT
	return is_forced or kills


def refusal_of_patience(options: Options) -> str:
	"""While a drain or a migration goes on, no job of any site starts."""
	waits = options.strategy is Strategy.WAIT_WORKERS and options.drain_timeout > LONGEST_WAIT
	if waits or (options.migration is not None and options.migration.timeout > LONGEST_MIGRATION):
		text = _(
			"This site may give running jobs at most {0} seconds, and its migration at most {1} seconds."
		)
		return text.format(f"{LONGEST_WAIT:g}", f"{LONGEST_MIGRATION:g}")
	return ""


def gentle_names() -> list[str]:
	"""The strategies that a site may use which does not command the bench."""
	return sorted(strategy.value for strategy in GENTLE)


def may_stop(operation: str) -> bool:
	"""A control site any operation, one in the mode `restart` those that it started."""
	access = current()
	return access.is_control or (access.mode is Mode.RESTART and starter_of(operation) == access.site)


def check_stop(operation: str) -> None:
	"""Raises PermissionError unless the site commands the bench or started this operation."""
	if not may_stop(operation):
		forbid(_("This site may only stop what it started.") if current().may_start else current().notice)


def check_control() -> None:
	"""For what is a matter of the whole bench."""
	if not current().is_control:
		forbid(_("Only a control site of this bench may do this."))


def requests_to(operation: str, status: str, phase: str) -> list[str]:
	"""What this site may ask of the operation in this status and phase, for Desk."""
	if status == "Queued":
		return ["cancel"] if may_stop(operation) else []
	if status != "Running" or not may_stop(operation):
		return []
	kinds = list(RequestKind) if current().is_control else [RequestKind.CANCEL]
	return [kind.value for kind in kinds if not refusal_of(kind, phase_named(phase))]


def starter_of(operation: str) -> str | None:
	"""The site that started it, as the order's file tells. None for one from a terminal, or of another host."""
	try:
		return start_order.read(bench.journal_folder(), operation).site
	except InvalidOrder:
		return None


def view_of(operation: str) -> OwnView | None:
	"""What this site sees of that operation; None: all of it."""
	access = current()
	if access.is_control:
		return None
	return OwnView(access.site, is_starter=starter_of(operation) == access.site)


def holder_text(held: bench.Held | None) -> str | None:
	"""Who holds the bench. On other sites than a control site without who asked for it, and where it runs."""
	if held is None or current().is_control:
		return held.text if held else None
	return f"{held.operation}, {_(doing(held.phase))}"


def for_desk() -> dict[str, object]:
	"""What this user may do on this site, for Desk: it offers only what the server would allow."""
	access = current()
	strategies = gentle_names() if not access.is_control else [strategy.value for strategy in Strategy]
	return {
		"mode": access.mode.value,
		"may_start": access.may_start,
		"strategies": strategies if access.may_start else [],
		"refused_options": refused_options(access),
		"notice": access.notice,
	}


def refused_options(access: Access) -> list[str]:
	"""Options of `start` that this user of this site may not use, for Desk, which does not offer them."""
	is_manager = frappe.session.user == "Administrator" or MANAGER in frappe.get_roles()
	refused = set() if is_manager else set(FOR_MANAGERS)
	refused |= set() if access.is_control else ONLY_CONTROL
	return sorted(refused)


def has_permission(doc: object = None, ptype: str = "", user: str = "") -> bool:
	"""For hooks.py: rows that were written before are not shown on a site that is off."""
	return current().mode is not Mode.OFF


def query_conditions(user: str = "") -> str:
	"""For hooks.py: of Restart Operation and its tables, in lists and reports."""
	return "" if current().mode is not Mode.OFF else "1 = 0"
