"""How a site's database does, and what it tells about the scheduler: one connection, a few questions, each in time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fmx_restart.adapters.database_server import database_fault, odd_database_setting
from fmx_restart.adapters.migrations.database import connected, transactions, waiters
from fmx_restart.adapters.scheduled_events import DORMANT_DAYS, Event, ScheduleRecord
from fmx_restart.adapters.stopwatch import shortest
from fmx_restart.engine.migration import Gravity

TIMEOUT = 1.0  # seconds for connecting, and for each answer
LONG = 600  # seconds; a job's transaction may well last minutes
LOCK_WAIT = "set session lock_wait_timeout = 1"  # a table that somebody else has locked must not stop us
SETTINGS = """
	select field, value from tabSingles
	where doctype = 'System Settings' and field in ('enable_scheduler', 'time_zone', 'dormant_days')
"""
EVENTS = """
	select method, frequency, cron_format, coalesce(last_execution, creation), last_execution
	from `tabScheduled Job Type` where stopped = 0
"""
ACTIVITY = "select max(modified) from `tabActivity Log`"


@dataclass(frozen=True)
class Unwell:
	"""Something in the database that holds up others; `text` goes on after "its"."""

	text: str
	remedy: str


@dataclass(frozen=True)
class SiteDatabase:
	"""`fault`: why it cannot be asked; everything else is unknown then."""

	fault: str = ""
	is_asked: bool = True  # False: it could not even be tried, as its settings cannot be read
	is_reached: bool = True  # False: the server itself does not answer
	latency: float | None = None  # seconds for the shortest answer; None for what is not MariaDB
	transactions: tuple[Unwell, ...] = ()  # long ones, where the user may see them
	waiters: tuple[Unwell, ...] = ()  # connections that wait for a locked table
	schedule: ScheduleRecord | None = None


def look_at_database(
	site: str, config: Mapping, *, long: int = LONG, timeout: float = TIMEOUT
) -> SiteDatabase:
	"""Raises nothing: what is wrong is the answer."""
	if odd := odd_database_setting(config):
		return not_asked(odd)
	if (config.get("db_type") or "mariadb") != "mariadb":
		fault = database_fault(config)
		return SiteDatabase(fault=fault, is_reached=not fault)
	import pymysql  # Frappe's own driver

	try:
		with connected(config, timeout) as cursor:
			return ask(site, cursor, long)
	except (pymysql.MySQLError, OSError) as error:
		# 2000 and above are the client's own: no connection, or none any more
		code = error.args[0] if error.args and isinstance(error.args[0], int) else 2003
		return SiteDatabase(fault=reason(error), is_reached=code < 2000)
	except KeyError as error:
		return not_asked(f"{error.args[0]} is not set" if error.args else "a setting is missing")
	except Exception as error:  # noqa: BLE001 - no text of it: pymysql quotes parts of a password that it cannot send
		return not_asked(type(error).__name__)


def not_asked(why: str) -> SiteDatabase:
	return SiteDatabase(fault=why, is_asked=False)


def ask(site: str, cursor, long: int) -> SiteDatabase:
	cursor.execute(LOCK_WAIT)
	latency = shortest(lambda: cursor.execute("select 1"))
	held = [it for it in transactions(site, cursor, long, long) if it.gravity is Gravity.PASSING]
	return SiteDatabase(
		latency=latency,
		transactions=tuple(Unwell(it.text, it.remedy) for it in held),
		waiters=tuple(Unwell(it.text, it.remedy) for it in waiters(site, cursor)),
		schedule=schedule_of(cursor),
	)


def schedule_of(cursor) -> ScheduleRecord | None:
	"""None where Frappe's tables are not there yet, or are locked."""
	import pymysql

	try:
		cursor.execute(SETTINGS)
		settings = dict(cursor.fetchall())
		cursor.execute(EVENTS)
		rows = cursor.fetchall()
		cursor.execute(ACTIVITY)
		[activity] = cursor.fetchone()
	except (pymysql.ProgrammingError, pymysql.OperationalError):
		return None
	return ScheduleRecord(
		is_enabled=settings.get("enable_scheduler") == "1",
		time_zone=str(settings.get("time_zone") or ""),
		last_run=max(filter(None, (moment(row[4]) for row in rows)), default=None),
		last_activity=moment(activity),
		dormant_days=days(settings.get("dormant_days")),
		events=tuple(
			Event(row[0], row[1] or "", row[2] or "", last) for row in rows if (last := moment(row[3]))
		),
	)


def moment(value: object) -> datetime | None:
	"""pymysql hands on a date that no calendar has (0000-00-00) as text."""
	return value if isinstance(value, datetime) else None


def days(value: object) -> float:
	try:
		found = float(str(value or DORMANT_DAYS))
	except ValueError:
		return DORMANT_DAYS
	return found if math.isfinite(found) else DORMANT_DAYS


def reason(error: Exception) -> str:
	"""The server's own words. They hold a user's name and an address, and no password."""
	return str(error.args[-1] if error.args else error)
