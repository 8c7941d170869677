"""
The order of an operation that Desk or the API starts: `<operation>.request.json`, 0600, beside the journal. It holds the
options as they will be carried out, and is all that the operation's process reads of them. CHECKS is the one closed list of
what may stand in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fmx_restart.adapters.private_file import read_private, write_new
from fmx_restart.engine.identity import is_operation_id
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, is_site_name

FORMAT = 2
LARGEST = 4 * 1024 * 1024  # bytes
LONGEST_NAME = 140  # characters, as Frappe's names have
MOST_SITES = 10_000
ORIGINS = ("desk", "api", "schedule")


class InvalidOrder(ValueError):
	"""An order that is not there, is not whole, or asks for what nobody may order. Its text is a sentence."""


def anything(value: Any) -> bool:
	"""Whatever the engine accepts (engine/options.py)."""
	return True


def is_name(value: str) -> bool:
	"""Not empty, not long, and printable."""
	return 0 < len(value) <= LONGEST_NAME and value.isprintable()


def are_few(sites: tuple[str, ...]) -> bool:
	"""No more sites than an order may name."""
	return len(sites) <= MOST_SITES


def is_without_command(migration: MigrationOptions | None) -> bool:
	"""--migrate-command runs any program: it is typed on the bench."""
	return migration is None or not migration.command


#: Field of Options → whether an order may have that value. Any other field must have its default.
CHECKS: dict[str, Callable[[Any], bool]] = {
	**dict.fromkeys(
		("strategy", "drain_timeout", "on_timeout", "force_kill_timeout", "web", "workers"), anything
	),
	**dict.fromkeys(("rolling_share", "rolling_timeout", "rolling_max_failures"), anything),
	**dict.fromkeys(("hosts", "maintenance", "ignore_code_faults", "update_config"), anything),
	**dict.fromkeys(("sites", "web_sites"), are_few),
	"migration": is_without_command,
	"requested_by": is_name,
	"origin": ORIGINS.__contains__,
}
USUAL = Options()


@dataclass(frozen=True)
class StartOrder:
	"""`options`: checked ones, with who asked for it and from where. Raises InvalidOrder."""

	operation: str
	site: str  # that started it
	options: Options

	def __post_init__(self) -> None:
		if (
			not is_operation_id(self.operation)
			or not isinstance(self.site, str)
			or not is_site_name(self.site)
		):
			raise InvalidOrder("Its operation or its site is not valid.")
		for name in (field.name for field in fields(Options)):
			value = getattr(self.options, name)
			if not (CHECKS[name](value) if name in CHECKS else value == getattr(USUAL, name)):
				raise InvalidOrder(f"{value!r} is not a value of {name} that Desk or the API may order.")

	def to_json(self) -> dict[str, Any]:
		"""As it is written into its file."""
		return {
			"format": FORMAT,
			"operation": self.operation,
			"site": self.site,
			"options": self.options.to_json(),
		}

	@classmethod
	def from_json(cls, value: Any) -> StartOrder:
		"""From what `to_json` returned. Raises InvalidOrder, and InvalidOptions for the options."""
		if not isinstance(value, dict) or value.get("format") != FORMAT:
			raise InvalidOrder("Another version of fmx_restart wrote it.")
		if set(value) != {"format", "operation", "site", "options"}:
			raise InvalidOrder("It does not have the fields that this version knows.")
		return cls(value["operation"], value["site"], Options.from_json(value["options"]))


def path_of(folder: Path, operation: str) -> Path:
	"""The order's file. Raises InvalidOrder for what is no id, as it would name another file."""
	if not is_operation_id(operation):
		raise InvalidOrder(f"{operation!r} is not an operation id.")
	return folder / f"{operation}.request.json"


def write(folder: Path, order: StartOrder) -> None:
	"""Before the operation has a ticket, so no launch meets half a file. Raises OSError, also where there is one already."""
	folder.mkdir(mode=0o700, parents=True, exist_ok=True)
	text = json.dumps(order.to_json(), indent=1, allow_nan=False) + "\n"
	write_new(path_of(folder, order.operation), text)


def read(folder: Path, operation: str) -> StartOrder:
	"""Raises InvalidOrder, with a sentence, where there is no such file or it is not one that `write` wrote."""
	path = path_of(folder, operation)
	try:
		order = StartOrder.from_json(json.loads(read_private(path, LARGEST)))
	except FileNotFoundError as error:
		raise InvalidOrder(f"This host has no file {path.name} in {folder}.") from error
	except (OSError, ValueError, TypeError, RecursionError) as error:
		raise InvalidOrder(f"{path} cannot be used: {error}") from error
	if order.operation != operation:
		raise InvalidOrder(f"{path} belongs to operation {order.operation}.")
	return order


def remove(folder: Path, operation: str) -> None:
	"""Of an operation that will not be launched."""
	with suppress(OSError):
		path_of(folder, operation).unlink()
