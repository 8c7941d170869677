"""The sites' configuration files in memory."""

from __future__ import annotations

from collections import defaultdict

from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.ports import Setting


class InMemorySettings:
	"""`files`: site → keys and values. `unreadable` and `unwritable` name the sites whose file is damaged."""

	def __init__(self) -> None:
		self.files: dict[str, dict[str, object]] = defaultdict(dict)
		self.unreadable: set[str] = set()
		self.unwritable: set[str] = set()

	def read(self, site: str, key: str) -> Setting:
		if site in self.unreadable:
			raise WrongEnvironment(f"the configuration of {site} cannot be read")
		file = self.files[site]
		return Setting(site, key, file.get(key), key in file)

	def replace(self, old: Setting, new: Setting) -> bool:
		now = self.read(old.site, old.key)
		if not any(is_same(now, setting) for setting in (old, new)):
			return False
		if not is_same(now, new):
			self._write(new)
		return True

	def _write(self, new: Setting) -> None:
		if new.site in self.unwritable:
			raise WrongEnvironment(f"the configuration of {new.site} cannot be written")
		if new.is_present:
			self.files[new.site][new.key] = new.value
		else:
			self.files[new.site].pop(new.key, None)


def is_same(one: Setting, other: Setting) -> bool:
	"""JSON tells 0 from false, Python's == does not."""
	return one == other and type(one.value) is type(other.value)
