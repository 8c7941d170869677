"""What the scheduler enqueues by itself: no test can say when, and each would count and wait for jobs that nobody put."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from development.database import run_sql
from development.description import Bench

#: Rare ones go on: a site without any is none that someone uses.
FREQUENT = "frequency not like 'Monthly%' and frequency not like 'Year%' and frequency <> 'Annual'"


@contextmanager
def frequent_events_stopped(bench: Bench) -> Iterator[None]:
	"""The scheduler itself runs on, and finds nothing that is due."""
	stop_frequent_events(bench, 1)
	try:
		yield
	finally:
		stop_frequent_events(bench, 0)


def stop_frequent_events(bench: Bench, stopped: int) -> None:
	for site in bench.sites:
		name = json.loads((bench.sites_path / site / "site_config.json").read_text())["db_name"]
		run_sql(bench, f"update `{name}`.`tabScheduled Job Type` set stopped = {stopped} where {FREQUENT}")
