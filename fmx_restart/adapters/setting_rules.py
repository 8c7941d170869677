"""Settings as people write them: numbers, URLs and queues, checked by their keys. No value is ever shown."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fmx_restart.adapters.managers.names import ADDRESS
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.frozen import frozen

HIGHEST_PORT = 65535
LARGEST_FILE = 16 << 20  # bytes
LARGEST = 1 << 53  # what JSON, and Redis' scores, can count


def number(text: str) -> float | None:
	"""Any finite number."""
	try:
		value = float(text)
	except (ValueError, OverflowError):
		return None
	return value if math.isfinite(value) else None


def whole_number(value: object) -> int | None:
	"""Of a number, or of a text of digits: people quote both. None for anything else."""
	if isinstance(value, bool):
		return None
	if isinstance(value, float):
		return int(value) if math.isfinite(value) and value == int(value) else None
	if isinstance(value, str):
		digits = value.strip().removeprefix("-")
		return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 17 else None
	return value if isinstance(value, int) and abs(value) <= LARGEST else None


def switch_fault(value: object) -> str:
	"""Empty for 0 and 1, false and true."""
	return "" if str(value).lower() in ("0", "1", "true", "false") else "is neither 0 nor 1"


def seconds_fault(value: object) -> str:
	"""Empty for seconds, and for seconds for each list of queues."""
	values = value.values() if isinstance(value, Mapping) else [value]
	is_read = all(number(str(it)) is not None and not isinstance(it, bool) and float(it) > 0 for it in values)
	return "" if is_read else "is not a number of seconds, nor one for each list of queues"


def policy_fault(value: object) -> str:
	"""Empty for fail and requeue, and for one of them for each queue."""
	values = value.values() if isinstance(value, Mapping) else [value]
	is_read = all(it in ("fail", "requeue") for it in values)
	return "" if is_read else "is neither fail nor requeue, nor one of them for each queue"


def port_number(value: object) -> int | None:
	"""1 to 65535, also written as text; None for anything else."""
	port = whole_number(value)
	return port if port and 0 < port <= HIGHEST_PORT else None


def read_object(path: Path) -> tuple[dict, str]:
	"""What it holds, and its text. Raises OSError, and ValueError with none of its contents."""
	try:
		text = text_of_file(path)
		values = json.loads(text)
	except json.JSONDecodeError as error:
		raise ValueError(f"{error.msg} in line {error.lineno}, column {error.colno}") from None
	except UnicodeDecodeError as error:
		raise ValueError(f"byte {error.start} is not text") from None
	except RecursionError:
		raise ValueError("it is nested too deeply") from None
	if not isinstance(values, dict):
		raise ValueError("it is not a JSON object")
	return values, text


def text_of_file(path: Path) -> str:
	"""A site's file may be anything, also a link to a device or a pipe that never ends. Raises OSError and ValueError."""
	file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
	try:
		if not stat.S_ISREG(os.fstat(file).st_mode):
			raise ValueError("it is not an ordinary file")
		with os.fdopen(file, "rb", closefd=False) as opened:
			data = opened.read(LARGEST_FILE + 1)
	finally:
		os.close(file)
	if len(data) > LARGEST_FILE:
		raise ValueError(f"it is larger than {LARGEST_FILE >> 20} MB")
	return data.decode().replace("\r\n", "\n")


COMMON = "sites/common_site_config.json"
SCHEMES = ("redis", "rediss", "unix")
ESCAPE = "in a user name or password, / ? # [ ] @ and % must be escaped (%2F %3F %23 %5B %5D %40 %25)"


def checked_url(url: object, key: str, place: str = COMMON) -> str:
	"""The same URL, which redis-py can use. Raises WrongEnvironment with nothing of it."""
	if fault := url_fault(url):
		raise WrongEnvironment(
			f"{key} in {place} {fault}. Nothing was changed.",
			hint=f"Write it as redis://user:password@host:port; {ESCAPE}.",
		)
	return str(url)


def url_fault(url: object) -> str:
	"""What is wrong with it; empty for one that can be used. Holds no part of it."""
	if not isinstance(url, str):
		return "is not text"
	if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
		return "does not begin with redis://, rediss:// or unix://"
	try:
		parts = urlsplit(url)
		check_address(parts)
		from redis import ConnectionPool

		ConnectionPool.from_url(url).make_connection()  # opens nothing yet
	except Exception:  # noqa: BLE001  redis-py hands an option on to whatever class, and each has its own errors
		return "cannot be read as a Redis URL"
	return "holds a character that must be escaped" if has_stray_characters(url, parts) else ""


def check_address(parts: SplitResult) -> None:
	"""Raises ValueError for a port or a host that cannot exist."""
	_ = parts.port
	host = parts.hostname or ""
	if ":" not in host:  # an IPv6 address has no labels
		host.encode("idna")  # as the resolver does; it cannot do that with db..internal


def has_stray_characters(url: str, parts: SplitResult) -> bool:
	"""
	A part of a password would be taken for the host, the port or the database, and shown in the next error: everything
	behind a / ? or # that should have been escaped, up to the @ that ends the password.
	"""
	is_path = parts.scheme == "unix" and not parts.netloc
	later = parts.query if is_path else parts.path + parts.query
	if parts.scheme == "unix" and parts.netloc and not parts.netloc.endswith("@"):
		return True  # a socket's path begins with a third /
	return "#" in url or "@" in later or not url.isprintable()


@frozen
class OddSetting:
	key: str
	reason: str  # "is not a number"; without the value

	def __str__(self) -> str:
		return f"{self.key} {self.reason}"


def number_fault(value: object) -> str:
	"""Empty for a whole number from 0 on."""
	whole = whole_number(value)
	return "" if whole is not None and whole >= 0 else "is not a number"


def port_fault(value: object) -> str:
	"""Empty for a port."""
	return "" if port_number(value) else f"is not a port number (1 to {HIGHEST_PORT})"


def text_fault(value: object) -> str:
	"""Empty for text that can be printed."""
	if not isinstance(value, str):
		return "is not text"
	return "" if value.isprintable() else "holds a character that cannot be written"


def text_or_number_fault(value: object) -> str:
	"""Empty for a number, and for text that can be printed."""
	return "" if whole_number(value) is not None else text_fault(value)


def secret_fault(value: object) -> str:
	"""Empty for any text: it is never shown, so it may hold any character."""
	return "" if isinstance(value, str) else "is not text"


def host_fault(value: object) -> str:
	"""Empty for what a resolver takes."""
	if fault := text_fault(value):
		return fault
	try:
		_ = ":" in value or value.encode("idna")  # as the resolver does; it cannot do that with db..internal
	except UnicodeError:
		return "is not the name of a host"
	return ""


def recycling_fault(value: object) -> str:
	"""Empty for limits after which a worker starts anew."""
	from fmx_restart.worker.recycling import SETTING, limits_of  # not before the first line of a restart

	_, faults = limits_of({SETTING: value})
	return f"has parts that are not used: {'; '.join(faults)}" if faults else ""


def queues_fault(value: object) -> str:
	"""frappe.utils.background_jobs.get_queues_timeout: Frappe's own workers cannot start with anything else."""
	if not isinstance(value, Mapping) or not all(isinstance(queue, Mapping) for queue in value.values()):
		return "does not map each queue's name to its settings"
	return ""


RULES: Mapping[str, Callable[[object], str]] = {
	"bench_id": text_or_number_fault,
	"db_host": host_fault,
	"db_name": text_fault,
	"db_password": secret_fault,
	"db_port": port_fault,
	"db_socket": text_fault,
	"db_type": text_fault,
	"db_user": text_fault,
	"default_site": text_fault,
	ADDRESS: secret_fault,
	"fmx_restart_killed_jobs": policy_fault,
	"fmx_restart_killed_jobs_tries": number_fault,
	"fmx_restart_worker": switch_fault,
	"fmx_restart_worker_grace": seconds_fault,
	"fmx_restart_worker_recycle": recycling_fault,
	"max_queued_jobs": number_fault,
	"redis_cache": url_fault,
	"redis_queue": url_fault,
	"rq_job_failure_ttl": number_fault,
	"rq_results_ttl": number_fault,
	"scheduler_interval": number_fault,
	"scheduler_tick_interval": number_fault,
	"webserver_port": port_fault,
	"workers": queues_fault,
}


def odd_settings(config: Mapping, begins: str = "") -> list[OddSetting]:
	"""Those of a configuration that cannot be read, by key. `begins`: only keys that begin so. What is empty is not set."""
	keys = (key for key in RULES if key.startswith(begins) and config.get(key) not in (None, "", 0, False))
	return [OddSetting(key, reason) for key in keys if (reason := RULES[key](config[key]))]


def number_of(config: Mapping, key: str, default: int) -> int:
	"""What a setting counts; the default where it is not set, or cannot be read."""
	return whole_number(config.get(key)) or default
