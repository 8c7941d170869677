"""Each site's answer to a ping, as far as they come in time: few at once, for a web server has few workers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from fmx_restart.adapters.bench_config import web_port
from fmx_restart.adapters.web import PingedWebServer
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.side_by_side import ask_each
from fmx_restart.doctor.sites import readable
from fmx_restart.engine.errors import WrongEnvironment

TIMEOUT = 1.2  # seconds
AT_ONCE = 4
REFUSED = "connection refused"


@dataclass(frozen=True)
class WebAnswer:
	port: int
	fault: str  # empty: it answered as it should
	seconds: float

	@property
	def is_silent(self) -> bool:
		return bool(self.fault) and self.seconds >= TIMEOUT


def web_answers(patient: Patient) -> dict[str, WebAnswer]:
	"""Sites that could not be asked in time are missing: nothing is known about them."""
	configs = readable(patient)

	def ask() -> dict[str, WebAnswer]:
		found = dict(ask_each(list(configs), lambda site: ping(site, configs[site]), threads=AT_ONCE))
		return {site: found[site] for site in sorted(found)}

	return patient.parts.get("web answers", ask)


def ping(site: str, config: Mapping) -> WebAnswer:
	try:
		port = web_port(config)
	except WrongEnvironment as error:
		return WebAnswer(0, str(error), 0.0)
	server = PingedWebServer(
		port, site, in_maintenance=lambda: bool(config.get("maintenance_mode")), timeout=TIMEOUT
	)
	began = time.monotonic()
	fault = server.fault()
	return WebAnswer(port, str(fault or ""), time.monotonic() - began)
