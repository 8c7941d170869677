"""Whether a bench wants the workers of this app. Every bench command asks this: standard library only, and little of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SETTING = "fmx_restart_worker"  # in common_site_config.json
VARIABLE = "FMX_RESTART_WORKER"


def is_wanted(sites: Path = Path(), environ: Mapping[str, str] = os.environ) -> bool:
	"""The environment's 0 or 1, else the setting. A setting that cannot be read is none: a worker always starts."""
	if environ.get(VARIABLE) in ("0", "1"):
		return environ[VARIABLE] == "1"
	import json

	try:
		settings = json.loads((sites / "common_site_config.json").read_text())
		return is_on(settings.get(SETTING))
	except (OSError, ValueError, AttributeError):
		return False


def is_on(value: object) -> bool:
	"""1, true, or one of them as text: people quote both."""
	return str(value).lower() in ("1", "true")
