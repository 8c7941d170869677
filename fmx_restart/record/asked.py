"""What somebody asked for over HTTP, as the words of the command: one parser, the command's own, decides what is right."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
import frappe
from frappe import _

from fmx_restart.adapters.bench_config import sites
from fmx_restart.commands import safe_restart as command_line
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.record.access import MANAGER, only_for, refuse

VALUES = (
	*("wait_workers_timeout", "on_timeout", "force_kill_timeout", "rolling_share", "rolling_max_failures"),
	"migrate_timeout",
)
FLAGS = ("migrate", "backup", "skip_failing", "force")


@dataclass(frozen=True)
class Asked:
	words: tuple[str, ...]  # what a person would have typed after `bench safe-restart`
	options: Options

	@classmethod
	def of(cls, given: Mapping[str, Any]) -> Asked:
		"""`given`: the arguments by the names of the command's options. Raises what Frappe tells the client."""
		if given["migrate"] or given["force"]:
			only_for(MANAGER)
		words = tuple(words_of(given))
		return cls(words, parsed(words))

	@property
	def command(self) -> str:
		return shlex.join(["bench", "safe-restart", *self.words])


def words_of(given: Mapping[str, Any]) -> list[str]:
	strategy = given["strategy"] or Strategy.WAIT_WORKERS.value
	if strategy not in {known.value for known in Strategy}:
		refuse(_("There is no strategy {0}.").format(strategy))
	words = [] if strategy == Strategy.FAST.value else [f"--{strategy}"]
	for name in VALUES:
		if given[name] not in (None, ""):
			words += [option(name), str(given[name])]
	words += [option(name) for name in FLAGS if given[name]]
	words += [f"--no-{name}" for name in ("web", "workers") if not given[name]]
	for phase in listed(given["maintenance_mode"]):
		words += ["--maintenance-mode", phase]
	for site in chosen_sites(given):
		words += ["--site", site]
	return words


def option(name: str) -> str:
	return f"--{name.replace('_', '-')}"


def chosen_sites(given: Mapping[str, Any]) -> list[str]:
	"""Without a migration the site only says whose web answer is checked: this one's."""
	named = listed(given["sites"]) if given["migrate"] else []
	if unknown := set(named) - {*sites(), "all"}:
		refuse(_("There is no site {0} on this bench.").format(", ".join(sorted(unknown))))
	return named or [frappe.local.site]


def listed(value: list | str | None) -> list[str]:
	"""A list, JSON of one, or names with commas."""
	if isinstance(value, str):
		value = json.loads(value) if value.strip().startswith("[") else value.split(",")
	return [str(item).strip() for item in value or () if str(item).strip()]


def parsed(words: tuple[str, ...]) -> Options:
	from fmx_restart.commands.safe_restart import options

	try:
		context = command_line.make_context("safe-restart", list(words))
		return options(context.params, [])
	except click.UsageError as error:
		refuse(error.format_message())
	except click.exceptions.Exit:  # an eager option among the values, such as --help
		refuse(_("These options start nothing."))
