"""When a site's scheduled events were due. Frappe's rules, told from its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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
DORMANT_DAYS = 4.0  # Frappe's own default
DEFAULT_ZONE = "Asia/Kolkata"  # frappe.utils.get_system_timezone


@dataclass(frozen=True)
class Event:
	method: str
	frequency: str
	cron: str
	last: datetime  # its last execution, else its creation; naive, in the site's time zone


@dataclass(frozen=True)
class Overdue:
	method: str
	seconds: float


@dataclass(frozen=True)
class ScheduleRecord:
	"""What a site's database tells about its scheduler. Times are naive, in the site's time zone."""

	is_enabled: bool
	time_zone: str
	last_run: datetime | None  # of any event
	last_activity: datetime | None  # of any user
	dormant_days: float
	events: tuple[Event, ...]

	def now(self, instant: float) -> datetime:
		return local_time(instant, self.time_zone)

	def is_dormant(self, instant: float) -> bool:
		"""A site that nobody uses runs its events once a day."""
		if self.last_activity is None:
			return True
		return (self.now(instant) - self.last_activity).total_seconds() >= self.dormant_days * 86400

	def last_run_at(self, instant: float) -> float | None:
		"""Seconds since the epoch."""
		return (
			None if self.last_run is None else instant - (self.now(instant) - self.last_run).total_seconds()
		)

	def overdue(self, instant: float, *, tolerance: float, config: Mapping) -> list[Overdue]:
		"""The longest overdue first. Empty for a dormant site, and where croniter, which Frappe brings, is not there."""
		now, found = self.now(instant), []
		if self.is_dormant(instant):
			return []
		for event in self.events:
			due = next_run(event, int(config.get("scheduler_interval") or INTERVAL))
			late = (now - due).total_seconds() if due else 0.0
			if late > tolerance:
				found.append(Overdue(event.method, late))
		return sorted(found, key=lambda overdue: -overdue.seconds)


def next_run(event: Event, interval: int) -> datetime | None:
	"""None where it cannot be told."""
	cron = event.cron or CRONS.get(event.frequency)
	if event.frequency == "All":
		cron = f"*/{max(1, interval // 60)} * * * *"
	try:
		from croniter import CroniterBadCronError, croniter
	except ImportError:
		return None
	try:
		return croniter(cron, event.last).get_next(datetime) if cron else None
	except CroniterBadCronError:
		return None


def local_time(instant: float, zone: str) -> datetime:
	"""Naive, as Frappe writes times into its tables."""
	try:
		found = ZoneInfo(zone or DEFAULT_ZONE)
	except (ZoneInfoNotFoundError, ValueError):
		import pytz  # brings its own data, where the machine has none; Frappe's own library

		found = pytz.timezone(zone or DEFAULT_ZONE)
	return datetime.fromtimestamp(instant, found).replace(tzinfo=None)
