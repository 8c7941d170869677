"""A site's database: whether it answers, how it does, and what it says about being migrated now."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from fmx_restart.adapters.redis_server import shortest
from fmx_restart.adapters.scheduled_events import DORMANT_DAYS, Event, ScheduleRecord
from fmx_restart.adapters.setting_rules import odd_settings, port_number
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.migration import Finding, Gravity

PORTS = {"mariadb": 3306, "postgres": 5432}
CONNECT_TIMEOUT = 2.0  # seconds


def odd_database_setting(config: Mapping) -> str:
	"""The first setting of the database that cannot be read, without its value; empty where all can."""
	return next((str(setting) for setting in odd_settings(config, "db_")), "")


def database_fault(config: Mapping) -> str:
	"""
	In a few words, with the address. Empty when it takes connections, and where there is no server (sqlite). Raises
	nothing.
	"""
	if odd := odd_database_setting(config):
		return f"its database cannot be asked: {odd}"
	kind = config.get("db_type") or "mariadb"
	if kind not in PORTS:
		return ""
	if path := config.get("db_socket"):
		return attempt(path, path)
	host, port = config.get("db_host") or "127.0.0.1", port_number(config.get("db_port")) or PORTS[kind]
	return attempt((host, port), f"{host}:{port}")


def attempt(address: tuple[str, int] | str, name: str) -> str:
	"""Connect and hang up. What is wrong as the rest of a sentence, empty where it answers; nothing is raised."""
	try:
		if not isinstance(address, str):
			socket.create_connection(address, CONNECT_TIMEOUT).close()
			return ""
		with socket.socket(socket.AF_UNIX) as connection:
			connection.settimeout(CONNECT_TIMEOUT)
			connection.connect(address)
	except OSError as error:
		return f"its database at {name} does not answer ({error.strerror or error})"
	except (ValueError, OverflowError) as error:  # an address that no resolver and no kernel takes
		return f"its database at {name} cannot be asked ({type(error).__name__})"
	return ""


INSPECT_TIMEOUT = 3  # seconds for the connection, and for each answer
LONG_TRANSACTION = 10  # seconds; a web request's transaction is over by then
IDLE = 30  # seconds
NO_PRIVILEGE = 1227  # ER_SPECIFIC_ACCESS_DENIED_ERROR

TRANSACTIONS = """
	select t.trx_mysql_thread_id, p.user, p.host, timestampdiff(second, t.trx_started, now())
	from information_schema.innodb_trx t join information_schema.processlist p on p.id = t.trx_mysql_thread_id
	where p.db = database() and p.id != connection_id() and t.trx_started <= now() - interval %s second
"""
WAITERS = """
	select id, user, host, time from information_schema.processlist
	where db = database() and state like 'Waiting for table metadata lock%%' and time >= 1
"""
IDLERS = """
	select id, user, host, time from information_schema.processlist
	where db = database() and id != connection_id() and command = 'Sleep' and time >= %s
"""
SIZES = """
	select coalesce(sum(data_length + index_length), 0), coalesce(max(data_length + index_length), 0), @@datadir
	from information_schema.tables where table_schema = database()
"""


@frozen
class Sizes:
	"""In bytes. `folder` is None when it is not on this machine."""

	database: int
	largest_table: int
	folder: Path | None


def inspect_database(
	site: str, config: Mapping, *, long: int = LONG_TRANSACTION, idle: int = IDLE
) -> tuple[list[Finding], Sizes | None]:
	"""`long`, `idle`: from how many seconds on a transaction, and a connection that does nothing, is told."""
	if odd := odd_database_setting(config):
		return [not_inspected(site, odd)], None
	if (kind := config.get("db_type") or "mariadb") != "mariadb":
		return [
			Finding(site, Gravity.NOTE, f"its database is {kind}: nothing is known about open transactions")
		], None
	import pymysql  # Frappe's own driver

	try:
		with connected(config) as cursor:
			findings = [*transactions(site, cursor, long, idle), *waiters(site, cursor)]
			return findings, sizes(cursor, config)
	except (pymysql.MySQLError, OSError) as error:
		text = f"its database does not answer: {error.args[-1] if error.args else error}"
		return [Finding(site, Gravity.BLOCKS, text, "Start it, or look at db_host and db_port.")], None
	except Exception as error:  # noqa: BLE001 - no text of it: pymysql quotes parts of a password that it cannot send
		why = f"{error.args[0]} is not set" if isinstance(error, KeyError) else type(error).__name__
		return [not_inspected(site, why)], None


def not_inspected(site: str, why: str) -> Finding:
	"""Nothing is migrated where nobody can tell what the database is doing: this ends the preflight."""
	remedy = f"Correct the settings that begin with db_ in sites/{site}/site_config.json or common_site_config.json."
	return Finding(site, Gravity.BLOCKS, f"its database could not be asked: {why}", remedy)


@contextmanager
def connected(config: Mapping, timeout: int = INSPECT_TIMEOUT) -> Iterator:
	"""
	A cursor on the site's MariaDB with its own user. `timeout`: seconds for the connection and for each answer. Raises
	pymysql's errors, and KeyError where the settings name no database.
	"""
	import pymysql

	ssl = {name: config[f"db_ssl_{name}"] for name in ("ca", "cert", "key") if config.get(f"db_ssl_{name}")}
	place = (
		{"unix_socket": config["db_socket"]}
		if config.get("db_socket")
		else {
			"host": config.get("db_host") or "127.0.0.1",
			"port": port_number(config.get("db_port")) or 3306,
		}
	)
	connection = pymysql.connect(
		user=config.get("db_user") or config["db_name"],
		password=config["db_password"],
		database=config["db_name"],
		connect_timeout=timeout,
		read_timeout=timeout,
		**({"ssl": ssl} if ssl else {}),
		**place,
	)
	with closing(connection), connection.cursor() as cursor:
		yield cursor


def transactions(site: str, cursor, long: int, idle: int) -> list[Finding]:
	"""Frappe gives a site's user no PROCESS privilege: then only its own idle connections can be seen."""
	import pymysql

	try:
		cursor.execute(TRANSACTIONS, (long,))
	except pymysql.OperationalError as error:
		if error.args[0] != NO_PRIVILEGE:
			raise
		return idlers(site, cursor, idle)
	text = "connection {} of {} ({}) has had a transaction open for {} s"
	remedy = "End it (e.g. close the bench console), or in MariaDB: KILL {};"
	return [
		Finding(site, Gravity.TRANSIENT, text.format(*row), remedy.format(row[0]))
		for row in cursor.fetchall()
	]


def idlers(site: str, cursor, idle: int) -> list[Finding]:
	"""
	Connections that have been idle for `idle` seconds. They are only noted: whether one has a transaction open cannot be
	seen.
	"""
	cursor.execute(IDLERS, (idle,))
	text = (
		"connection {} of {} ({}) has been idle for {} s; if it has a transaction open, as a bench console may, it will"
		" hold up the migration"
	)
	return [Finding(site, Gravity.NOTE, text.format(*row)) for row in cursor.fetchall()]


def waiters(site: str, cursor) -> list[Finding]:
	"""Connections that wait for a table which another one has locked. This may end by itself, so it is asked again."""
	cursor.execute(WAITERS)
	text = "connection {} of {} ({}) has waited {} s for a table that another one has locked"
	remedy = "Look at SHOW FULL PROCESSLIST; end the one that locks it."
	return [Finding(site, Gravity.TRANSIENT, text.format(*row), remedy) for row in cursor.fetchall()]


def sizes(cursor, config: Mapping) -> Sizes:
	"""Bytes of the database and of its largest table; its folder only where the server is on this machine."""
	cursor.execute(SIZES)
	total, largest, folder = cursor.fetchone()
	is_here = bool(config.get("db_socket")) or config.get("db_host") in (
		None,
		"",
		"localhost",
		"127.0.0.1",
		"::1",
	)
	return Sizes(int(total), int(largest), Path(folder) if is_here and Path(folder).exists() else None)


TIMEOUT = 1.0  # seconds for connecting, and for each answer
LONG = 600  # seconds; a job's transaction may well last minutes
LOCK_WAIT = "set session lock_wait_timeout = 1"  # a table that someone else has locked must not stop us
SETTINGS = """
	select field, value from tabSingles
	where doctype = 'System Settings' and field in ('enable_scheduler', 'time_zone', 'dormant_days')
"""
EVENTS = """
	select method, frequency, cron_format, coalesce(last_execution, creation), last_execution
	from `tabScheduled Job Type` where stopped = 0
"""
ACTIVITY = "select max(modified) from `tabActivity Log`"


@frozen
class Unwell:
	"""Something in the database that holds up others; `text` goes on after "its"."""

	text: str
	remedy: str


@frozen
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
	"""A database that was not reached for a reason of ours, as a wrong setting, so that it is not called down."""
	return SiteDatabase(fault=why, is_asked=False)


def ask(site: str, cursor, long: int) -> SiteDatabase:
	"""The doctor's questions to one database. `long`: from how many seconds on an open transaction is told."""
	cursor.execute(LOCK_WAIT)
	latency = shortest(lambda: cursor.execute("select 1"))
	held = [it for it in transactions(site, cursor, long, long) if it.gravity is Gravity.TRANSIENT]
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
	"""After how many days without a login a site is dormant; Frappe's default for what is not a finite number."""
	try:
		number = float(str(value or DORMANT_DAYS))
	except ValueError:
		return DORMANT_DAYS
	return number if math.isfinite(number) else DORMANT_DAYS


def reason(error: Exception) -> str:
	"""The server's own words. They hold a user's name and an address, and no password."""
	return str(error.args[-1] if error.args else error)
