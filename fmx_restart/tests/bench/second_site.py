"""A second name for the first site's database: a site of its own to Frappe and to this app, and here at once."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
	from development.description import Bench

SECOND = "bench-test.localhost"


def add_second_site(bench: Bench, **config: Any) -> str:
	"""`config`: more for its site_config.json."""
	remove_second_site(bench)
	folder = bench.sites_path / SECOND
	own = json.loads((bench.sites_path / bench.site / "site_config.json").read_text())
	for name in ("locks", "logs"):
		(folder / name).mkdir(parents=True)
	(folder / "site_config.json").write_text(json.dumps({**own, "pause_scheduler": 1, **config}))
	return SECOND


def remove_second_site(bench: Bench) -> None:
	shutil.rmtree(bench.sites_path / SECOND, ignore_errors=True)
