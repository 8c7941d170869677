"""Numbers for Desk's charts."""

from __future__ import annotations

import time
from typing import Any

import frappe

from fmx_restart.record import rows, samples

MOST_POINTS = 120
OPERATIONS = 30
DURATION = ("started", "strategy", "status", "duration")


def charts(hours: float) -> dict[str, Any]:
	since = time.time() - min(max(hours, 0.1), samples.HOURS) * 3600
	return {"depths": depths(since), "throughput": throughput(since), "durations": durations()}


def depths(since: float) -> dict[str, Any]:
	found = samples.depths_since(since)
	found = found[:: max(1, -(-len(found) // MOST_POINTS))]
	names = sorted({name for sample in found for name in sample["depths"]})
	queues = {name: [sample["depths"].get(name, 0) for sample in found] for name in names}
	return {"times": [sample["time"] for sample in found], "queues": queues}


def throughput(since: float) -> dict[str, Any]:
	found = samples.throughput_since(since)
	times, finished, failed = zip(*found, strict=True) if found else ((), (), ())
	return {"times": list(times), "finished": list(finished), "failed": list(failed)}


def durations() -> list[dict[str, Any]]:
	"""Of the last operations that ran, the oldest first."""
	found = frappe.get_all(
		rows.DOCTYPE,
		filters={"status": ("in", ("Done", "Aborted", "Failed"))},
		fields=["name", *DURATION],
		order_by="started desc",
		limit_page_length=OPERATIONS,
	)
	return [{"operation": row.pop("name"), **row} for row in reversed(found)]
