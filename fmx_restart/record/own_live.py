"""
The bench at this moment, as a site sees it that does not command it: its own jobs, and numbers for the rest. Answers of
live.py go in and come out. Nothing of Frappe here.
"""

from __future__ import annotations

from typing import Any

from fmx_restart.record.own_view import BENCH, NOT_SHOWN, OTHER_SITE

Answer = dict[str, Any]


def own_workers(told: Answer, site: str, failed_jobs: list[Answer], holder: str | None) -> Answer:
	"""`failed_jobs`: the newest of this site."""
	return {
		"time": told["time"],
		"bench": BENCH,
		"suspension": told["suspension"] and NOT_SHOWN,
		"suspended_by_us": told["suspended_by_us"],
		"holder": holder,
		"operation": told["operation"],
		"workers": [own_worker(worker, site, number) for number, worker in enumerate(told["workers"], 1)],
		"queues": told["queues"],
		"failed_jobs": failed_jobs,
		"other_benches": {},
		"scheduler": told["scheduler"],
	}


def own_worker(worker: Answer, site: str, number: int) -> Answer:
	"""`number`: in place of its name, which holds host and pid."""
	kept = ("queues", "state", "is_alive", "is_leaving", "born", "heartbeat")
	job = worker["job"]
	if job and job["site"] != site:
		job = {**job, "id": f"other-{number}", "site": OTHER_SITE, "method": NOT_SHOWN}
	hidden = {"name": f"worker {number}", "host": "", "pid": None, "memory": None}
	return {**{name: worker[name] for name in kept}, **hidden, "job": job}


def own_findings(told: Answer, site: str) -> Answer:
	"""What is about this site. `others`: how many there are besides."""
	own = [finding for finding in told["findings"] if finding["subject"] == site]
	error = told["error"] and "The bench cannot be examined now."
	return {
		"findings": own,
		"others": len(told["findings"]) - len(own),
		"error": error,
		"seconds": told["seconds"],
	}
