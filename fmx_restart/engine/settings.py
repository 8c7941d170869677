"""Maintenance mode and the scheduler's pause: on in the phases that were asked for, else as they were found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError, SettingsFault
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
	A context manager: however the block ends, every setting is as it was before. The former value is emitted (and so
	journaled) before it is changed. A setting that was on already is not touched, neither then nor afterwards.
	"""

	def __init__(self, operation: Held) -> None:
		self.operation, self.port = operation, operation.bench.settings
		self.changed = operation.changed_settings

	def __enter__(self) -> KeptSettings:
		"""Raises WrongEnvironment when a file that will be changed cannot be read."""
		keys = set().union(*(self.wanted(phase) for phase in Phase))
		for key in keys:
			for site in self.operation.each(self.operation.options.sites):
				self.port.read(site, key)
		return self

	def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
		if not self.operation.has_lost_lock:  # the operation that has the bench now may need them as they are
			self.restore(raises=error is None)

	def restore(self, *, raises: bool = True) -> None:
		"""Put all back. Raises LockLost; with `raises` also SettingsFault, where one could not be put back."""
		for kept in self.operation.each(list(self.changed.values()), heeds_stop=False):
			self.put_back(kept)
		left = [kept for kept in self.operation.report.settings if kept.reason]
		if left and raises:
			names = "; ".join(f"{kept.found.key} of {kept.found.site}: {kept.reason}" for kept in left)
			what = (
				"These settings" if self.operation.is_recovery else "The restart is done, but these settings"
			)
			raise SettingsFault(
				f"{what} could not be restored: {names}",
				hint="Check the site's site_config.json; the journal has the former values.",
			)

	def adopt(self, settings: Iterable[Setting]) -> None:
		"""Take over what an operation that died had changed. `settings`: as they were before."""
		for setting in settings:
			kept = self.changed[setting.site, setting.key] = KeptSetting(setting)
			self.operation.report.settings.append(kept)

	def follow(self, phase: Phase) -> None:
		"""
		Switch all settings as this phase wants them, before it begins. Raises LockLost, and any fault while everything can be
		undone; later a fault is only emitted, as it must not stop the restart.
		"""
		wanted, each = self.wanted(phase), self.operation.each
		for kept in each([kept for kept in self.changed.values() if kept.found.key not in wanted]):
			self.put_back(kept)
		for key in sorted(wanted):
			for site in each(self.operation.options.sites):
				self.turn_on(site, key)

	def wanted(self, phase: Phase) -> set[str]:
		"""Keys that are on in this phase."""
		options = self.operation.options
		wanted = {PAUSE} if options.migration and phase in PAUSED else set()
		# a backup without the writes of the minutes before the migration would be of little use
		named = Phase.MIGRATE if phase is Phase.BACKUP else phase
		return wanted | {MAINTENANCE} if named in options.maintenance else wanted

	def turn_on(self, site: str, key: str) -> None:
		"""Raises an OperationError while everything can be undone; later it is emitted."""
		if (site, key) in self.changed:
			return
		try:
			self._turn_on(site, key)
		except OperationError as error:
			if self.operation.phase.can_be_undone:
				raise
			self.operation.emit(events.SettingFault(site, key, str(error)))

	def _turn_on(self, site: str, key: str) -> None:
		former = self.port.read(site, key)
		if former.is_present and former.value:
			self.operation.emit(events.SettingWasOn(site, key))
			return
		on = Setting(site, key, 1, True)
		kept = self.changed[site, key] = KeptSetting(former)
		self.operation.report.settings.append(kept)
		self.operation.emit(events.SettingChanged(former, on))
		self.port.replace(former, on)

	def put_back(self, kept: KeptSetting) -> None:
		"""Restore it unless someone changed it since: that was meant."""
		former = kept.found
		del self.changed[former.site, former.key]
		try:
			if self.port.replace(Setting(former.site, former.key, 1, True), former):
				self.operation.emit(events.SettingRestored(former))
				kept.is_restored = True
			else:
				self.operation.emit(events.SettingLeft(former))
		except OperationError as error:
			kept.reason = str(error)
			self.operation.emit(events.SettingFault(former.site, former.key, str(error)))
