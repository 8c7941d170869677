"""Maintenance mode and the scheduler's pause: on in the phases that were asked for, else as they were found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError, SettingsFault, WrongEnvironment
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Setting
from fmx_restart.engine.report import KeptSetting

if TYPE_CHECKING:
	from fmx_restart.engine.held import Held

MAINTENANCE, PAUSE = "maintenance_mode", "pause_scheduler"
#: the scheduler would look into tables that change under it, until the old one is gone
PAUSED = {Phase.BACKUP, Phase.MIGRATE, Phase.RESTART}


class KeptSettings:
	"""
	A context manager: however the block ends, every setting is as it was found. What was found is told (and so
	journaled) before it is changed. A setting that was on already is not touched, neither then nor afterwards.
	"""

	def __init__(self, operation: Held) -> None:
		self.operation, self.port = operation, operation.bench.settings
		self.changed = operation.changed_settings

	def __enter__(self) -> KeptSettings:
		"""Raises WrongEnvironment when a file that will be changed cannot be read."""
		wanted = set().union(*(self.wanted(phase) for phase in Phase))
		if wanted and self.port is None:
			raise WrongEnvironment("Settings of sites cannot be changed here. Nothing was changed.")
		for key in wanted:
			for site in self.operation.each(self.operation.options.sites):
				self.port.read(site, key)
		return self

	def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
		if not self.operation.has_lost_lock:  # whoever has the bench now may need them as they are
			self.restore(is_told=error is None)

	def restore(self, *, is_told: bool = True) -> None:
		"""Raises LockLost; SettingsFault where one could not be put back and nothing else is told."""
		for kept in self.operation.each(list(self.changed.values()), heeds_stop=False):
			self.put_back(kept)
		left = [kept for kept in self.operation.report.settings if kept.reason]
		if left and is_told:
			names = "; ".join(f"{kept.found.key} of {kept.found.site}: {kept.reason}" for kept in left)
			raise SettingsFault(
				f"All was restarted, but these settings could not be restored: {names}",
				hint="Check the site's site_config.json; the journal has the former values.",
			)

	def adopt(self, found: Iterable[Setting]) -> None:
		"""What an operation that died had found and changed."""
		for setting in found:
			kept = self.changed[setting.site, setting.key] = KeptSetting(setting)
			self.operation.report.settings.append(kept)

	def follow(self, phase: Phase) -> None:
		"""
		Before the phase begins. Raises LockLost, and any fault while all can be undone; later a fault is told, and must not
		stop us.
		"""
		wanted, each = self.wanted(phase), self.operation.each
		for kept in each([kept for kept in self.changed.values() if kept.found.key not in wanted]):
			self.put_back(kept)
		for key in sorted(wanted):
			for site in each(self.operation.options.sites):
				self.turn_on(site, key)

	def wanted(self, phase: Phase) -> set[str]:
		options = self.operation.options
		wanted = {PAUSE} if options.migration and phase in PAUSED else set()
		# a backup without the writes of the minutes before the migration would be of little use
		asked = Phase.MIGRATE if phase is Phase.BACKUP else phase
		return wanted | {MAINTENANCE} if asked in options.maintenance else wanted

	def turn_on(self, site: str, key: str) -> None:
		if (site, key) in self.changed:
			return
		try:
			self._turn_on(site, key)
		except OperationError as error:
			if self.operation.phase.can_be_undone:
				raise
			self.operation.emit(events.SettingFault(site, key, str(error)))

	def _turn_on(self, site: str, key: str) -> None:
		found = self.port.read(site, key)
		if found.is_present and found.value:
			self.operation.emit(events.SettingWasOn(site, key))
			return
		on = Setting(site, key, 1, True)
		kept = self.changed[site, key] = KeptSetting(found)
		self.operation.report.settings.append(kept)
		self.operation.emit(events.SettingChanged(found, on))
		self.port.replace(found, on)

	def put_back(self, kept: KeptSetting) -> None:
		"""Compare and restore: who changed it since then meant it."""
		found = kept.found
		del self.changed[found.site, found.key]
		try:
			if self.port.replace(Setting(found.site, found.key, 1, True), found):
				self.operation.emit(events.SettingRestored(found))
				kept.is_restored = True
			else:
				self.operation.emit(events.SettingLeft(found))
		except OperationError as error:
			kept.reason = str(error)
			self.operation.emit(events.SettingFault(found.site, found.key, str(error)))
