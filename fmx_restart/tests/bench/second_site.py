"""A second name for the first site's database: a site of its own to Frappe and to this app, and here at once."""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
	from development.description import Bench

SECOND = "bench-test.localhost"


def add_second_site(bench: Bench, **config: Any) -> str:
	"""`config`: more for its site_config.json."""
	remove_second_site(bench)
	folder = bench.sites_path / SECOND
	path = bench.sites_path / bench.site / "site_config.json"
	own = json.loads(path.read_text())
	if (
		"encryption_key" not in own
	):  # Frappe makes one when it first needs it, and each site would make its own
		own["encryption_key"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
		path.write_text(json.dumps(own, indent=1))
	for name in ("locks", "logs"):
		(folder / name).mkdir(parents=True)
	(folder / "site_config.json").write_text(json.dumps({**own, "pause_scheduler": 1, **config}))
	return SECOND


def remove_second_site(bench: Bench) -> None:
	shutil.rmtree(bench.sites_path / SECOND, ignore_errors=True)
