"""Each site's answer to a ping, as far as they come in time: few at once, for a web server has few workers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fmx_restart.adapters.bench_config import web_port
from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.web.endpoint import Endpoint, override_of
from fmx_restart.adapters.web.listening import listening
from fmx_restart.adapters.web.ping import UNSENDABLE, PingedWebServer
from fmx_restart.adapters.web.sites import can_be_sent
from fmx_restart.doctor.host_parts import bench_processes
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.side_by_side import ask_each
from fmx_restart.doctor.sites import readable
from fmx_restart.doctor.words import error_name
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.ports import HostProcess, ProcessKind

TIMEOUT = 1.2  # seconds
AT_ONCE = 4
REFUSED = "connection refused"


@dataclass(frozen=True)
class WebAnswer:
	address: str
	fault: str  # empty: it answered as it should
	seconds: float
	is_asked: bool = True  # False: nothing could be sent, so nothing is known

	@property
	def is_silent(self) -> bool:
		return bool(self.fault) and self.seconds >= TIMEOUT


def web_answers(patient: Patient) -> dict[str, WebAnswer]:
	"""Sites that could not be asked in time are missing: nothing is known about them."""
	configs = readable(patient)

	def ask() -> dict[str, WebAnswer]:
		found = dict(
			ask_each(
				list(configs), lambda site: ping(patient, site, configs[site]), not_asked, threads=AT_ONCE
			)
		)
		return {site: found[site] for site in sorted(found)}

	return patient.parts.get("web answers", ask)


def ping(patient: Patient, site: str, config: Mapping) -> WebAnswer:
	try:
		endpoint = endpoint_of(patient, config)
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


def not_asked(error: Exception) -> WebAnswer:
	return WebAnswer("", error_name(error), 0.0, is_asked=False)


def endpoint_of(patient: Patient, config: Mapping) -> Endpoint:
	"""What was set; else where web listens, at the configured port if it does there. Raises WrongEnvironment."""
	if override := override_of(config):
		return override
	expected = Endpoint("127.0.0.1", web_port(config))
	listens_at = patient.parts.get("web endpoints", lambda: listening(web_family(patient)).endpoints)
	return next((at for at in listens_at if at.overlaps(expected)), (*listens_at, expected)[0])


def web_family(patient: Patient) -> list[HostProcess]:
	"""The processes of the web programs, where a manager tells them; else this bench's own that look like web servers."""
	with suppress(OperationError):
		pids = [it.pid for it in patient.processes if it.kind is ProcessKind.WEB and it.pid]
		return [process for pid in pids for process in patient.host.family(pid)]
	pids = [pid for pid, role in bench_processes(patient).items() if role is Role.WEB]
	return [HostProcess(pid) for pid in pids]
