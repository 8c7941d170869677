"""
What Frappe's own code says, read as text. Importing Frappe takes a second, and may hang or fail; an operation needs it to
begin as little as it needs the database.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

from fmx_restart.adapters.setting_rules import whole_number

CHECK = re.compile(r"^def _check_queue_size\b", re.MULTILINE)
DEFAULT = re.compile(r"^MAX_QUEUED_JOBS\s*=\s*(\d+)", re.MULTILINE)
PER_SITE = re.compile(r"^\s*max_jobs \+= _site_count\(\) \* (\d+)", re.MULTILINE)


def queue_limit(config: Mapping, sites: int, folder: Path | None = None) -> int | None:
	"""
	The depth at which frappe.enqueue begins to raise QueueOverloaded (frappe/utils/background_jobs.py); None where it never
	does. Frappe 15 looks only where max_queued_jobs is set in `config`, common_site_config.json; Frappe 16 has a default, and
	adds some for each site. Where the code cannot be read the setting alone counts. `folder`: Frappe's package, if it is
	known.
	"""
	configured = whole_number(config.get("max_queued_jobs")) or 0
	code = background_jobs(folder or package())
	if code is None:
		return configured or None
	if not CHECK.search(code):
		return None
	base = configured or number_in(DEFAULT, code)
	return base + sites * number_in(PER_SITE, code) if base else None


def package() -> Path | None:
	"""The folder of Frappe's package, found as Python would; nothing of it runs. None where there is none."""
	try:
		spec = importlib.util.find_spec("frappe")
	except (ImportError, ValueError):
		return None
	return Path(spec.origin).parent if spec and spec.origin else None


def background_jobs(folder: Path | None) -> str | None:
	"""The text of Frappe's background_jobs.py, read and not imported. None where it is not found."""
	try:
		return (folder / "utils" / "background_jobs.py").read_text(errors="replace") if folder else None
	except OSError:
		return None


def number_in(pattern: re.Pattern, code: str) -> int:
	"""0 where the code has no such line."""
	found = pattern.search(code)
	return int(found[1]) if found else 0
