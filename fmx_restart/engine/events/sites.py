"""Facts about migrations and settings of sites."""

from __future__ import annotations

from fmx_restart.engine.events.operation import Event, Level
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.migration import Finding, Gravity, Result, SiteMigration
from fmx_restart.engine.ports import (
	Setting,
)


@frozen
class MigrationAdopted(Event):
	"""A migration whose operation died goes on; the queue stays fenced until it has ended."""

	site: str
	log: str


@frozen
class MigrationFinding(Event):
	"""Known before anything was touched, and gone on in spite of it."""

	finding: Finding

	@property
	def level(self) -> Level:
		"""A note stays a note; whatever else the preflight finds about a site is a warning."""
		return Level.NOTE if self.finding.gravity is Gravity.NOTE else Level.WARNING


@frozen
class SettingChanged(Event):
	"""Told before it is written: whoever cleans up after us reads here what was found."""

	found: Setting
	new: Setting


@frozen
class SettingWasOn(Event):
	"""It is on already, and stays so afterwards."""

	site: str
	key: str


@frozen
class SettingRestored(Event):
	"""It is as it was before the operation."""

	found: Setting


@frozen
class SettingLeft(Event):
	"""Someone else changed it since we did. It stays as they set it."""

	level = Level.WARNING

	found: Setting


@frozen
class SettingFault(Event):
	"""A setting could not be changed or put back."""

	level = Level.ERROR
	site: str
	key: str
	reason: str


@frozen
class BackupStarted(Event):
	"""A site is being backed up; the output goes to `log`."""

	site: str
	log: str


@frozen
class BackupEnded(Event):
	"""The backup is written to `file`."""

	site: str
	file: str
	seconds: float


@frozen
class MigrationsPlanned(Event):
	"""The first of them starts now; --resume reads this list and what became of each."""

	sites: tuple[str, ...]


@frozen
class MigrationStarted(Event):
	"""A site is being migrated; the output goes to `log`."""

	site: str
	log: str
	timeout: float  # seconds


@frozen
class MigrationOutput(Event):
	"""A line of its output, secrets hidden. The log holds them all."""

	site: str
	line: str


@frozen
class MigrationEnded(Event):
	"""What became of one site."""

	migration: SiteMigration

	@property
	def level(self) -> Level:
		"""An error unless the site was migrated: a time-out counts as much as a failure."""
		return Level.INFO if self.migration.result is Result.DONE else Level.ERROR


@frozen
class MigrationsStopped(Event):
	"""Someone asked us to stop: the migration under way was finished, these sites are not tried."""

	level = Level.WARNING

	sites: tuple[str, ...]
