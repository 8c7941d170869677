"""The one place that wires adapters to the engine, for the bench we are in. Frappe is initialised here."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import redis
from redis.sentinel import SentinelConnectionPool
from tenacity import stop_after_attempt

from fmx_restart.adapters.clock import SystemClock
from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.migration_history import unfinished_sites as unfinished_sites_in
from fmx_restart.adapters.migrations import BenchMigrations
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.keys import SUSPENDED, lock_key
from fmx_restart.adapters.redis_queue.lease import RedisLease
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.adapters.supervisor.discovery import find_supervisor
from fmx_restart.adapters.web import PingedWebServer
from fmx_restart.engine.emitting import Emitter, Listener
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Bench, Job, Look
from fmx_restart.engine.steps.preflight import make_plan

LEASE = 30.0  # seconds that lock and fence outlive the last renewal
REDIS_TIMEOUT = 5.0  # seconds for one answer of Redis


def new_operation(options: Options, listeners: Iterable[Listener], site: str | None = None) -> Operation:
	"""An operation on this bench, ready to run. Raises WrongEnvironment; nothing was changed then."""
	id = new_operation_id()
	bench = this_bench(id, site)
	options = replace(options, queue_limit=queue_limit())
	try:
		journal = Journal(journals(bench.path), id)
	except OSError as error:
		raise WrongEnvironment(
			f"The journal cannot be written: {error}. Nothing was changed.",
			hint=f"The bench user must be able to write into {journals(bench.path)}, and the disk must have room.",
		) from error
	return Operation(bench, options, Emitter([journal, *listeners]), id)


def plan_here(options: Options, site: str | None = None) -> Plan:
	"""What a restart would do now. Changes nothing."""
	bench = this_bench(new_operation_id(), site)
	return make_plan(bench, bench.queue.look(), options)


@dataclass(frozen=True)
class Status:
	holder: str | None  # the note of whoever holds the lock
	look: Look
	jobs: dict[str, Job]  # those that run, by id


def status_here() -> Status:
	bench = this_bench(new_operation_id())
	look = bench.queue.look()
	return Status(bench.lock.holder(), look, bench.queue.describe(job.id for job in look.started))


def this_bench(operation: str, site: str | None = None) -> Bench:
	"""Everything that can be wrong with the environment is found here, one clear sentence each."""
	config = read_config()
	bench_id, path = initialise_frappe()
	connection = redis_connection()
	owner = f"fmx_restart:{bench_id}:"
	return Bench(
		id=bench_id,
		path=path,
		queue=RedisQueue(connection, bench_id, operation),
		processes=find_supervisor(path, url=config.get("fmx_restart_supervisor_url")),
		host=ThisHost(path),
		web=web(config, site),
		lock=RedisLease(connection, lock_key(bench_id), operation, seconds=LEASE),
		fence=RedisLease(connection, SUSPENDED, owner + operation, seconds=LEASE, replaces=owner),
		clock=SystemClock(),
		migrations=BenchMigrations(path, operation, site_config),
		settings=SiteConfigFiles(path),
	)


def journals(bench_path: str) -> Path:
	return Path(bench_path) / "logs" / "fmx_restart"


def unfinished_sites() -> tuple[str, ...]:
	"""Those that the last migration left over, in its order."""
	read_config()
	return unfinished_sites_in(journals(initialise_frappe()[1]))


def site_config(site: str) -> dict:
	"""By Frappe's own rules (both files, environment variables), but read strictly first."""
	import frappe

	SiteConfigFiles(frappe.utils.get_bench_path()).read(site, "db_name")
	return frappe.get_site_config(sites_path=".", site_path=site)


def new_operation_id() -> str:
	"""Sorts by time, and is fit for a file name, a Redis key and an RQ job id."""
	return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def requester() -> str:
	"""Who typed it, for whoever finds the bench held: sudo's caller rather than root."""
	return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()} (pid {os.getpid()})"


def read_config() -> dict:
	"""common_site_config.json, read strictly: Frappe 15 goes on with an empty one when it cannot be read."""
	path = Path("common_site_config.json")
	if not Path("apps.txt").exists() and not path.exists():
		raise WrongEnvironment(
			"This is not the sites folder of a bench. Nothing was changed.",
			hint="Type the command inside a bench: cd frappe-bench, then bench safe-restart --wait-workers.",
		)
	try:
		config = json.loads(path.read_text())
		if not isinstance(config, dict):
			raise ValueError("it holds no settings")
		return config
	except (OSError, ValueError) as error:
		raise WrongEnvironment(
			f"sites/{path} cannot be read: {error}. Nothing was changed, the file least of all.",
			hint=f"Put it right, e.g. by a look with python3 -m json.tool sites/{path}, then try again.",
		) from error


def initialise_frappe() -> tuple[str, str]:
	"""Returns the bench's id and path, by Frappe's own rules (frappe.utils)."""
	import frappe
	from frappe.utils import get_bench_id, get_bench_path

	if not getattr(frappe.local, "conf", None):
		frappe.init("")
	return get_bench_id(), get_bench_path()


def redis_connection() -> redis.Redis:
	"""
	Frappe's own connection (URL, ACL user, sentinel), with one attempt instead of five and a time-out for every
	answer: an operation that holds a lease must not hang in a read.
	"""
	from frappe.utils.background_jobs import get_redis_conn

	with redis_border(), contextlib.redirect_stdout(io.StringIO()):  # Frappe prints advice we give better
		timed = with_timeouts(get_redis_conn.retry_with(stop=stop_after_attempt(1))())
		timed.ping()
	return timed


def with_timeouts(connection: redis.Redis) -> redis.Redis:
	"""On a pool of its own, to the same server: TCP, TLS, a unix socket, or whichever master sentinel names."""
	pool = connection.connection_pool
	settings = {
		**pool.connection_kwargs,
		"connection_class": pool.connection_class,
		"socket_timeout": REDIS_TIMEOUT,  # also of the connecting, where nothing else is set
	}
	where = (pool.service_name, pool.sentinel_manager) if isinstance(pool, SentinelConnectionPool) else ()
	return redis.Redis(connection_pool=type(pool)(*where, **settings))


def queue_limit() -> int | None:
	"""
	The depth at which frappe.enqueue begins to raise QueueOverloaded (frappe.utils.background_jobs): Frappe 15 looks
	only where max_queued_jobs is set, Frappe 16 has a default that grows with the number of sites.
	"""
	import frappe
	from frappe.utils import background_jobs

	if not hasattr(background_jobs, "_check_queue_size"):
		return None
	if configured := frappe.conf.get("max_queued_jobs"):
		return int(configured)
	return 500 + 50 * len(sites()) if int(frappe.__version__.split(".")[0]) >= 16 else None


def web(config: dict, site: str | None) -> PingedWebServer:
	site = site or config.get("default_site") or next(iter(sites()), None)
	port = int(config.get("webserver_port") or 8000)
	return PingedWebServer(port, site, in_maintenance=lambda: in_maintenance(site))


def sites() -> list[str]:
	from frappe.utils import get_sites

	return sorted(get_sites())


def in_maintenance(site: str | None) -> bool:
	"""As the web process would find it now: the site's own setting wins over the common one."""
	paths = [Path("common_site_config.json"), *([Path(site) / "site_config.json"] if site else [])]
	value = 0
	for path in paths:
		with contextlib.suppress(OSError, ValueError):
			value = json.loads(path.read_text()).get("maintenance_mode", value)
	return bool(value)
