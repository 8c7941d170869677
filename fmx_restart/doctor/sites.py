"""What checks ask about the sites: each one's configuration, database and web, all sites side by side."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fmx_restart.adapters.site_database import SiteDatabase, look_at_database
from fmx_restart.adapters.site_settings import site_settings
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.side_by_side import ask_each
from fmx_restart.doctor.words import error_name
from fmx_restart.engine.errors import WrongEnvironment

with suppress(ImportError):
	import pymysql  # noqa: F401 - now, and not within the time that a check has
with suppress(ImportError):
	import croniter  # noqa: F401 - likewise

UNKNOWN = SiteDatabase(fault="unknown")


@dataclass(frozen=True)
class Settings:
	"""Of a site. `fault`: why its configuration cannot be read."""

	values: Mapping
	fault: str = ""


def settings_of(patient: Patient) -> dict[str, Settings]:
	return patient.parts.get(
		"site settings", lambda: {site: read_settings(patient, site) for site in patient.sites}
	)


def read_settings(patient: Patient, site: str) -> Settings:
	try:
		return Settings(site_settings(patient.path, site))
	except WrongEnvironment as error:
		return Settings({}, str(error))


def readable(patient: Patient) -> dict[str, Mapping]:
	"""Site → its configuration, where it can be read."""
	return {site: settings.values for site, settings in settings_of(patient).items() if not settings.fault}


def databases(patient: Patient) -> dict[str, SiteDatabase]:
	"""Of every site whose configuration can be read."""
	configs = readable(patient)

	def read() -> dict[str, SiteDatabase]:
		found = dict(ask_each(list(configs), lambda site: look_at_database(site, configs[site]), not_asked))
		return {site: found.get(site, UNKNOWN) for site in configs}

	return patient.parts.get("databases", read)


def not_asked(error: Exception) -> SiteDatabase:
	return SiteDatabase(fault=error_name(error), is_asked=False)


def closed_by(patient: Patient) -> set[tuple[str, str]]:
	"""Site and key of the settings that an operation has changed which nobody has finished: it is told as such."""
	from fmx_restart.adapters.journal_reader import remains_in

	found: set[tuple[str, str]] = set()
	for left in patient.unfinished:
		with suppress(OSError):
			found |= {(site, key) for site, key in remains_in(left.journal).settings}
	return found
