"""What checks ask about this machine: the processes of the bench, its process manager, its Redis servers."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

from redis import Redis

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import Orphan, Role, find_orphans, processes_of
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_server import RedisServer, connect, look
from fmx_restart.adapters.setting_rules import COMMON, checked_url
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import ManagerSettings, ProcessKind, ProgramSettings


def settings(view: BenchView) -> ManagerSettings | None:
	"""None where the process manager has no such settings."""
	manager = view.manager
	return view.parts.get("settings", manager.settings)


def managed_pids(view: BenchView) -> frozenset[int] | None:
	"""Of everything that the process manager runs. None where none answers."""
	with suppress(OperationError):
		manager_settings = settings(view)
		return manager_settings.pids if manager_settings else None
	return None


def programs(view: BenchView, *kinds: ProcessKind) -> list[ProgramSettings]:
	"""One for each section of the configuration: of numprocs=4 the first."""
	manager_settings = settings(view)
	by_section: dict[tuple[str, str], ProgramSettings] = {}
	for program in manager_settings.programs if manager_settings else ():
		if program.kind in kinds:
			by_section.setdefault((program.file, program.section or program.name), program)
	return list(by_section.values())


def with_queues(view: BenchView, program: ProgramSettings) -> ProgramSettings:
	"""Those that registered workers below a web program serve (gunicorn's companions); none where Redis does not answer."""
	if program.kind is not ProcessKind.WEB or not program.pid:
		return program
	with suppress(OperationError):
		look, host, heads = view.look, view.host, {program.pid}
		running = look.local.running
		below = {name for name, process in running.items() if host.head(process.pid, heads)}
		queues = {queue for worker in look.workers if worker.name in below for queue in worker.queues}
		return replace(program, queues=tuple(sorted(queues)))
	return program


def process_table(view: BenchView) -> ProcessTable:
	"""The processes of this machine, read once for the whole examination."""
	return view.process_table


def bench_processes(view: BenchView) -> dict[int, Role]:
	"""Pid → role, of what is proved to be this bench's."""
	table = process_table(view)
	return view.parts.get("bench processes", lambda: processes_of(BenchFolder(str(view.path)), table))


def find_orphans_of(view: BenchView, table: ProcessTable | None = None) -> list[Orphan]:
	"""`table`: another look than the one that all checks share."""
	folder = BenchFolder(str(view.path))
	return find_orphans(folder, table or process_table(view), managed_pids(view))


def registered_pids(view: BenchView) -> set[int] | None:
	"""Workers of this machine that are known to Redis. None where Redis does not answer."""
	with suppress(OperationError):
		return view.look.local.pids
	return None


def queue_server(view: BenchView) -> RedisServer:
	"""Raises an OperationError where it does not answer."""

	def read() -> RedisServer:
		with redis_border():
			return look(view.connection)

	return view.parts.get("redis_queue", read)


def cache_server(view: BenchView) -> RedisServer | None:
	"""None where none is configured. Raises what redis-py raises, and WrongEnvironment for a URL that is none."""
	if (connection := cache_connection(view)) is None:
		return None
	return view.parts.get("redis_cache", lambda: look(connection))


def cache_connection(view: BenchView) -> Redis | None:
	"""Not opened yet; None where none is configured. Raises WrongEnvironment for a URL that is none."""
	place = (COMMON, "the environment")["FRAPPE_REDIS_CACHE" in os.environ]
	url = os.environ.get("FRAPPE_REDIS_CACHE") or view.config.get("redis_cache")  # frappe.get_site_config
	return connect(checked_url(url, "redis_cache", place)) if url else None
