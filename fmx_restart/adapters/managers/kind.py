"""
What each kind of process manager offers, in a folder of its own beside this file. `<kind>/kind.py` has a KIND, and imports
nothing at its top that a bench without that manager would have to pay for: no SDK, no client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Protocol

from fmx_restart.adapters.managers.entries import Entry
from fmx_restart.adapters.managers.names import MANAGERS
from fmx_restart.adapters.process_table import ProcessTable, Row
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Processes


@frozen
class Where:
	"""Where a manager answers, for people."""

	url: str  # or what else tells it from others of its kind; without user and password
	source: str  # the setting, the file or the folder that named it
	host: str = ""  # the machine that it runs on, as it is known here; empty: this one
	user: str = ""  # that it is asked as; empty for none


class ManagedProcesses(Processes, Protocol):
	"""What the engine needs of a manager, and what `bench safe-restart managers` shows of it."""

	@property
	def where(self) -> Where:
		"""By its last answer. Asks nobody."""


class NamedManager(Protocol):
	"""One entry of fmx_restart_managers, as its kind has read it."""

	name: str  # as it was given, or made from the entry
	kind: str
	place: str  # what no second entry of its kind may name: its url, its scope
	password_file: str  # empty where there is none
	has_password: bool  # in common_site_config.json itself


@frozen
class Found:
	"""A manager of the bench. Its name is made unlike those of all others in discovery.py."""

	name: str
	kind: str
	processes: ManagedProcesses
	is_named: bool = False  # by fmx_restart_managers


class Obstacle(IntEnum):
	"""Why a place does not serve; the highest is the likeliest cause, and is told first."""

	ABSENT = 1
	UNEQUIPPED = 2  # it is there, and what asking it takes is not
	ODD = 3
	FOREIGN = 4
	LOCKED = 5
	UNSUPPORTED = 6  # what runs the bench is known, and cannot be used


@frozen
class Refusal:
	"""A place that was looked at and does not serve: why, and what to type."""

	obstacle: Obstacle
	message: str
	hint: str


@frozen
class Search:
	"""What a kind has found, and why other places that it looked at do not serve."""

	found: tuple[Found, ...] = ()
	refusals: tuple[Refusal, ...] = ()


class Kind(Protocol):
	"""All methods but `find` and `read` are cheap: they are asked for every process, or where nothing was found."""

	name: str  # of the kind, as fmx_restart_managers writes it
	keys: tuple[str, ...]  # of an entry, without kind and name
	place_key: str  # the key, or keys, that NamedManager.place is made of

	def read(self, entry: Entry, environ: Mapping[str, str]) -> NamedManager:
		"""Kind, keys and types were checked. Raises Odd. Asks nobody, and imports no client."""

	def find(self, bench_path: str, config: Mapping, named: Iterable[NamedManager]) -> Search:
		"""
		`named`: the entries of this kind, which are among what is found, whether they answer or not. Then whatever runs programs
		of this bench and was not named. Where nothing hints at this kind it costs nothing. Raises WrongEnvironment for a
		setting that cannot be used, or a client that an entry needs and that is not installed.
		"""

	def sign(self, bench_path: str, config: Mapping, table: ProcessTable) -> str:
		"""The first sign that it is meant to run this bench, in a few words; empty where there is none."""

	def runs(self, table: ProcessTable, row: Row) -> bool:
		"""Whether it has started this process."""


def sign_of_setting(config: Mapping, kind: str) -> str:
	"""That the setting names a manager of this kind, which would have been found if it answered; else empty."""
	entries = config.get(MANAGERS)
	is_named = isinstance(entries, list) and any(
		isinstance(entry, Mapping) and entry.get("kind") == kind for entry in entries
	)
	return f"{MANAGERS} in sites/common_site_config.json names {kind}" if is_named else ""


def wrong_environment(refusals: list[Refusal]) -> WrongEnvironment:
	"""One error for all places that were tried: the nearest miss first, the others after it."""
	main = max(refusals, key=lambda refusal: refusal.obstacle)
	others = [refusal.message for refusal in refusals if refusal is not main]
	also = f" Also tried: {'; '.join(others)}." if others else ""
	return WrongEnvironment(main.message, hint=main.hint + also)
