"""When a site's scheduled events were due. Frappe's rules, told from its tables."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fmx_restart.adapters.setting_rules import number_of
from fmx_restart.engine.frozen import frozen

#: frappe/core/doctype/scheduled_job_type. Other frequencies have a random hour of their own in newer versions.
CRONS = {
	"Yearly": "0 0 1 1 *",
	"Annual": "0 0 1 1 *",
	"Monthly": "0 0 1 * *",
	"Monthly Long": "0 0 1 * *",
	"Weekly": "0 0 * * 0",
	"Weekly Long": "0 0 * * 0",
	"Daily": "0 0 * * *",
	"Daily Long": "0 0 * * *",
	"Hourly": "0 * * * *",
	"Hourly Long": "0 * * * *",
}
INTERVAL = (
	240  # seconds between two runs of what is to run all the time, unless scheduler_interval says otherwise
)
YEARS = 8  # that are looked through for the next run: each 29th of February is in them
DORMANT_DAYS = 4.0  # Frappe's own default
DEFAULT_ZONE = "Asia/Kolkata"  # frappe.utils.get_system_timezone


@frozen
class Event:
	method: str
	frequency: str
	cron: str
	last: datetime  # its last execution, else its creation; naive, in the site's time zone


@frozen
class Overdue:
	method: str
	seconds: float


@frozen
class ScheduleRecord:
	"""What a site's database tells about its scheduler. Times are naive, in the site's time zone."""

	is_enabled: bool
	time_zone: str
	last_run: datetime | None  # of any event
	last_activity: datetime | None  # of any user
	dormant_days: float
	events: tuple[Event, ...]

	def now(self, instant: float) -> datetime | None:
		"""An instant as the site's own time without a zone, as Frappe writes it; None for a zone that nobody knows."""
		return local_time(instant, self.time_zone)

	def is_dormant(self, instant: float) -> bool:
		"""A site that nobody uses runs its events once a day. So it is where that cannot be told."""
		now = self.now(instant)
		if self.last_activity is None or now is None:
			return True
		return (now - self.last_activity).total_seconds() >= self.dormant_days * 86400

	def last_run_at(self, instant: float) -> float | None:
		"""Seconds since the epoch. None for never, and where that cannot be told."""
		now = self.now(instant)
		if self.last_run is None or now is None:
			return None
		return instant - (now - self.last_run).total_seconds()

	def overdue(self, instant: float, *, tolerance: float, config: Mapping) -> list[Overdue]:
		"""The longest overdue first. Empty for a dormant site, and where croniter, which Frappe brings, is not there."""
		now, overdue = self.now(instant), []
		if now is None or self.is_dormant(instant):
			return []
		for event in self.events:
			due = next_run(event, number_of(config, "scheduler_interval", INTERVAL))
			late = (now - due).total_seconds() if due else 0.0
			if late > tolerance:
				overdue.append(Overdue(event.method, late))
		return sorted(overdue, key=lambda event: -event.seconds)

	def never_due(self, config: Mapping) -> list[Event]:
		"""Events whose cron line cannot be read, or matches no day that comes (0 0 31 2 *)."""
		if not has_croniter():
			return []
		interval = number_of(config, "scheduler_interval", INTERVAL)
		return [event for event in self.events if cron_of(event, interval) and not next_run(event, interval)]


def cron_of(event: Event, interval: int) -> str:
	"""Empty for a frequency that a newer version may have. `interval`: seconds between two runs of what runs all the time."""
	if event.frequency == "All":
		return f"*/{min(59, max(1, interval // 60))} * * * *"
	return event.cron or CRONS.get(event.frequency, "")


@cache
def has_croniter() -> bool:
	"""Frappe brings it."""
	return importlib.util.find_spec("croniter") is not None


def next_run(event: Event, interval: int) -> datetime | None:
	"""None where it cannot be told, and where there is none."""
	cron = cron_of(event, interval)
	if not has_croniter():
		return None
	from croniter import croniter

	try:
		return (
			croniter(cron, event.last, max_years_between_matches=YEARS).get_next(datetime) if cron else None
		)
	except Exception:  # noqa: BLE001  a line that is none ends in whatever error croniter happens to meet
		return None


def local_time(instant: float, zone: str) -> datetime | None:
	"""Naive, as Frappe writes times into its tables. None where nobody knows the zone."""
	timezone = zone_named(zone)
	return None if timezone is None else datetime.fromtimestamp(instant, timezone).replace(tzinfo=None)


def zone_named(name: str) -> tzinfo | None:
	"""None for a zone that nobody knows."""
	name = name or DEFAULT_ZONE
	try:
		return ZoneInfo(name)
	except (
		ZoneInfoNotFoundError,
		ValueError,
		OSError,
	):  # the last for a name such as Europe, which is a folder
		pass
	try:
		import pytz  # brings its own data, where the machine has none; Frappe's own library

		return pytz.timezone(name)
	except Exception:  # noqa: BLE001  pytz.UnknownTimeZoneError, and what it makes of a text that is no name
		return None
