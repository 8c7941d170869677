"""Facts about migrations and settings of sites."""

from __future__ import annotations

from dataclasses import dataclass

from fmx_restart.engine.events.operation import Event, Level
from fmx_restart.engine.migration import Finding, Gravity, Result, SiteMigration
from fmx_restart.engine.ports import (
	Setting,
)


@dataclass(frozen=True)
class MigrationAdopted(Event):
	"""A migration whose operation died goes on; the queue stays fenced until it has ended."""

	site: str
	log: str


@dataclass(frozen=True)
class MigrationFinding(Event):
	"""Known before anything was touched, and gone on in spite of it."""

	finding: Finding

	@property
	def level(self) -> Level:
		return Level.NOTE if self.finding.gravity is Gravity.NOTE else Level.WARNING


@dataclass(frozen=True)
class SettingChanged(Event):
	"""Told before it is written: whoever cleans up after us reads here what was found."""

	found: Setting
	new: Setting


@dataclass(frozen=True)
class SettingWasOn(Event):
	"""It is on already, and stays so afterwards."""

	site: str
	key: str


@dataclass(frozen=True)
class SettingRestored(Event):
	"""It is as it was before the operation."""

	found: Setting


@dataclass(frozen=True)
class SettingLeft(Event):
	"""Someone else changed it since we did. It stays as they set it."""

	level = Level.WARNING

	found: Setting


@dataclass(frozen=True)
class SettingFault(Event):
	"""A setting could not be changed or put back."""

	level = Level.ERROR
	site: str
	key: str
	reason: str


@dataclass(frozen=True)
class BackupStarted(Event):
	"""A site is being backed up; the output goes to `log`."""

	site: str
	log: str


@dataclass(frozen=True)
class BackupEnded(Event):
	"""The backup is written to `file`."""

	site: str
	file: str
	seconds: float


@dataclass(frozen=True)
class MigrationsPlanned(Event):
	"""The first of them starts now; --resume reads this list and what became of each."""

	sites: tuple[str, ...]


@dataclass(frozen=True)
class MigrationStarted(Event):
	"""A site is being migrated; the output goes to `log`."""

	site: str
	log: str
	timeout: float  # seconds


@dataclass(frozen=True)
class MigrationOutput(Event):
	"""A line of its output, secrets hidden. The log holds them all."""

	site: str
	line: str


@dataclass(frozen=True)
class MigrationEnded(Event):
	"""What became of one site."""

	migration: SiteMigration

	@property
	def level(self) -> Level:
		return Level.INFO if self.migration.result is Result.DONE else Level.ERROR


@dataclass(frozen=True)
class MigrationsStopped(Event):
	"""Someone asked us to stop: the migration under way was finished, these sites are not tried."""

	level = Level.WARNING

	sites: tuple[str, ...]
