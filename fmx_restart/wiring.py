"""The one place that wires adapters to the engine and the doctor: with Frappe where it is imported, else without."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import monotonic

from redis import Redis

from fmx_restart.adapters.bench import (
	apps,
	bench_folder,
	check_workers,
	read_config,
	sites,
	web_port,
)
from fmx_restart.adapters.code import CodeOnDisk
from fmx_restart.adapters.frappe_source import queue_limit
from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.journal_files import journals_of
from fmx_restart.adapters.journals import OthersAtWork, prune
from fmx_restart.adapters.journals import unfinished_sites as unfinished_sites_in
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.managers.absent import AbsentManager
from fmx_restart.adapters.managers.discovery import (
	THIS_MACHINE,
	KnownManager,
	OtherPlace,
	check_setting,
	find_managers,
	known_managers,
)
from fmx_restart.adapters.migrations import BenchMigrations
from fmx_restart.adapters.realtime import KeptMessages, PauseNotices
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.connection import connect
from fmx_restart.adapters.redis_queue.holds import RedisHolds
from fmx_restart.adapters.redis_queue.keys import hold_owner, lock_key
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease
from fmx_restart.adapters.redis_queue.requests import RedisRequests
from fmx_restart.adapters.schedule import Schedule, ScheduledStart
from fmx_restart.adapters.site_config import SiteConfigFiles
from fmx_restart.adapters.site_config_asked import AskedSiteConfig
from fmx_restart.adapters.web import BenchWeb
from fmx_restart.adapters.web.addresses import Endpoint, override_of
from fmx_restart.adapters.web.nginx_control import NginxHere
from fmx_restart.adapters.web.probe import AskedSites
from fmx_restart.adapters.worker_advice import WorkerAdvisor
from fmx_restart.current_bench import frappe_is_imported, identity, journal_folder
from fmx_restart.doctor.bench_view import BenchAccess, BenchView
from fmx_restart.doctor.checks.workers import WorkerRow, workers
from fmx_restart.doctor.examination import Examination
from fmx_restart.doctor.in_background import BackgroundExamination
from fmx_restart.doctor.programs import ProcessRow, ProgramRow, Programs, programs_of
from fmx_restart.doctor.verdict import verdict_of_bench
from fmx_restart.engine.emitter import Emitter, Listener
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.holding import Holding, HoldOptions, NoLock
from fmx_restart.engine.identity import Holder, new_operation_id
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options
from fmx_restart.engine.plan import Plan, is_worth_naming
from fmx_restart.engine.ports import (
	Bench,
	HeldQueue,
	Job,
	Look,
	NoNotices,
	NoRealtime,
	NoRequests,
	NoWeb,
	ProcessManagers,
	Trouble,
	Unexamined,
)
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.report import Failure
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.engine.strategies import operation_for
from fmx_restart.engine.verdict import AtWork, Verdict


@cache
def is_there() -> bool:
	"""Imported, and fit for use: frappe.init fails where the code of any app cannot be loaded. Then we do without."""
	if not frappe_is_imported():
		return False
	try:
		initialise()
	except (Exception, SystemExit):  # noqa: BLE001  whatever an app does when it is imported; the last look tells it
		return False
	return True


def is_initialised() -> bool:
	"""As in a request or a job of Frappe's; never in the process of an operation, which does not wait for it."""
	frappe = sys.modules.get("frappe")
	return frappe is not None and bool(getattr(frappe.local, "conf", None))


def initialise() -> None:
	"""Start Frappe without a site, unless it runs already: its functions for the whole bench need no more."""
	import frappe

	if not getattr(frappe.local, "conf", None):
		frappe.init("")


def site_config(site: str) -> dict:
	"""By Frappe's own rules (both files, environment variables), but read strictly first. Raises WrongEnvironment."""
	initialise()
	import frappe

	SiteConfigFiles(bench_folder(frappe.utils.get_bench_path())).read(site, "db_name")
	try:
		return frappe.get_site_config(sites_path=".", site_path=site)
	except Exception as error:  # noqa: BLE001  each version has its own for a db_type that it does not know, for instance
		kind = type(error).__name__
	raise WrongEnvironment(
		f"Frappe cannot read the configuration of {site} ({kind}).",
		hint=f"bench doctor --check odd-settings names what is wrong in sites/{site}/site_config.json.",
	)


def new_operation(id: str, options: Options, listeners: Iterable[Listener]) -> Operation:
	"""An operation on this bench, ready to run. Raises WrongEnvironment; nothing was changed then."""
	check_workers(read_config())
	check_setting(read_config())
	bench = this_bench(id, options.web_sites, needs_manager=needs_manager(options))
	options = replace(options, queue_limit=queue_limit(read_config(), len(sites())))
	try:
		journal = Journal(journals_of(bench.path), id)
		prune(journals_of(bench.path))
	except OSError as error:
		raise WrongEnvironment(
			f"The journal cannot be written: {error}. Nothing was changed.",
			hint=f"The bench user must be able to write into {journals_of(bench.path)}, and the disk must have room.",
		) from error
	return operation_for(bench, options, Emitter(journal, listeners), id)


def plan_restart(options: Options) -> Plan:
	"""What a restart would do now. Changes nothing."""
	check_workers(read_config())
	check_setting(read_config())
	bench = this_bench(new_operation_id(), needs_manager=needs_manager(options))
	try:
		return plan_of(bench, options)
	finally:
		bench.code.end_check()


@frozen
class Status:
	"""`holder` is None when nobody holds the bench. `holding`: who, as far as the lock's note tells."""

	verdict: Verdict
	holder: str | None
	holding: Holder | None
	#: operations whose process died and that nobody has recovered: id → host; "" for this one
	unfinished: dict[str, str]
	look: Look
	jobs: dict[str, Job]  # those that run, by id, without short ones of this app itself
	programs: tuple[ProgramRow, ...]  # as in Programs
	workers: tuple[WorkerRow, ...]
	manager_fault: Failure | None  # why no process manager answers
	managers_away: tuple[Failure, ...]  # where some answer: why each of the others does not
	processes: tuple[ProcessRow, ...]  # as in Programs
	advice: tuple[Trouble, ...] = ()  # what a person may set up
	scheduled: tuple[ScheduledStart, ...] = ()  # starts at a set time, the next one first
	holds: tuple[QueueHold, ...] = ()  # of the queue, by every bench on this Redis
	bench: str = ""  # its id


def read_status() -> Status:
	"""Raises WrongEnvironment outside of a bench, or where Redis does not answer. It needs no process manager."""
	view = bench_view()
	look, holding = view.look, Holder.parse(view.lock_note)
	running = view.queue.describe(job.id for job in look.started)
	jobs = {id: job for id, job in running.items() if is_worth_naming(job, look.time)}
	dead = [operation for operation in view.unfinished if not operation.is_held(holding)]
	hosts = {operation.operation: "" if operation.is_ours else operation.host for operation in dead}
	programs = programs_of(view)
	return Status(
		verdict=verdict_of_bench(view),
		holder=view.lock_note,
		holding=holding,
		unfinished=hosts,
		look=replace(look, local=None),
		jobs=jobs,
		programs=programs.rows,
		workers=tuple(workers(view)),
		manager_fault=programs.fault,
		managers_away=programs.away,
		processes=programs.processes,
		advice=WorkerAdvisor(view.config, lambda: view.manager.settings()).advice(look),
		scheduled=tuple(start for start in Schedule(journal_folder()).all() if not start.is_over),
		holds=tuple(view.holds),
		bench=view.bench_id,
	)


def read_programs() -> Programs:
	"""For a bench whose Redis does not answer. Raises WrongEnvironment outside of a bench."""
	return programs_of(bench_view())


def new_holding(options: HoldOptions, emit: Listener) -> Holding:
	"""A hold of the queue, ready to run. It needs no process manager, and no operation to end. Raises WrongEnvironment."""
	config = read_config()
	id, path = identity(config)
	connection, command = connect(config, id), new_operation_id()
	own = f"{hold_owner(id, options.owner)}/{secrets.token_hex(4)}"
	bench = Bench(
		id=id,
		path=path,
		queue=RedisQueue(connection, id, command),
		processes=process_managers(path, config, is_needed=False),
		host=ThisHost(path),
		web=NoWeb(),
		lock=NoLock(),
		fence=RedisFence(connection, own, seconds=LEASE),
		clock=SystemClock(),
		holds=RedisHolds(connection, id),
	)
	options = replace(options, queue_limit=queue_limit(config, len(sites())))
	return Holding(bench, options, emit, command)


def read_held_queue() -> HeldQueue:
	"""Raises WrongEnvironment outside of a bench, QueueUnreachable."""
	view = bench_view()
	jobs = view.queue.describe(job.id for job in view.look.started).values()
	running = sum(is_worth_naming(job, view.look.time) for job in jobs)
	return HeldQueue(view.bench_id, tuple(view.holds), replace(view.look, local=None), running)


def queue_holds() -> RedisHolds:
	"""Of this bench. Raises WrongEnvironment, QueueUnreachable."""
	config = read_config()
	id, _ = identity(config)
	return RedisHolds(connect(config, id), id)


def at_work() -> AtWork | None:
	"""The operation that holds the bench. Raises QueueUnreachable."""
	return AtWork.of_note(lock_note())


def lock_holder() -> Holder | None:
	"""Whose note stands in the bench's lock. Raises QueueUnreachable."""
	return Holder.parse(lock_note())


def lock_note() -> str | None:
	"""What stands in the bench's lock; None while nobody holds it. Raises QueueUnreachable."""
	config = read_config()
	id, _ = identity(config)
	connection = connect(config, id)
	return RedisLease(connection, lock_key(id), "", seconds=LEASE).holder()


def needs_manager(options: Options) -> bool:
	"""Where only workers that reload in place are replaced, none is needed; the preflight says whether it is so."""
	return options.web or not options.may_reload


def this_bench(
	operation: str,
	named: Iterable[str] = (),
	*,
	recovers: bool = False,
	takes_over: bool = False,
	needs_manager: bool = True,
) -> Bench:
	"""
	Everything that can be wrong with the environment is found here, one clear sentence each. `recovers`: for putting
	right what that operation left; its lock and fence may be taken over (whoever does so holds its journal), and Redis
	may be away. `takes_over`: that operation is another machine's, where a lock that stands means that it lives.
	"""
	config = read_config()
	id, path = identity(config)
	connection = connect(config, id, is_there=takes_over or not recovers)
	fence = f"fmx_restart:{id}:"
	owner = f"{operation}/{secrets.token_hex(4)}" if recovers else operation
	managers = process_managers(path, config, is_needed=needs_manager and not recovers)
	return Bench(
		id=id,
		path=path,
		queue=RedisQueue(connection, id, operation),
		processes=managers,
		host=ThisHost(path),
		web=web(path, config, named, recovers=recovers),
		lock=RedisLease(
			connection,
			lock_key(id),
			owner,
			seconds=LEASE,
			replaces=operation if recovers and not takes_over else "",
		),
		fence=RedisFence(connection, fence + owner, seconds=LEASE, replaces=fence),
		clock=SystemClock(),
		migrations=BenchMigrations(path, operation, site_config if is_initialised() else AskedSiteConfig()),
		settings=SiteConfigFiles(path),
		health=Unexamined() if recovers else BackgroundExamination(examine),
		requests=NoRequests() if recovers else RedisRequests(connection, id, operation),
		code=CodeOnDisk(apps),
		notices=NoNotices() if recovers else PauseNotices(connection, sites(), config),
		realtime=NoRealtime() if recovers else KeptMessages(connection, sites(), config, monotonic),
		others=OthersAtWork(journals_of(path), operation),
		nginx=NginxHere(),
		advisor=WorkerAdvisor(config, managers.settings),
		holds=RedisHolds(connection, id),
	)


def process_managers(path: str, config: dict, *, is_needed: bool) -> ProcessManagers:
	"""Those of the bench. Raises WrongEnvironment where there is none, and one is needed."""
	try:
		return ProcessManagers(find_managers(path, config))
	except WrongEnvironment as error:
		if is_needed:
			raise
		return ProcessManagers({THIS_MACHINE: AbsentManager(error)})


@frozen
class ManagersSeen:
	"""`others`: places that were tried besides."""

	managers: tuple[KnownManager, ...]
	others: tuple[OtherPlace, ...] = ()


def read_managers() -> ManagersSeen:
	"""Of this bench. Raises WrongEnvironment outside of a bench, and for a setting that cannot be used. It needs no Redis."""
	config = read_config()
	return ManagersSeen(*known_managers(identity(config)[1], config))


def process_manager() -> ProcessManagers:
	"""Of this bench. Raises WrongEnvironment where none answers. It needs no Redis."""
	config = read_config()
	return process_managers(identity(config)[1], config, is_needed=True)


def queue_connection() -> Redis:
	"""To the queue's Redis, which answers; raises QueueUnreachable or WrongEnvironment."""
	config = read_config()
	return connect(config, identity(config)[0])


def mailbox(operation: str) -> RedisRequests:
	"""Where requests to an operation of this bench are put."""
	config = read_config()
	id, _ = identity(config)
	return RedisRequests(connect(config, id), id, operation)


def unfinished_sites() -> tuple[str, ...]:
	"""Those that the last migration left over, in its order."""
	return unfinished_sites_in(journal_folder())


def web(path: str, config: dict, named: Iterable[str] = (), *, recovers: bool = False) -> BenchWeb:
	"""
	`named`: sites that must answer, beside those that answered before. A setting that cannot be read keeps nobody from
	recovering.
	"""
	asked = AskedSites.of(Path(path, "sites"), named, sites(), config.get("default_site"))
	try:
		return BenchWeb(path, asked, expected_endpoint(config), override=override_of(config))
	except WrongEnvironment:
		if not recovers:
			raise
		return BenchWeb(path, asked, expected_endpoint({}))


def expected_endpoint(config: Mapping) -> Endpoint:
	"""Where web listens by the settings alone: 127.0.0.1 and `webserver_port`."""
	return Endpoint("127.0.0.1", web_port(config))


def examine(names: Collection[str] | None = None) -> Examination:
	"""
	This bench, in two seconds or a little more. `names`: only these checks. Raises WrongEnvironment where there is no
	bench at all; whatever else is broken is a finding.
	"""
	from fmx_restart.doctor.runner import run_checks

	return run_checks(bench_view(), names)


def refuse_to_recover(operation: str) -> None:
	"""In the place of recovery where an examination changes nothing. Raises AssertionError: it would be our fault."""
	raise AssertionError(f"nothing recovers {operation} in an examination without fixes")


def bench_view(sites: Sequence[str] = (), recover: Callable = refuse_to_recover) -> BenchView:
	"""
	`sites`: look at these only; none means all. `recover`: finishes an operation whose process died, for the fix of that.
	Raises WrongEnvironment outside a bench. Opens nothing yet.
	"""
	from fmx_restart.adapters import bench

	config = bench.read_config()
	bench_id, path = identity(config)
	access = BenchAccess(
		config=bench.read_config,
		sites=lambda: list(sites) or bench.sites(),
		connection=lambda: connect(config, bench_id),
		processes=lambda: process_managers(path, config, is_needed=True),
		host=lambda: ThisHost(path),
		queue_limit=lambda: queue_limit(config, len(bench.sites())),
		site_config=site_config,
		scheduler_lines=scheduler_lines,
		frappes_folder=bench.bench_path,
		bench=this_bench,
		new_operation_id=new_operation_id,
		recover=recover,
	)
	return BenchView(path, bench_id, access)


def scheduler_lines(site: str) -> list[str]:
	"""By Frappe's own functions, in its own words (frappe/utils/doctor.py). One database connection, closed again."""
	if not is_there():
		return [f"Scheduler status unknown for {site}: Frappe is not loaded"]
	import frappe
	from frappe.utils.scheduler import is_scheduler_disabled, is_scheduler_inactive

	frappe.destroy()
	frappe.init(site)
	try:
		frappe.connect()
		states = {
			"Scheduler disabled for": is_scheduler_disabled(verbose=False),
			"Maintenance mode on for": frappe.local.conf.maintenance_mode,
			"Scheduler paused for": frappe.local.conf.pause_scheduler,
			"Scheduler inactive for": is_scheduler_inactive(verbose=False),
		}
		return [f"{line} {site}" for line, is_so in states.items() if is_so]
	finally:
		frappe.destroy()
