"""What somebody asked for over HTTP, as a StartRequest, and as the options that the command makes of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
import frappe
from frappe import _

from fmx_restart.adapters.bench_config import is_site
from fmx_restart.commands import safe_restart as command_line
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.record.access import MANAGER, check_start, current, only_for, refuse
from fmx_restart.record.start_request import FLAGS, InvalidRequest, StartRequest

YES, NO = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


@dataclass(frozen=True)
class Asked:
	request: StartRequest
	options: Options

	@classmethod
	def of(cls, given: Mapping[str, Any]) -> Asked:
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
