"""What becomes of a job whose process is killed: it fails, unless someone said that it may be run again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rq.job import Job

from fmx_restart.worker.claims import KilledJob
from fmx_restart.worker.jobs import DEFAULT_TRIES, TRIES, restartable

#: In common_site_config.json: "fail", "requeue", or one of these for each queue; and how often a job may go back
SETTING, TRIES_SETTING = "fmx_restart_killed_jobs", "fmx_restart_killed_jobs_tries"
OTHER_QUEUES = "*"
#: In an app's hooks.py: {"app.module.function": tries}
HOOK = "restartable_jobs"
FAIL, REQUEUE = "fail", "requeue"


class Policies:
	"""The settings of a bench and the hooks of its apps, as they were when the worker started."""

	def __init__(self, settings: Mapping[str, Any], hooks: Mapping[str, int]) -> None:
		self._of_queues = settings.get(SETTING, FAIL)
		tries = settings.get(TRIES_SETTING)
		self._tries = tries if is_number(tries) else DEFAULT_TRIES
		self._hooks = hooks

	def of(self, job: Job, queue: str) -> KilledJob:
		"""A hook says more than a decorator, and that more than a setting. `queue`: without the bench's name."""
		method = method_of(job)
		tries = self._hooks.get(method) if isinstance(method, str) else None
		if tries is None:
			tries = getattr(function_of(method), TRIES, None)
		if is_number(tries):
			return KilledJob(REQUEUE if tries else FAIL, tries)
		of_queue = self._of_queues
		if isinstance(of_queue, dict):
			of_queue = of_queue.get(queue, of_queue.get(OTHER_QUEUES))
		return KilledJob(REQUEUE, self._tries) if of_queue == REQUEUE else KilledJob()


def is_number(value: object) -> bool:
	"""Whether it can say how often a job may go back."""
	return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1000


def read_settings(sites: Path) -> dict[str, Any]:
	"""common_site_config.json; empty where it cannot be read: then a killed job fails."""
	with suppress(OSError, ValueError):
		settings = json.loads((sites / "common_site_config.json").read_text())
		return settings if isinstance(settings, dict) else {}
	return {}


def read_hooks(sites: Path) -> dict[str, int]:
	"""Of all apps of the bench, whether a site has them or not."""
	found: dict[str, int] = {}
	try:
		apps = (sites / "apps.txt").read_text().split()
	except OSError:
		return found
	for app in apps:
		with suppress(Exception):  # an app that does not import must not keep a worker from starting
			found.update(getattr(import_module(f"{app}.hooks"), HOOK, {}))
	return {method: tries for method, tries in found.items() if is_number(tries)}


def method_of(job: Job) -> object:
	"""What Frappe would run: a function or its path; of a scheduled job, that of its type."""
	try:
		kwargs, name = job.kwargs, job.func_name
	except Exception:  # noqa: BLE001  whatever RQ cannot load, it fails by itself
		return None
	method = kwargs.get("method", name)
	inner = kwargs.get("kwargs")
	scheduled = inner.get("job_type") if isinstance(inner, dict) else None
	return scheduled if isinstance(scheduled, str) and "." in scheduled else method


def function_of(method: object) -> object:
	"""None where there is none of that name."""
	if not isinstance(method, str):
		return method
	module, _, name = method.rpartition(".")
	with suppress(Exception, SystemExit):  # the job itself tells what is wrong with it
		if module and (module in sys.modules or may_decorate(module)):
			return getattr(import_module(module), name, None)
	return None


def may_decorate(module: str) -> bool:
	"""
	Whether its source names the decorator. No other module is imported here: Frappe imports it for the job, and by then its
	site is known. Raises whatever keeps the module from being found.
	"""
	spec = find_spec(module)
	return bool(spec and spec.origin) and restartable.__name__ in Path(spec.origin).read_text()
