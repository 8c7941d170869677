"""When the code of a bench's apps changed last: by the files, as a checkout, a pull and an editor all change those."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fmx_restart.adapters.bench_config import apps_in
from fmx_restart.engine.errors import WrongEnvironment

PASSED_OVER = {"node_modules", "public", "tests", "__pycache__"}  # what no worker imports
BUDGET = 0.7  # seconds for all apps
AHEAD = 60.0  # seconds; a change in a future farther away than this is a wrong clock's


@dataclass(frozen=True)
class Change:
	app: str
	file: str  # relative to the app
	time: float  # seconds since the epoch


def last_change(bench: Path) -> Change | None:
	"""The newest Python file of all apps in sites/apps.txt, as far as the time suffices. None when there is none."""
	deadline = time.monotonic() + BUDGET
	newest = None
	for app in known_apps(bench):
		root = bench / "apps" / app
		for path, changed in sources(root / app, deadline):
			if (newest is None or changed > newest.time) and changed < time.time() + AHEAD:
				newest = Change(app, os.path.relpath(path, root), changed)
	return newest


def known_apps(bench: Path) -> list[str]:
	try:
		return apps_in(bench / "sites" / "apps.txt")
	except (OSError, WrongEnvironment):
		return []


def sources(folder: Path, deadline: float) -> Iterator[tuple[str, float]]:
	"""Python files but for tests, with the time of their last change. What cannot be read is passed over."""
	waiting = [str(folder)]
	while waiting and time.monotonic() < deadline:
		try:
			with os.scandir(waiting.pop()) as entries:
				for entry in entries:
					if entry.is_dir(follow_symlinks=False):
						if entry.name not in PASSED_OVER and not entry.name.startswith("."):
							waiting.append(entry.path)
					elif entry.name.endswith(".py") and not entry.name.startswith("test_"):
						yield entry.path, entry.stat().st_mtime
		except OSError:
			continue
