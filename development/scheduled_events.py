"""What the scheduler enqueues by itself: no test can say when, and each would count and wait for jobs that nobody put."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from development.description import Bench
from development.sites import bench_command

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
	allow = "set sql_safe_updates = 0"  # Frappe's client refuses to change many rows at once
	change = f"{allow}; update `tabScheduled Job Type` set stopped = {stopped} where {FREQUENT}"
	for site in bench.sites:
		bench_command(bench, bench.log_path / "build.log", "--site", site, "mariadb", "-e", change)
