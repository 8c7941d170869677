"""
The options of an operation that Desk or the API starts, as typed fields. CHECKS is the one closed list of what may be
asked for: the API builds a request through it, the launch reads one through it, and `argv` turns only these fields into
words of the command. There is no field for --migrate-command. Nothing of Frappe here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fmx_restart.engine.options import OnTimeout, Strategy

LONGEST_SITE = 255  # characters
MOST_SITES = 10_000
PHASES = ("drain", "migrate", "restart")
VALUES = (
	*("wait_workers_timeout", "on_timeout", "force_kill_timeout", "rolling_share", "rolling_max_failures"),
	"migrate_timeout",
)
FLAGS = ("migrate", "backup", "skip_failing", "force")
LISTS = {"maintenance_mode": "--maintenance-mode", "sites": "--site"}


class InvalidRequest(ValueError):
	"""A request that names something else than the options there are, or gives one of them an impossible value."""


@dataclass(frozen=True)
class StartRequest:
	"""Raises InvalidRequest for a value that no option has. None: the command's own default."""

	strategy: str = Strategy.WAIT_WORKERS.value
	wait_workers_timeout: float | None = None  # seconds
	on_timeout: str | None = None
	force_kill_timeout: float | None = None  # seconds
	rolling_share: float | None = None  # percent
	rolling_max_failures: int | None = None
	web: bool = True
	workers: bool = True
	migrate: bool = False
	migrate_timeout: float | None = None  # seconds for one site
	backup: bool = False
	skip_failing: bool = False
	force: bool = False
	sites: tuple[str, ...] = ()
	maintenance_mode: tuple[str, ...] = ()

	def __post_init__(self) -> None:
		for name, value in vars(self).items():
			if not CHECKS[name](value):
				raise InvalidRequest(f"{value!r} is not a value of {name}.")

	@classmethod
	def from_json(cls, found: Any) -> StartRequest:
		"""From what `to_json` returned. An unknown key is refused: it may be an option of another version."""
		if not isinstance(found, Mapping):
			raise InvalidRequest("The options are not an object.")
		if unknown := sorted(set(map(str, found)) - {field.name for field in fields(cls)}):
			raise InvalidRequest(f"There is no option {', '.join(unknown)}.")
		return cls(
			**{name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
		)

	def to_json(self) -> dict[str, Any]:
		return asdict(self)

	def argv(self) -> list[str]:
		"""What a person would type after `bench safe-restart`. A value is never a word of its own, so it is no option."""
		words = [] if self.strategy == Strategy.FAST.value else [f"--{self.strategy}"]
		values = {name: getattr(self, name) for name in VALUES}
		words += [f"{option(name)}={text_of(value)}" for name, value in values.items() if value is not None]
		words += [option(name) for name in FLAGS if getattr(self, name)]
		words += [f"--no-{name}" for name in ("web", "workers") if not getattr(self, name)]
		for name, word in LISTS.items():
			words += [f"{word}={value}" for value in getattr(self, name)]
		return words


def option(name: str) -> str:
	return f"--{name.replace('_', '-')}"


def text_of(value: float | str) -> str:
	return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_flag(value: Any) -> bool:
	return isinstance(value, bool)


def number(least: float, most: float = math.inf) -> Callable[[Any], bool]:
	"""A finite number within these bounds, or None."""

	def is_such(value: Any) -> bool:
		if value is None:
			return True
		is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
		return is_number and math.isfinite(value) and least <= value <= most

	return is_such


def whole_number(least: int) -> Callable[[Any], bool]:
	is_in_range = number(least)
	return lambda value: is_in_range(value) and not isinstance(value, float)


def one_of(known: set[str | None]) -> Callable[[Any], bool]:
	return lambda value: isinstance(value, (str, type(None))) and value in known


def are_sites(value: Any) -> bool:
	return isinstance(value, tuple) and len(value) <= MOST_SITES and all(map(is_site_name, value))


def is_site_name(value: Any) -> bool:
	"""A folder name, or `all`. Whether there is such a site is for the API and the command to say."""
	if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SITE:
		return False
	return value.isprintable() and "/" not in value and value not in (".", "..")


def are_phases(value: Any) -> bool:
	return isinstance(value, tuple) and all(phase in PHASES for phase in value)


CHECKS: dict[str, Callable[[Any], bool]] = {
	"strategy": one_of({strategy.value for strategy in Strategy}),
	"wait_workers_timeout": number(0),
	"on_timeout": one_of({None, *(what.value for what in OnTimeout)}),
	"force_kill_timeout": number(0),
	"rolling_share": number(0, 100),
	"rolling_max_failures": whole_number(1),
	"migrate_timeout": number(1),
	"sites": are_sites,
	"maintenance_mode": are_phases,
	**dict.fromkeys(("web", "workers", *FLAGS), is_flag),
}
