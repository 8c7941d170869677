"""
Starts at a set time: `<id>.schedule.json` beside the journals, 0600, one for each. Nothing else is read of them when their
time has come, and nothing of any database.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from shlex import quote

from fmx_restart.adapters.private_file import read_private, write_private
from fmx_restart.adapters.scheduled_events import zone_named
from fmx_restart.adapters.setting_rules import number_of
from fmx_restart.adapters.site_config import file_lock
from fmx_restart.engine.decoder import decoder_of
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import is_operation_id
from fmx_restart.engine.options import Options, is_site_name
from fmx_restart.engine.start_time import REPEATS, StartTime, shown

FORMAT = 1
LARGEST = 4 * 1024 * 1024  # bytes
MOST = 50  # of one bench
MOST_OF_A_SITE = 10  # of one that does not command it
MOST_OF_OTHERS = 25  # of all that do not command it: the rest is for those that do
ID = re.compile(r"at-[0-9a-f]{8}")
ENDING = ".schedule.json"
LOCK = "schedule.lock"
ASKED_FROM = ("terminal", "desk", "api")
PATIENCE = 10.0  # seconds for whoever changes one at this moment
KEPT_FOR = 7 * 86400.0  # seconds that one is still shown which was not started
INTERVAL = 240  # seconds between two looks of a site's scheduler, unless scheduler_interval says otherwise
TICK = 60.0  # seconds that the scheduler itself may take to see that a look is due


@frozen
class Outcome:
	"""What became of one time."""

	at: float  # seconds since the epoch: the time that was set
	operation: str  # that was started, or that stands for the one that was not
	reason: str = ""  # why it was not started; empty where it was


@frozen
class ScheduledStart:
	id: str
	site: str  # whose scheduler starts it
	user: str  # who asked: a user of that site, or whoever typed it on the bench
	asked_from: str  # of ASKED_FROM
	when: StartTime
	options: Options
	key: str = ""  # the client's idempotency key
	starting: str = ""  # the operation that is being started at this moment
	last: Outcome | None = None
	has_waited: bool = False  # another operation held the bench when its window began
	is_over: bool = False  # its only time has passed without a start: kept to be shown

	def is_sound(self) -> bool:
		"""Whether its names are names. Types are checked by the decoder, options by themselves."""
		return (
			ID.fullmatch(self.id) is not None
			and is_site_name(self.site)
			and self.asked_from in ASKED_FROM
			and self.when.repeat in ("", *REPEATS)
			and (not self.starting or is_operation_id(self.starting))
		)


def new_id() -> str:
	"""As good as never the same twice, on any host."""
	return f"at-{secrets.token_hex(4)}"


def to_text(start: ScheduledStart) -> str:
	"""As its file has it."""
	value = {**asdict(start), "options": start.options.to_json(), "format": FORMAT}
	return json.dumps(value, indent=1, allow_nan=False) + "\n"


def from_text(text: str) -> ScheduledStart:
	"""Raises ValueError for what to_text did not write, or another version did; RecursionError."""
	value = json.loads(text)
	if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
		raise ValueError("Another version of fmx_restart wrote it.")
	start = decoder_of(ScheduledStart, strict=True)(value)
	start.options.checked()
	if not start.is_sound():
		raise ValueError("Its names are not valid.")
	return start


class Schedule:
	"""The scheduled starts of one bench. Whoever changes one keeps the lock meanwhile."""

	def __init__(self, folder: Path) -> None:
		self.folder = folder

	@contextmanager
	def locked(self, patience: float = PATIENCE) -> Iterator[None]:
		"""Raises WrongEnvironment where someone else keeps it for so long, or the folder cannot be written."""
		with suppress(OSError):  # the lock says what is wrong
			self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
		with ExitStack() as stack:
			try:
				stack.enter_context(file_lock(self.folder / LOCK, patience))
			except WrongEnvironment as error:
				raise WrongEnvironment(
					f"The schedule cannot be changed now: {error} Nothing was changed.",
					hint=f"Try again in a minute. Who keeps it, shows: fuser -v {quote(str(self.folder / LOCK))}",
				) from error
			yield

	def all(self) -> list[ScheduledStart]:
		"""Those that can be read, the next one first."""
		found = []
		for path in self.folder.glob(f"at-*{ENDING}"):
			with suppress(OSError, ValueError, RecursionError):
				found.append(self.read(path.name.removesuffix(ENDING)))
		return sorted(found, key=lambda start: (start.when.at, start.id))

	def unreadable(self) -> dict[str, str]:
		"""Name of the file → why it cannot be used."""
		faults = {}
		for path in sorted(self.folder.glob(f"at-*{ENDING}")):
			try:
				self.read(path.name.removesuffix(ENDING))
			except FileNotFoundError:
				continue
			except (OSError, ValueError, RecursionError) as error:
				faults[path.name] = str(error)
		return faults

	def read(self, id: str) -> ScheduledStart:
		"""Raises OSError, ValueError and RecursionError, ValueError also for what is no id: it becomes a file's name."""
		start = from_text(read_private(self._path(id), LARGEST))
		if start.id != id:
			raise ValueError(f"It belongs to {start.id}.")
		return start

	def find(self, id: str) -> ScheduledStart | None:
		"""None for one that is not there, or cannot be read."""
		with suppress(OSError, ValueError, RecursionError):
			return self.read(id)
		return None

	def write(self, start: ScheduledStart) -> None:
		"""New, or in place of the one with its id. Raises WrongEnvironment; the old one is whole then."""
		try:
			write_private(self._path(start.id), to_text(start))
		except OSError as error:
			raise WrongEnvironment(
				f"The schedule cannot be written: {error.strerror}. Nothing was changed.",
				hint=f"The bench user must be able to write into {self.folder}, and the disk must have room.",
			) from error

	def remove(self, id: str) -> None:
		"""Does nothing where it is gone. Raises OSError, ValueError."""
		self._path(id).unlink(missing_ok=True)

	def _path(self, id: str) -> Path:
		if not ID.fullmatch(id):
			raise ValueError(f"{id!r} is not the id of a scheduled start.")
		return self.folder / f"{id}{ENDING}"


def lateness(config: Mapping) -> float:
	"""Seconds that a start may be late, as the scheduler looks only so often. `config`: common_site_config.json."""
	return number_of(config, "scheduler_interval", INTERVAL) + TICK


def latest(when: StartTime, config: Mapping) -> float:
	"""When it is too late for it: where no window was asked for, not before the scheduler has looked."""
	return when.until if when.end else max(when.until, when.at + lateness(config))


def text_of(when: StartTime) -> str:
	"""Day, time, zone, and how often."""
	return shown(when, zone_named(when.zone))
