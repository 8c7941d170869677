"""A worker asks the application that it has loaded, before it takes its first request from anybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from wsgiref.util import setup_testing_defaults

PING = "/api/method/ping"
SERVER_ERROR = 500


def first_fault(application: Callable, sites: Iterable[str]) -> str:
	"""Why the first site that errs does; empty where each answers. `sites`: those that answered the old code."""
	for site in sites:
		if fault := fault_of(application, site):
			return f"{site}: {fault}"
	return ""


def fault_of(application: Callable, site: str) -> str:
	"""Of one request, in few words: what an error says may be secret, so only its type is told."""
	statuses: list[str] = []
	environment = {"PATH_INFO": PING, "HTTP_HOST": site, "REMOTE_ADDR": "127.0.0.1", "RAW_URI": PING}
	setup_testing_defaults(environment)
	try:
		answer = application(environment, lambda status, headers, error=None: statuses.append(status))
		try:
			for _ in answer:
				pass
		finally:
			getattr(answer, "close", lambda: None)()  # what runs after a response is part of it
		status = int(statuses[-1].split()[0])
	except Exception as error:  # noqa: BLE001  whatever the new code raises is the answer
		return type(error).__name__
	return f"HTTP {status}" if status >= SERVER_ERROR else ""
