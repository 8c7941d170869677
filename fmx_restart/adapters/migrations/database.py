"""What a site's database says about being migrated now. Only MariaDB is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fmx_restart.adapters.database_server import odd_database_setting
from fmx_restart.adapters.numbers import port_number
from fmx_restart.engine.migration import Finding, Gravity

TIMEOUT = 3  # seconds for the connection, and for each answer
LONG = 10  # seconds; a web request's transaction is over by then
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


@dataclass(frozen=True)
class Sizes:
	"""In bytes. `folder` is None when it is not on this machine."""

	database: int
	largest_table: int
	folder: Path | None


def inspect_database(
	site: str, config: Mapping, *, long: int = LONG, idle: int = IDLE
) -> tuple[list[Finding], Sizes | None]:
	"""`long`, `idle`: from how many seconds on a transaction, and a connection that does nothing, is told."""
	if odd := odd_database_setting(config):
		return [not_asked(site, odd)], None
	if (kind := config.get("db_type") or "mariadb") != "mariadb":
		return [
			Finding(site, Gravity.TOLD, f"its database is {kind}: nothing is known about open transactions")
		], None
	import pymysql  # Frappe's own driver

	try:
		with connected(config) as cursor:
			found = [*transactions(site, cursor, long, idle), *waiters(site, cursor)]
			return found, sizes(cursor, config)
	except (pymysql.MySQLError, OSError) as error:
		text = f"its database does not answer: {error.args[-1] if error.args else error}"
		return [Finding(site, Gravity.BLOCKS, text, "Start it, or look at db_host and db_port.")], None
	except Exception as error:  # noqa: BLE001 - no text of it: pymysql quotes parts of a password that it cannot send
		why = f"{error.args[0]} is not set" if isinstance(error, KeyError) else type(error).__name__
		return [not_asked(site, why)], None


def not_asked(site: str, why: str) -> Finding:
	remedy = f"Correct the settings that begin with db_ in sites/{site}/site_config.json or common_site_config.json."
	return Finding(site, Gravity.BLOCKS, f"its database could not be asked: {why}", remedy)


@contextmanager
def connected(config: Mapping, timeout: int = TIMEOUT) -> Iterator:
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
		Finding(site, Gravity.PASSING, text.format(*row), remedy.format(row[0])) for row in cursor.fetchall()
	]


def idlers(site: str, cursor, idle: int) -> list[Finding]:
	cursor.execute(IDLERS, (idle,))
	text = (
		"connection {} of {} ({}) has been idle for {} s; if it has a transaction open, as a bench console may, it will"
		" hold up the migration"
	)
	return [Finding(site, Gravity.TOLD, text.format(*row)) for row in cursor.fetchall()]


def waiters(site: str, cursor) -> list[Finding]:
	cursor.execute(WAITERS)
	text = "connection {} of {} ({}) has waited {} s for a table that another one has locked"
	remedy = "Look at SHOW FULL PROCESSLIST; end the one that locks it."
	return [Finding(site, Gravity.PASSING, text.format(*row), remedy) for row in cursor.fetchall()]


def sizes(cursor, config: Mapping) -> Sizes:
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
