"""The bench as it is at this moment, and the numbers of Desk's charts."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import frappe
import psutil
from frappe.utils.scheduler import is_scheduler_disabled

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.holds import RedisHolds
from fmx_restart.adapters.redis_queue.jobs import failed_counts, newest_failed
from fmx_restart.adapters.redis_queue.renewals import Renewal, recycled, renewals
from fmx_restart.desk import access, bench, rows, samples, verdict
from fmx_restart.desk.bench import cached
from fmx_restart.desk.json_safe import json_safe
from fmx_restart.desk.own_view import own_findings, own_workers
from fmx_restart.desk.queries import changed_row, feed_of, job_entry, status_of, with_known_outage
from fmx_restart.desk.sample_lines import at_even_times
from fmx_restart.desk.sync import catch_up
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.plan import is_worth_naming
from fmx_restart.engine.ports import Job, Look, Worker, WorkerState
from fmx_restart.engine.workers import Locator, is_live, live_workers

MOST_POINTS = 120
OPERATIONS = 30
DURATION = ("started", "strategy", "status", "duration", "web_outage", "web_answers")


def charts(hours: float) -> dict[str, Any]:
	"""The last so many hours, as far as samples go back, and how long past operations took."""
	since = time.time() - min(max(hours, 0.1), samples.HOURS) * 3600
	numbers = {"depths": depths(since), "throughput": throughput(since), "durations": durations()}
	return {**numbers, "time_zone": bench.zone_name()}


def depths(since: float) -> dict[str, Any]:
	"""Jobs in each queue at equal distances in time, as many as a chart can draw."""
	points = at_even_times(samples.depths_since(since), MOST_POINTS, samples.PAUSE)
	names = sorted({name for sample in points for name in sample["depths"]})
	queues = {name: [sample["depths"].get(name, 0) for sample in points] for name in names}
	return {"times": [sample["time"] for sample in points], "queues": queues}


def throughput(since: float) -> dict[str, Any]:
	"""Jobs that finished and failed in each minute. `times` are in seconds since 1970."""
	points = samples.throughput_since(since)
	times, finished, failed = zip(*points, strict=True) if points else ((), (), ())
	return {"times": list(times), "finished": list(finished), "failed": list(failed)}


def durations() -> list[dict[str, Any]]:
	"""Of the last operations that ran, the oldest first. `web_outage`: None where nobody measured it."""
	operations = frappe.get_all(
		rows.DOCTYPE,
		filters={"status": ("in", ("Done", "Cancelled", "Aborted", "Failed"))},
		fields=["name", *DURATION],
		order_by="started desc",
		limit_page_length=OPERATIONS,
	)
	return [{"operation": row.pop("name"), **with_known_outage(row)} for row in reversed(operations)]


WORKERS_FOR, VERDICT_FOR, FINDINGS_FOR = 1, 1, 10  # seconds that an answer is given again
MOST_FAILED = 10  # failed jobs that are named
SEARCHED = 200  # failed jobs among which a site finds its own


def workers() -> dict[str, Any]:
	"""As they were at most a second ago, however many people watch them."""
	answer = cached(f"workers:{audience()}", WORKERS_FOR, shown_workers)
	return {**answer, "access": access.for_desk()}


def watch(operation: str, cursor: int, modified: str) -> dict[str, Any]:
	"""
	All that Desk's form of an operation shows, in one answer. The bench's Redis may be away for a while: `now` is None
	then, and what happened is told all the same.
	"""
	told = feed_of(operation, cursor)
	now = queued = None
	if told["status"] == "Queued":
		queued = status_of(operation)
	elif told["status"] == "Running":
		with contextlib.suppress(OperationError):
			now = workers()
	return {**told, "row": changed_row(operation, modified), "queued": queued, "now": now}


def verdict_now() -> dict[str, Any]:
	"""At most a second old: whether a restart can begin, the strategy that fits, and who may start one."""
	answer = cached(f"verdict:{audience()}", VERDICT_FOR, look_for_verdict)
	return {**answer, "access": access.for_desk()}


def look_for_verdict() -> dict[str, Any]:
	"""
	One look at the queue. Where it cannot be looked at, the verdict says why. The rows are brought up to date before: no
	worker may be free to do that.
	"""
	catch_up()
	always = {"last": last_operation(), "time_zone": bench.zone_name()}
	try:
		look, jobs, queue = look_at_jobs()
		held = bench.held()
		answer = verdict.now(queue, look, jobs.values(), held)
	except OperationError as error:
		unknown = dict.fromkeys(("operation", "holder", "workers", "busy", "waiting"))
		return {**verdict.of_error(error), **unknown, **always}
	live = live_workers(look)
	return {
		**answer,
		"operation": held.operation if held else None,
		"holder": access.holder_text(held),
		"workers": len(live),
		"busy": sum(worker.state is WorkerState.BUSY for worker in live),
		"waiting": sum(look.depths.values()),
		**always,
	}


def last_operation() -> dict[str, Any] | None:
	"""The newest one that is over, in one sentence; None where there is none."""
	row = frappe.get_all(
		rows.DOCTYPE,
		filters={"status": ("in", rows.OVER)},
		fields=["name", "status", "headline", "reason", "started"],
		order_by="started desc",
		limit_page_length=1,
	)
	if not row:
		return None
	last = row[0]
	text = last.headline or last.reason or last.status
	return {"operation": last.name, "status": last.status, "started": last.started, "headline": text}


def look_at_jobs() -> tuple[Look, dict[str, Job], RedisQueue]:
	"""Workers and the jobs that are worth naming. Raises OperationError."""
	queue, host = RedisQueue(bench.connection(), bench.bench_id(), ""), ThisHost(bench.bench_folder())
	look = Locator(host, queue, SystemClock()).locate(queue.look())
	running = queue.describe(job.id for job in look.started)
	return look, {id: job for id, job in running.items() if is_worth_naming(job, look.time)}, queue


def audience() -> str:
	"""What is shown depends on the site, its mode, and the language of the sentences in it."""
	site = access.current()
	return f"{site.site}:{site.mode.value}:{frappe.local.lang}"


def shown_workers() -> dict[str, Any]:
	"""The workers and queues that this site may see. Raises OperationError."""
	answer = json_safe(look_at_workers())
	site = access.current()
	if site.is_control:
		return answer
	names = [queue["queue"] for queue in answer["queues"] if queue["failed"]]
	failed = [job for job in failed_entries(bench.bench_id(), names, SEARCHED) if job["site"] == site.site]
	return own_workers(answer, site.site, failed[:MOST_FAILED], access.holder_text(bench.held()))


def look_at_workers() -> dict[str, Any]:
	"""The whole bench now, in one look. It counts as a sample for the charts. Raises OperationError."""
	bench_id = bench.bench_id()
	look, jobs, queue = look_at_jobs()
	samples.note(look)
	held = bench.held()
	failed = failed_counts(bench.connection(), bench_id, look.depths)
	known = renewals(bench.connection(), look.workers)
	return {
		**verdict.now(queue, look, jobs.values(), held),
		"time": look.time,
		"bench": bench_id,
		"suspension": look.suspension,
		"holds": [asdict(hold) for hold in RedisHolds(bench.connection(), bench_id).standing()],
		"suspended_by_us": (look.suspension or "").startswith("fmx_restart:"),
		"holder": held.text if held else None,
		"operation": held.operation if held else None,
		"workers": [worker_entry(worker, jobs, look, known.get(worker.name)) for worker in look.workers],
		"queues": queue_entries(look, jobs, failed),
		"failed_jobs": failed_entries(bench_id, [name for name, count in failed.items() if count]),
		"other_benches": look.other_benches,
		"scheduler": [scheduler_entry()],
	}


def worker_entry(
	worker: Worker, jobs: dict[str, Job], look: Look, renewal: Renewal | None = None
) -> dict[str, Any]:
	"""One worker; `memory` in bytes, and None on another machine."""
	job = jobs.get(worker.job_id or "")
	return {
		"name": worker.name,
		"host": worker.host,
		"pid": worker.pid,
		"queues": list(worker.queues),
		"state": worker.state.value,
		"is_alive": is_live(worker, look),
		"is_leaving": worker.is_leaving,
		"born": worker.born,
		"heartbeat": worker.heartbeat,
		"memory": memory(worker.pid) if worker.name in look.local.running else None,
		"recycled": recycled(renewal),
		"job": job_entry(job, look.time) if job else None,
	}


def memory(pid: int) -> int | None:
	"""Resident bytes of a worker and its job's process. The kernel's own list of children: psutil reads the whole table."""
	try:
		children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
	except OSError:
		children = []
	sizes = []
	for process in (pid, *map(int, children)):
		with contextlib.suppress(psutil.Error):
			sizes.append(psutil.Process(process).memory_info().rss)
	return sum(sizes) if sizes else None


def queue_entries(look: Look, jobs: dict[str, Job], failed: dict[str, int]) -> list[dict[str, Any]]:
	"""Jobs that wait, run and have failed, of each queue."""
	running = [job.queue for job in jobs.values()]
	return [
		{"queue": name, "queued": depth, "running": running.count(name), "failed": failed[name]}
		for name, depth in sorted(look.depths.items())
	]


def failed_entries(bench_id: str, queues: list[str], most: int = MOST_FAILED) -> list[dict[str, Any]]:
	"""The newest failed jobs of these queues, never with their arguments."""
	return (
		[asdict(job) for job in newest_failed(bench.connection(), bench_id, queues, most)] if queues else []
	)


def scheduler_entry() -> dict[str, Any]:
	"""Of this site: another one's settings are in its own database."""
	reasons = {
		"maintenance mode": frappe.conf.maintenance_mode,
		"paused": frappe.conf.pause_scheduler,
		"disabled": frappe.conf.disable_scheduler or is_scheduler_disabled(verbose=False),
	}
	reason = next((name for name, is_so in reasons.items() if is_so), "")
	return {"site": frappe.local.site, "is_active": not reason, "reason": reason}


def findings() -> dict[str, Any]:
	"""The doctor asks much more than `workers`, each question with a time limit. At most ten seconds old."""
	return cached(f"findings:{audience()}", FINDINGS_FOR, shown_findings)


def shown_findings() -> dict[str, Any]:
	"""The doctor's findings that this site may see."""
	site = access.current()
	return examine_bench() if site.is_control else own_findings(examine_bench(), site.site)


def examine_bench() -> dict[str, Any]:
	"""An examination with all checks. An error is told instead of raised: the page shows it."""
	from fmx_restart.wiring import examine

	began = time.monotonic()
	try:
		examination = examine()
	except OperationError as error:
		text = f"{error} {error.hint}".strip()
		return {"findings": [], "web": [], "error": text, "seconds": time.monotonic() - began}
	return {
		"findings": [asdict(finding) for finding in examination.findings],
		"web": [asdict(row) for row in examination.details.get("web", ())],
		"error": None,
		"seconds": time.monotonic() - began,
	}
