"""Which queues a bench has, how long a job may run in each, and which of them a worker serves. Frappe's own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from fmx_restart.adapters.numbers import whole_number

DEFAULT = 300  # seconds
STANDARD = {"short": DEFAULT, "default": DEFAULT, "long": 1500}


def queue_limits(config: Mapping) -> dict[str, int]:
	"""
	Queue → seconds. `config`: common_site_config.json (frappe.utils.background_jobs.get_queues_timeout). What cannot be
	read is left out, or has Frappe's default.
	"""
	custom = config.get("workers")
	if not isinstance(custom, Mapping):
		return dict(STANDARD)
	return {**STANDARD, **{str(name): limit_of(settings) for name, settings in custom.items()}}


def limit_of(settings: object) -> int:
	timeout = whole_number(settings.get("timeout")) if isinstance(settings, Mapping) else None
	return timeout if timeout and timeout > 0 else DEFAULT


def served_queues(words: Sequence[str], limits: Mapping[str, int]) -> tuple[str, ...]:
	"""Of a command line such as bench worker --queue short,default. Without --queue it serves all of them."""
	for word, following in pairwise([*words, ""]):
		if word == "--queue":
			return split(following)
		if word.startswith("--queue="):
			return split(word.partition("=")[2])
	return tuple(limits)


def split(names: str) -> tuple[str, ...]:
	return tuple(name.strip() for name in names.strip("\"'").split(",") if name.strip())
