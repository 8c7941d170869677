"""What checks ask about the sites: configuration, database and web, all sites side by side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from fmx_restart.adapters.bench import web_port
from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.database import SiteDatabase, look_at_database
from fmx_restart.adapters.site_config import site_settings
from fmx_restart.adapters.web.addresses import Endpoint, listening, override_of
from fmx_restart.adapters.web.probe import UNSENDABLE, PingedWebServer, can_be_sent
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.concurrency import ask_each
from fmx_restart.doctor.host import bench_processes
from fmx_restart.doctor.words import error_name
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import HostProcess, ProcessKind

with suppress(ImportError):
	import pymysql  # noqa: F401 - now, and not within the time that a check has
with suppress(ImportError):
	import croniter  # noqa: F401 - likewise

UNKNOWN = SiteDatabase(fault="unknown")


@frozen
class Settings:
	"""Of a site. `fault`: why its configuration cannot be read."""

	values: Mapping
	fault: str = ""


def settings_of(view: BenchView) -> dict[str, Settings]:
	"""Each site's own settings, read once for the whole examination."""
	return view.parts.get("site settings", lambda: {site: read_settings(view, site) for site in view.sites})


def read_settings(view: BenchView, site: str) -> Settings:
	"""What is wrong with a file is kept instead of raised, so that other sites are still checked."""
	try:
		return Settings(site_settings(view.path, site))
	except WrongEnvironment as error:
		return Settings({}, str(error))


def readable(view: BenchView) -> dict[str, Mapping]:
	"""Site → its configuration, where it can be read."""
	return {site: settings.values for site, settings in settings_of(view).items() if not settings.fault}


def databases(view: BenchView) -> dict[str, SiteDatabase]:
	"""Of every site whose configuration can be read."""
	configs = readable(view)

	def read() -> dict[str, SiteDatabase]:
		answers = dict(ask_each(list(configs), lambda site: look_at_database(site, configs[site]), not_asked))
		return {site: answers.get(site, UNKNOWN) for site in configs}

	return view.parts.get("databases", read)


def not_asked(error: Exception) -> SiteDatabase:
	"""A database that no answer was got from for a reason of ours."""
	return SiteDatabase(fault=error_name(error), is_asked=False)


def closed_by(view: BenchView) -> set[tuple[str, str]]:
	"""Site and key of the settings that an operation has changed which nobody has finished: it is told as such."""
	from fmx_restart.adapters.journal import crashed_operation_in

	settings: set[tuple[str, str]] = set()
	for operation in view.unfinished:
		with suppress(OSError):
			settings |= {(site, key) for site, key in crashed_operation_in(operation.journal).settings}
	return settings


TIMEOUT = 1.2  # seconds
AT_ONCE = 4
REFUSED = "connection refused"


@frozen
class WebAnswer:
	address: str
	fault: str  # empty: it answered as it should
	seconds: float
	is_asked: bool = True  # False: nothing could be sent, so nothing is known

	@property
	def is_silent(self) -> bool:
		"""It took the question and never answered, as a web program does whose workers are all busy."""
		return bool(self.fault) and self.seconds >= TIMEOUT


def web_answers(view: BenchView) -> dict[str, WebAnswer]:
	"""Sites that could not be asked in time are missing: nothing is known about them."""
	configs = readable(view)

	def ask() -> dict[str, WebAnswer]:
		by_site = dict(
			ask_each(list(configs), lambda site: ping(view, site, configs[site]), no_answer, threads=AT_ONCE)
		)
		return {site: by_site[site] for site in sorted(by_site)}

	return view.parts.get("web answers", ask)


def ping(view: BenchView, site: str, config: Mapping) -> WebAnswer:
	"""Ask web for a site as a browser would. Faults and seconds; nothing is raised."""
	try:
		endpoint = endpoint_of(view, config)
	except WrongEnvironment as error:
		return WebAnswer(
			"", str(error).removesuffix(" Nothing was changed.").rstrip("."), 0.0, is_asked=False
		)
	if not can_be_sent(site):
		return WebAnswer(str(endpoint), UNSENDABLE, 0.0, is_asked=False)
	server = PingedWebServer(
		endpoint, site, in_maintenance=lambda: bool(config.get("maintenance_mode")), timeout=TIMEOUT
	)
	began = time.monotonic()
	fault = server.fault()
	return WebAnswer(str(endpoint), fault.reason if fault else "", time.monotonic() - began)


def no_answer(error: Exception) -> WebAnswer:
	"""A site that could not be asked."""
	return WebAnswer("", error_name(error), 0.0, is_asked=False)


def endpoint_of(view: BenchView, config: Mapping) -> Endpoint:
	"""What was set; else where web listens, at the configured port if it does there. Raises WrongEnvironment."""
	if override := override_of(config):
		return override
	expected = Endpoint("127.0.0.1", web_port(config))
	listens_at = view.parts.get("web endpoints", lambda: listening(web_family(view)).endpoints)
	return next((at for at in listens_at if at.overlaps(expected)), (*listens_at, expected)[0])


def web_family(view: BenchView) -> list[HostProcess]:
	"""The processes of the web programs, where a manager tells them; else this bench's own that look like web servers."""
	with suppress(OperationError):
		pids = [it.pid for it in view.processes if it.kind is ProcessKind.WEB and it.pid]
		return [process for pid in pids for process in view.host.family(pid)]
	pids = [pid for pid, role in bench_processes(view).items() if role is Role.WEB]
	return [HostProcess(pid) for pid in pids]
