"""Each site, and the servers they all need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from fmx_restart.adapters.redis_server import RedisServer
from fmx_restart.adapters.scheduled_events import ScheduleRecord
from fmx_restart.adapters.site_database import SiteDatabase
from fmx_restart.doctor.checks.scheduler import TOLERANCE
from fmx_restart.doctor.detail import BYTES, INSTANT, SECONDS, detail
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.redis_servers import cache_server, queue_server
from fmx_restart.doctor.sites import databases, settings_of
from fmx_restart.doctor.web_answers import WebAnswer, web_answers
from fmx_restart.engine.errors import OperationError


@dataclass(frozen=True)
class SiteRow:
	site: str
	status: str  # active, maintenance, unreadable
	scheduler: str  # enabled, disabled, paused, unknown
	last_run: float | None = field(metadata=INSTANT)  # of any scheduled event
	overdue: int | None  # scheduled events; None where it cannot be told
	database: str  # connected, or why not
	latency: float | None = field(metadata=SECONDS)  # of the database
	web: str  # answers, or why not; unknown where it could not be asked in time


@dataclass(frozen=True)
class RedisRow:
	redis: str
	latency: float = field(metadata=SECONDS)
	memory: int = field(metadata=BYTES)
	limit: int | None = field(metadata=BYTES)
	eviction: str
	persistent: bool | None  # None where the bench's Redis user may not ask
	version: str


@detail("sites", "Sites")
def sites(patient: Patient) -> Iterator[SiteRow]:
	answers = web_answers(patient)
	for site, settings in settings_of(patient).items():
		found = databases(patient).get(site, SiteDatabase(fault="unknown"))
		last, overdue = schedule_of(found.schedule, settings.values)
		yield SiteRow(
			site=site,
			status=status_of(settings.values, settings.fault),
			scheduler=scheduler_of(found.schedule, settings.values),
			last_run=last,
			overdue=overdue,
			database=found.fault or "connected",
			latency=found.latency,
			web=web_of(answers.get(site)),
		)


def status_of(config: Mapping, fault: str) -> str:
	if fault:
		return "unreadable"
	return "maintenance" if config.get("maintenance_mode") else "active"


def scheduler_of(record: ScheduleRecord | None, config: Mapping) -> str:
	if config.get("disable_scheduler") or (record and not record.is_enabled):
		return "disabled"
	if config.get("pause_scheduler"):
		return "paused"
	return "enabled" if record else "unknown"


def schedule_of(record: ScheduleRecord | None, config: Mapping) -> tuple[float | None, int | None]:
	if record is None:
		return None, None
	now = time.time()
	overdue = record.overdue(now, tolerance=TOLERANCE, config=config) if record.now(now) else None
	return record.last_run_at(now), None if overdue is None else len(overdue)


def web_of(answer: WebAnswer | None) -> str:
	return "unknown" if answer is None else answer.fault or "answers"


@detail("redis", "Redis")
def redis_servers(patient: Patient) -> Iterator[RedisRow]:
	with suppress(OperationError):
		yield row_of("redis_queue", queue_server(patient))
	with suppress(OperationError, RedisError, OSError, ValueError):
		if server := cache_server(patient):
			yield row_of("redis_cache", server)


def row_of(name: str, server: RedisServer) -> RedisRow:
	return RedisRow(
		redis=name,
		latency=server.latency,
		memory=server.memory,
		limit=server.memory_limit or None,
		eviction=server.eviction,
		persistent=server.is_persistent,
		version=server.version,
	)
