"""
What a setting must look like that this app reads. One that does not is told by its key and never by its value, which may be
a password; whoever reads it then takes Frappe's default, or refuses to begin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fmx_restart.adapters.numbers import HIGHEST_PORT, port_number, whole_number
from fmx_restart.adapters.redis_url import url_fault


@dataclass(frozen=True)
class OddSetting:
	key: str
	reason: str  # "is not a number"; without the value

	def __str__(self) -> str:
		return f"{self.key} {self.reason}"


def a_number(value: object) -> str:
	found = whole_number(value)
	return "" if found is not None and found >= 0 else "is not a number"


def a_port(value: object) -> str:
	return "" if port_number(value) else f"is not a port number (1 to {HIGHEST_PORT})"


def a_text(value: object) -> str:
	if not isinstance(value, str):
		return "is not text"
	return "" if value.isprintable() else "holds a character that cannot be written"


def a_text_or_number(value: object) -> str:
	return "" if whole_number(value) is not None else a_text(value)


def a_secret(value: object) -> str:
	return "" if isinstance(value, str) else "is not text"


def a_host(value: object) -> str:
	if fault := a_text(value):
		return fault
	try:
		_ = ":" in value or value.encode("idna")  # as the resolver does; it cannot do that with db..internal
	except UnicodeError:
		return "is not the name of a host"
	return ""


def custom_queues(value: object) -> str:
	"""frappe.utils.background_jobs.get_queues_timeout: Frappe's own workers cannot start with anything else."""
	if not isinstance(value, Mapping) or not all(isinstance(queue, Mapping) for queue in value.values()):
		return "does not map each queue's name to its settings"
	return ""


RULES: Mapping[str, Callable[[object], str]] = {
	"bench_id": a_text_or_number,
	"db_host": a_host,
	"db_name": a_text,
	"db_password": a_secret,
	"db_port": a_port,
	"db_socket": a_text,
	"db_type": a_text,
	"db_user": a_text,
	"default_site": a_text,
	"fmx_restart_supervisor_url": a_secret,
	"max_queued_jobs": a_number,
	"redis_cache": url_fault,
	"redis_queue": url_fault,
	"rq_job_failure_ttl": a_number,
	"rq_results_ttl": a_number,
	"scheduler_interval": a_number,
	"scheduler_tick_interval": a_number,
	"webserver_port": a_port,
	"workers": custom_queues,
}


def odd_settings(config: Mapping, begins: str = "") -> list[OddSetting]:
	"""Those of a configuration that cannot be read, by key. `begins`: only keys that begin so. What is empty is not set."""
	keys = (key for key in RULES if key.startswith(begins) and config.get(key) not in (None, "", 0, False))
	return [OddSetting(key, reason) for key in keys if (reason := RULES[key](config[key]))]


def number_of(config: Mapping, key: str, default: int) -> int:
	"""What a setting counts; the default where it is not set, or cannot be read."""
	return whole_number(config.get(key)) or default
