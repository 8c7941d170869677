"""Which sites of a bench are asked whether web works: a folder alone makes none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fmx_restart.adapters.database_server import database_fault
from fmx_restart.adapters.json_file import read_object

MOST = 20  # sites that are asked around a restart; bench doctor asks all


@dataclass(frozen=True)
class AskedSites:
	"""`named`: those that somebody typed; they must answer. `others`: real ones of this bench, the default site first."""

	folder: Path  # the bench's sites
	named: tuple[str, ...] = ()
	others: tuple[str, ...] = ()

	@classmethod
	def of(cls, folder: Path, named: Iterable[str], known: Iterable[str], default: object) -> AskedSites:
		real = sorted(filter(is_real(folder), known), key=lambda site: site != default)
		named = tuple(filter(can_be_sent, dict.fromkeys(named)))
		return cls(folder, named, tuple(site for site in real if site not in named)[:MOST])

	@property
	def all(self) -> tuple[str, ...]:
		return (*self.named, *self.others)

	def is_there(self, site: str) -> bool:
		return (self.folder / site / "site_config.json").exists()

	def in_maintenance(self, site: str | None) -> bool:
		"""As the web process would find it now: the site's own setting wins over the common one."""
		return bool(self.settings_of(site).get("maintenance_mode"))

	def cause(self, site: str | None) -> str:
		"""What may be behind a server error, in a few words."""
		return database_fault(self.settings_of(site))

	def settings_of(self, site: str | None) -> dict:
		"""The site's own over the common ones; what cannot be read is left out."""
		paths = [self.folder / "common_site_config.json"]
		paths += [self.folder / site / "site_config.json"] if site else []
		settings: dict = {}
		for path in paths:
			with suppress(OSError, ValueError):
				settings |= read_object(path)[0]
		return settings


def can_be_sent(site: str) -> bool:
	"""
	As the value of a header, which is Latin-1. Frappe finds a site by the folder of that name, so nothing else will do; a
	browser that opens such a domain sends its IDNA name (xn--…).
	"""
	return site.isprintable() and all(ord(char) < 256 for char in site)


def is_real(folder: Path) -> Callable[[str], bool]:
	"""
	Whether a site names its database. A restored copy may do that too: only its answer tells. A name that HTTP cannot
	carry is no site that is served.
	"""

	def has_database(site: str) -> bool:
		with suppress(OSError, ValueError):
			return can_be_sent(site) and bool(
				read_object(folder / site / "site_config.json")[0].get("db_name")
			)
		return False

	return has_database
