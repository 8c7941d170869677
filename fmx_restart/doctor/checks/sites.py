"""Sites: configuration, database, web and maintenance mode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from redis.exceptions import RedisError

from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.database import SiteDatabase
from fmx_restart.adapters.redis_server import RedisServer
from fmx_restart.adapters.scheduled_events import ScheduleRecord
from fmx_restart.adapters.site_config import database_address
from fmx_restart.adapters.web.probe import UNSENDABLE
from fmx_restart.doctor.at_work import is_held, unless_operation_works
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.checks.scheduler import TOLERANCE
from fmx_restart.doctor.host import bench_processes, cache_server, queue_server
from fmx_restart.doctor.registry import BYTES, INSTANT, SECONDS, Finding, Severity, check, detail
from fmx_restart.doctor.sites import (
	REFUSED,
	UNKNOWN,
	WebAnswer,
	closed_by,
	databases,
	readable,
	settings_of,
	web_answers,
)
from fmx_restart.doctor.words import listed
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.format import span
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import ProcessKind, ProcessState


@check("site-config")
def site_config(view: BenchView) -> Iterator[Finding]:
	"""A file that is no JSON object: every request to the site and every bench command for it fails."""
	for site, settings in settings_of(view).items():
		if settings.fault:
			file = f"sites/{site}/site_config.json"
			# a pipe would keep whoever reads it
			remedy = f"python3 -m json.tool {file}" if Path(view.path, file).is_file() else f"ls -l {file}"
			yield Finding("site-config", Severity.ERROR, site, settings.fault, remedy)


@check("bench-folder")
def bench_folder(view: BenchView) -> Iterator[Finding]:
	"""frappe.utils.get_bench_path counts three folders up from where the package really is."""
	frappes = view.access.frappes_folder()
	if Path(frappes).resolve() == view.path.resolve():
		return
	link = view.path / "apps" / "frappe"
	why = f", because apps/frappe is a link to {link.readlink()}" if link.is_symlink() else ""
	text = (
		f"Frappe takes {frappes} for the folder of this bench{why}. This app takes {view.path}, where the sites are; the queues"
		f" are named by Frappe's rule: their names begin with {view.bench_id}."
	)
	remedy = (
		f"bench set-config -g bench_id {view.bench_id}, which keeps the names of the queues; then FRAPPE_BENCH_ROOT={view.path}"
		" in the environment of every program of the bench"
	)
	yield Finding("bench-folder", Severity.WARNING, "", text, remedy)


@check("maintenance-mode")
def maintenance_mode(view: BenchView) -> Iterator[Finding]:
	"""It may be meant so, but it is easily forgotten. An operation at work, or one that died, is told elsewhere."""
	sites = [site for site, config in readable(view).items() if config.get("maintenance_mode")]
	if not sites or is_held(view):
		return
	changed = closed_by(view)
	if view.config.get("maintenance_mode"):
		yield closed(
			"",
			f"Every site is closed (maintenance_mode in common_site_config.json, {age(view, '')}).",
			"all",
		)
		return
	for site in sites:
		if (site, "maintenance_mode") not in changed:
			text = f"It is closed: maintenance_mode is on in its site_config.json, {age(view, site)}."
			yield closed(site, text, site)


def closed(subject: str, text: str, site: str) -> Finding:
	"""A site in maintenance mode, or all of them, with the command that opens it."""
	remedy = f"bench --site {site} set-maintenance-mode off, when the maintenance is over"
	if site == "all":
		remedy = "bench set-config -g maintenance_mode 0, when the maintenance is over"
	return Finding("maintenance-mode", Severity.WARNING, subject, text, remedy)


def age(view: BenchView, site: str) -> str:
	"""When the file that closes it was last changed: the only hint at who is at work on it."""
	file = Path(view.path, "sites", site, "site_config.json" if site else "common_site_config.json")
	with suppress(OSError):
		return f"a file that was last changed {span(max(0.0, time.time() - file.stat().st_mtime))} ago"
	return "a file that was just removed"


SLOW = 0.2  # seconds for an answer that takes a thousandth of that


@check("database")
def database(view: BenchView) -> Iterator[Finding]:
	"""
	Sites that cannot work with their database: wrong settings, refused, or the server is away. One that was not asked is a
	warning.
	"""
	database_of = databases(view)
	for site, database in database_of.items():
		if not database.is_asked:
			text = f"Its database could not be asked: {database.fault}."
			remedy = f"Correct the settings that begin with db_ in sites/{site}/site_config.json or common_site_config.json"
			yield Finding("database", Severity.ERROR, site, text, remedy)
		elif database.fault and database.is_reached and database is not UNKNOWN:
			text = f"Its database refuses it: {database.fault}."
			remedy = f"db_name, db_password and db_host in sites/{site}/site_config.json"
			yield Finding("database", Severity.ERROR, site, text, remedy)
	yield from away(view, [site for site, database in database_of.items() if not database.is_reached])
	if unknown := [site for site, database in database_of.items() if database is UNKNOWN]:
		text = f"The database of {listed(unknown)} was not checked: there was no time to ask."
		remedy = "run bench doctor again when the machine is less busy"
		yield Finding("database", Severity.WARNING, "", text, remedy)


def away(view: BenchView, sites: list[str]) -> Iterator[Finding]:
	"""A server that does not answer is told once, however many sites it has."""
	by_address: dict[str, list[str]] = {}
	for site in sites:
		by_address.setdefault(database_address(readable(view)[site]), []).append(site)
	for address, its_sites in by_address.items():
		why = databases(view)[its_sites[0]].fault
		text = (
			f"The database server at {address} does not answer: {why}. Nothing works on {listed(its_sites)}."
		)
		remedy = "systemctl status mariadb, and db_host and db_port in the sites' site_config.json"
		yield Finding("database", Severity.ERROR, address, text, remedy)


@check("database-latency")
def database_latency(view: BenchView) -> Iterator[Finding]:
	"""The shortest answer of the site's database."""
	for site, database in databases(view).items():
		if (database.latency or 0.0) > SLOW:
			text = f"Its database takes {database.latency:.2f} s for the shortest answer: it is busy, or far away."
			yield Finding(
				"database-latency", Severity.WARNING, site, text, "SHOW FULL PROCESSLIST, in MariaDB"
			)


@check("long-transactions")
def long_transactions(view: BenchView) -> Iterator[Finding]:
	"""They hold up every change of a table, and so a migration. Only told where the site's user may see them."""
	for site, database in databases(view).items():
		for transaction in database.transactions:
			text = f"In its database, {transaction.text}."
			yield Finding("long-transactions", Severity.WARNING, site, text, transaction.remedy)


@check("table-locks")
def table_locks(view: BenchView) -> Iterator[Finding]:
	"""Whoever waits for a table's metadata lock holds up all who come after."""
	for site, database in databases(view).items():
		for waiter in database.waiters:
			text = f"In its database, {waiter.text}; others wait behind it."
			yield Finding("table-locks", Severity.WARNING, site, text, waiter.remedy)


RESTART = "bench safe-restart --no-workers, or look at logs/web.error.log"


@check("web")
def web(view: BenchView) -> Iterator[Finding]:
	"""Where no web server belongs to this machine, as in a container of workers, nothing is said."""
	answers = web_answers(view)
	yield from absent_web(view, answers)
	yield from silent_web(answers)
	yield from unasked_web(answers)
	yield from erring_web(view, answers)


def absent_web(view: BenchView, answers: Mapping[str, WebAnswer]) -> Iterator[Finding]:
	"""Nobody listens."""
	refused = [site for site, answer in answers.items() if answer.fault == REFUSED]
	if refused and should_run_here(view):
		text = f"No web server listens at {answers[refused[0]].address}: {listed(refused)} cannot be opened."
		finding = Finding("web", Severity.ERROR, "", text, start_command(view) or RESTART)
		yield unless_operation_works(view, finding)


def silent_web(answers: Mapping[str, WebAnswer]) -> Iterator[Finding]:
	"""Somebody listens, and does not answer in time."""
	silent = [site for site, answer in answers.items() if answer.is_silent]
	if silent:
		text = (
			f"The web server does not answer in time for {listed(silent)}: all its workers are busy, or hang."
		)
		yield Finding("web", Severity.WARNING, "", text, RESTART)


def erring_web(view: BenchView, answers: Mapping[str, WebAnswer]) -> Iterator[Finding]:
	"""Answers that are no pong. Without its database a site can only fail, and that is told by another check."""
	for site, answer in answers.items():
		errs = answer.fault and answer.is_asked and answer.fault != REFUSED and not answer.is_silent
		if errs and not databases(view)[site].fault:
			text = f"It does not answer ping as it should: {answer.fault}."
			remedy = f"logs/web.error.log; curl -H 'Host: {site}' http://127.0.0.1:{view.config.get('webserver_port', 8000)}/api/method/ping"
			yield Finding("web", Severity.ERROR, site, text, remedy)


def start_command(view: BenchView) -> str:
	"""Where someone stopped web on purpose: a restart leaves it alone. Empty elsewhere."""
	with suppress(OperationError):
		web = [process for process in view.processes if process.kind is ProcessKind.WEB]
		if web and all(process.state is ProcessState.STOPPED for process in web):
			names = [process.name for process in web]
			return f"{listed(names)} was stopped. Start it: {view.manager.start_command(names)}"
	return ""


def unasked_web(answers: Mapping[str, WebAnswer]) -> Iterator[Finding]:
	"""One for each reason: a setting of the bench is the same for all its sites. A name is a matter of its site alone."""
	by_reason: dict[str, list[str]] = {}
	for site, answer in answers.items():
		if not answer.is_asked:
			by_reason.setdefault(answer.fault, []).append(site)
	for reason, sites in by_reason.items():
		text = f"Whether web answers for {listed(sites)} could not be asked: {reason}."
		if reason == UNSENDABLE:
			remedy = "Rename the site's folder to the IDNA name of its domain (xn--…): browsers send no other"
			yield Finding("web", Severity.WARNING, sites[0] if len(sites) == 1 else "", text, remedy)
		else:
			remedy = "Correct the setting in sites/common_site_config.json, then run bench doctor again"
			yield Finding("web", Severity.ERROR, "", text, remedy)


def should_run_here(view: BenchView) -> bool:
	"""Web is to run on this machine, so its silence is a fault."""
	with suppress(OperationError):
		if any(process.kind is ProcessKind.WEB for process in view.processes):
			return True
	return Role.WEB in bench_processes(view).values()


@frozen
class SiteRow:
	site: str
	status: str  # active, maintenance, unreadable
	scheduler: str  # enabled, disabled, paused, unknown
	last_run: float | None = field(metadata=INSTANT)  # of any scheduled event
	overdue: int | None  # scheduled events; None where it cannot be told
	database: str  # connected, or why not
	latency: float | None = field(metadata=SECONDS)  # of the database
	web: str  # answers, or why not; unknown where it could not be asked in time


@frozen
class RedisRow:
	redis: str
	latency: float = field(metadata=SECONDS)
	memory: int = field(metadata=BYTES)
	limit: int | None = field(metadata=BYTES)
	eviction: str
	persistent: bool | None  # None where the bench's Redis user may not ask
	version: str


@detail("sites", "Sites")
def sites(view: BenchView) -> Iterator[SiteRow]:
	"""
	One row a site: open or not, its scheduler, database and web. `latency` in seconds, `last_run` in seconds since 1970.
	"""
	answers = web_answers(view)
	for site, settings in settings_of(view).items():
		database = databases(view).get(site, SiteDatabase(fault="unknown"))
		last, overdue = schedule_of(database.schedule, settings.values)
		yield SiteRow(
			site=site,
			status=status_of(settings.values, settings.fault),
			scheduler=scheduler_of(database.schedule, settings.values),
			last_run=last,
			overdue=overdue,
			database=database.fault or "connected",
			latency=database.latency,
			web=web_of(answers.get(site)),
		)


def status_of(config: Mapping, fault: str) -> str:
	"""One of "unreadable", "maintenance" and "active"."""
	if fault:
		return "unreadable"
	return "maintenance" if config.get("maintenance_mode") else "active"


def scheduler_of(record: ScheduleRecord | None, config: Mapping) -> str:
	"""Whether it is "disabled" for good, "paused" by a setting or "enabled"; "unknown" where the database tells nothing."""
	if config.get("disable_scheduler") or (record and not record.is_enabled):
		return "disabled"
	if config.get("pause_scheduler"):
		return "paused"
	return "enabled" if record else "unknown"


def schedule_of(record: ScheduleRecord | None, config: Mapping) -> tuple[float | None, int | None]:
	"""When the scheduler last ran, in seconds since 1970, and how many events are overdue; None for what is unknown."""
	if record is None:
		return None, None
	now = time.time()
	overdue = record.overdue(now, tolerance=TOLERANCE, config=config) if record.now(now) else None
	return record.last_run_at(now), None if overdue is None else len(overdue)


def web_of(answer: WebAnswer | None) -> str:
	"""What is wrong, else "answers"; "unknown" where nobody asked."""
	return "unknown" if answer is None else answer.fault or "answers"


@detail("redis", "Redis")
def redis_servers(view: BenchView) -> Iterator[RedisRow]:
	"""The queue's Redis and the cache's; one that does not answer has no row, for a check tells it."""
	with suppress(OperationError):
		yield row_of("redis_queue", queue_server(view))
	with suppress(OperationError, RedisError, OSError, ValueError):
		if server := cache_server(view):
			yield row_of("redis_cache", server)


def row_of(name: str, server: RedisServer) -> RedisRow:
	"""Latency in seconds, memory in bytes; no limit is None."""
	return RedisRow(
		redis=name,
		latency=server.latency,
		memory=server.memory,
		limit=server.memory_limit or None,
		eviction=server.eviction,
		persistent=server.is_persistent,
		version=server.version,
	)
