"""
The options of an operation that Desk or the API starts, as typed fields, and the order that is written for it:
`<operation>.request.json`, 0600, beside the journal. CHECKS is the one closed list of what may be asked for.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fmx_restart.adapters.journal import write_all
from fmx_restart.engine.identity import is_operation_id
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


FORMAT = 1
LARGEST = 4 * 1024 * 1024  # bytes
LONGEST_NAME = 140  # characters, as Frappe's names have
ORIGINS = ("desk", "api")


@dataclass(frozen=True)
class StartOrder:
	operation: str
	site: str  # that started it
	origin: str  # desk or api
	requested_by: str
	request: StartRequest

	def __post_init__(self) -> None:
		"""Raises InvalidRequest."""
		is_name = isinstance(self.requested_by, str) and 0 < len(self.requested_by) <= LONGEST_NAME
		if not is_operation_id(self.operation) or not is_site_name(self.site) or self.origin not in ORIGINS:
			raise InvalidRequest("Its operation, site or origin is not valid.")
		if not is_name or not self.requested_by.isprintable():
			raise InvalidRequest("The name of whoever started it is not valid.")

	@classmethod
	def from_json(cls, found: Any) -> StartOrder:
		if not isinstance(found, dict) or set(found) != {"format", *cls.__dataclass_fields__}:
			raise InvalidRequest("It does not have the fields that this version knows.")
		if found.pop("format") != FORMAT:
			raise InvalidRequest("Another version of fmx_restart wrote it.")
		return cls(**{**found, "request": StartRequest.from_json(found["request"])})

	def argv(self) -> list[str]:
		"""The words after `bench safe-restart`."""
		identity = [f"--operation={self.operation}", f"--origin={self.origin}"]
		return [*self.request.argv(), "--yes", *identity, f"--requested-by={self.requested_by}"]


def path_of(folder: Path, operation: str) -> Path:
	if not is_operation_id(operation):
		raise InvalidRequest(f"{operation!r} is not an operation id.")
	return folder / f"{operation}.request.json"


def write(folder: Path, order: StartOrder) -> None:
	"""Before the operation has a ticket, so no launch meets half a file. Raises OSError, also where there is one already."""
	folder.mkdir(mode=0o700, parents=True, exist_ok=True)
	text = json.dumps({"format": FORMAT, **asdict(order)}, indent=1) + "\n"
	path = path_of(folder, order.operation)
	file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
	try:
		write_all(file, text.encode())
		os.fsync(file)
	except OSError:
		path.unlink()
		raise
	finally:
		os.close(file)


def read(folder: Path, operation: str) -> StartOrder:
	"""Raises InvalidRequest, with a sentence, where there is no such file or it is not one that `write` wrote."""
	path = path_of(folder, operation)
	try:
		order = StartOrder.from_json(json.loads(text_in(path)))
	except FileNotFoundError as error:
		raise InvalidRequest(f"This host has no file {path.name} in {folder}.") from error
	except (OSError, ValueError, TypeError) as error:
		raise InvalidRequest(f"{path} cannot be used: {error}") from error
	if order.operation != operation:
		raise InvalidRequest(f"{path} belongs to operation {order.operation}.")
	return order


def text_in(path: Path) -> str:
	file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
	with os.fdopen(file, "rb") as opened:
		found = os.fstat(file)
		if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
			raise InvalidRequest("It must be a file of this user's that nobody else can read or write.")
		data = opened.read(LARGEST + 1)
	if len(data) > LARGEST:
		raise InvalidRequest("It is too large.")
	return data.decode()


def remove(folder: Path, operation: str) -> None:
	"""Of an operation that will not be launched."""
	with suppress(OSError):
		path_of(folder, operation).unlink()
