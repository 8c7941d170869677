"""What of the bench Desk and the API look at between operations: its Redis, its lock, its journals; answers are cached."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timezone, tzinfo
from functools import cache
from pathlib import Path
from typing import TypeVar

import frappe
from redis import Redis

from fmx_restart.adapters.bench import read_config
from fmx_restart.adapters.journal_files import journals_of, launch_log
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.requests import LaunchTicket
from fmx_restart.adapters.scheduled_events import zone_named
from fmx_restart.current_bench import identity
from fmx_restart.engine.identity import Holder, describe, is_operation_id
from fmx_restart.engine.notes import MOST_SHOWN
from fmx_restart.engine.plain_text import printable
from fmx_restart.wiring import queue_connection

T = TypeVar("T")
PREFIX = "fmx_restart"


def cached(name: str, seconds: int, make: Callable[[], T]) -> T:
	"""The answer of up to `seconds` ago, else a new one. Must not be None. No other site sees it."""
	key = f"{PREFIX}:{name}"
	value = frappe.cache().get_value(key, expires=True)
	if value is None:
		value = make()
		frappe.cache().set_value(key, value, expires_in_sec=seconds)
	return value


def forget(name: str) -> None:
	"""Read it anew the next time."""
	frappe.cache().delete_value(f"{PREFIX}:{name}")


@cache
def connection() -> Redis:
	"""One pool per process: a new connection would cost more than most questions."""
	return queue_connection()


def bench_id() -> str:
	"""The prefix of the bench's queues in Redis, as Frappe makes it."""
	return frappe.utils.get_bench_id()


def ticket() -> LaunchTicket:
	"""The place in Redis where one operation at a time waits to be launched."""
	return LaunchTicket(connection(), bench_id())


@dataclass(frozen=True)
class Held:
	operation: str
	phase: str
	text: str  # operation, who asked for it, since when, in which phase


def held() -> Held | None:
	"""Who holds the bench, as the lock's note tells it."""
	with redis_border():
		value = connection().get(lock_key(bench_id()))
	if value is None:
		return None
	text = value.decode(errors="replace")
	holder = Holder.parse(text)
	if holder is None:  # of another version, or of someone else on the same Redis
		return Held(printable(text.partition(" ")[0], MOST_SHOWN), "", describe(text))
	return Held(holder.operation, holder.phase, holder.text(site_zone()))


def site_zone() -> tzinfo:
	"""The site's own; UTC where nobody knows it."""
	return zone_named(zone_name()) or timezone.utc


def zone_name() -> str:
	"""Of the zone in which Frappe keeps this site's date-times."""
	return frappe.utils.get_system_timezone()


def journal_folder() -> Path:
	"""Where journals and start orders are."""
	return journals_of(bench_folder())


@cache
def bench_folder() -> str:
	"""The bench's folder, read once in each process. Raises WrongEnvironment."""
	return identity(read_config())[1]


def journal_of(operation: str) -> Path:
	"""Raises ValueError for what is not an operation id: rows and Redis may hold anything, and this becomes a path."""
	return journal_folder() / f"{valid(operation)}.jsonl"


def output_of(operation: str) -> Path:
	"""As journal_of."""
	return launch_log(journal_folder(), valid(operation))


def valid(operation: str) -> str:
	"""The id, which becomes a file's name. Raises ValueError for anything else."""
	if not is_operation_id(operation):
		raise ValueError(f"{operation!r} is not an operation id")
	return operation


def was_launched(operation: str) -> bool:
	"""It has written something, so it may not be launched again."""
	return output_of(operation).exists() or journal_of(operation).exists()


def is_over(operation: str) -> bool:
	"""True when it was launched by adapters/own_session.py and its process has ended; False also where nothing is known."""
	try:
		with output_of(operation).open() as output:
			fcntl.flock(output, fcntl.LOCK_SH | fcntl.LOCK_NB)
	except OSError:
		return False
	return True
