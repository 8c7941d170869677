"""What a monitoring system reads: workers, queues, the last operation. A scrape costs three round trips and one row."""

from __future__ import annotations

import hmac
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import frappe
from frappe.utils import get_datetime
from werkzeug.wrappers import Response

from fmx_restart.adapters.bench import read_config
from fmx_restart.adapters.control_sites import Mode, rule_of
from fmx_restart.adapters.redis_queue.gauges import QueueGauge, queue_gauges
from fmx_restart.adapters.redis_queue.look import Looker
from fmx_restart.desk import bench, rows
from fmx_restart.desk.open_metrics import CONTENT_TYPE, Gauge, exposition
from fmx_restart.engine.errors import OperationError, WrongEnvironment
from fmx_restart.engine.ports import Look, WorkerState

TOKEN_KEY = "fmx_restart_metrics_token"
LAST = (
	"name",
	"status",
	"finished",
	"duration",
	"jobs_lost",
	"jobs_interrupted",
	"jobs_put_back",
	"jobs_lost_before",
)
WEB = ("web_outage", "web_answers")


def answer() -> Response:
	"""404 where there are no metrics, 401 for a wrong token, else the numbers. Who asks is no user of the site."""
	token = token_of_bench()
	if token is None:
		return Response("Not found\n", status=404, mimetype="text/plain")
	if not is_token(frappe.local.flags.get("fmx_restart_authorization") or "", token):
		headers = {"WWW-Authenticate": "Bearer"}
		return Response("A wrong bearer token, or none\n", status=401, headers=headers, mimetype="text/plain")
	return Response(exposition(gauges()), content_type=CONTENT_TYPE)


def token_of_bench() -> str | None:
	"""None where metrics are off, or this site does not command the bench. No site_config.json and no database is asked."""
	folder = Path(frappe.local.sites_path)
	try:
		config = read_config(folder)
		if rule_of(config, folder).mode(frappe.local.site) is not Mode.CONTROL:
			return None
	except WrongEnvironment:
		return None
	token = config.get(TOKEN_KEY)
	return token if isinstance(token, str) and token.strip() else None


def is_token(authorization: str, token: str) -> bool:
	"""How much of a token is right cannot be learnt from how long the answer takes."""
	kind, _, given = authorization.partition(" ")
	both = [text.strip().encode(errors="backslashreplace") for text in (given, token)]
	return hmac.compare_digest(*both) and kind.lower() == "bearer"


def gauges() -> Iterator[Gauge]:
	"""Those of Redis are left out where it does not answer, but for the one that says so."""
	began = time.perf_counter()
	try:
		look = Looker(bench.connection(), bench.bench_id()).look()
		queues, claims = queue_gauges(bench.connection(), bench.bench_id(), look.depths)
		found = [*of_workers(look), *of_queues(look, queues), *of_claims(claims), *of_now(look, bench.held())]
	except OperationError:
		found = []
	yield Gauge("fmx_restart_redis_up", "Whether the Redis of the queues answers.").add(bool(found))
	yield from found
	yield from of_last_operation()
	seconds = time.perf_counter() - began
	yield Gauge("fmx_restart_scrape_duration_seconds", "How long these numbers took.").add(seconds)


def of_workers(look: Look) -> Iterator[Gauge]:
	"""By what they do. A state that no worker is in is 0, so that a graph has no gaps."""
	states = Counter(worker.state for worker in look.workers)
	gauge = Gauge("fmx_restart_workers", "Workers that Redis knows, by state.")
	for state in WorkerState:
		gauge.add(states[state], state=state.value)
	yield gauge


def of_queues(look: Look, queues: list[QueueGauge]) -> Iterator[Gauge]:
	"""Each queue's jobs. The age is that of the job at the head: one that was put first may be younger than others."""
	waiting = Gauge("fmx_restart_queue_jobs", "Jobs that wait in the queue.")
	age = Gauge(
		"fmx_restart_queue_oldest_job_age_seconds", "How long the next job has been waiting; 0 if none waits."
	)
	failed = Gauge("fmx_restart_failed_jobs", "Failed jobs that RQ still keeps.")
	stranded = Gauge("fmx_restart_stranded_jobs", "Jobs that a worker popped and has not started.")
	for queue in sorted(queues, key=lambda queue: queue.name):
		depth = look.depths[queue.name]
		waiting.add(depth, queue=queue.name)
		if queue.oldest is not None or not depth:
			age.add(max(0.0, look.time - (queue.oldest or look.time)), queue=queue.name)
		failed.add(queue.failed, queue=queue.name)
		stranded.add(queue.stranded, queue=queue.name)
	yield from (waiting, age, failed, stranded)


def of_claims(claims: dict[str, int]) -> Iterator[Gauge]:
	"""Of workers of this app: a job that is claimed cannot become a ghost."""
	gauge = Gauge("fmx_restart_claims", "Jobs that workers of fmx_restart have claimed, by state.")
	for state in ("popped", "started"):
		gauge.add(claims.get(state, 0), state=state)
	yield gauge


def of_now(look: Look, held: bench.Held | None) -> Iterator[Gauge]:
	"""Whether anything keeps the queue from running just now."""
	yield Gauge("fmx_restart_running_jobs", "Jobs that run.").add(len(look.started))
	yield Gauge("fmx_restart_queue_suspended", "Whether the queue is suspended.").add(bool(look.suspension))
	yield Gauge("fmx_restart_operation_running", "Whether an operation holds the bench.").add(bool(held))


def of_last_operation() -> Iterator[Gauge]:
	"""Of the last one that is over, by its row. Nothing before the first."""
	row = frappe.db.get_value(
		rows.DOCTYPE, {"status": ("in", rows.OVER)}, [*LAST, *WEB], as_dict=True, order_by="started desc"
	)
	if row:
		yield from of_row(row)


def of_row(row: dict[str, Any]) -> Iterator[Gauge]:
	"""Of one operation that is over."""
	prefix = "fmx_restart_last_operation"
	status = Gauge(f"{prefix}_status", "1 for the status of the last operation, 0 for the others.")
	for name in rows.OVER:
		status.add(name == row["status"], status=name)
	yield status
	finished = row["finished"] and get_datetime(row["finished"]).replace(tzinfo=bench.site_zone()).timestamp()
	yield Gauge(f"{prefix}_finished_timestamp_seconds", "When it ended.").add(finished or None)
	yield Gauge(f"{prefix}_duration_seconds", "How long it took.").add(row["duration"])
	yield Gauge(f"{prefix}_lost_jobs", "Jobs that it could not account for.").add(row["jobs_lost"])
	yield Gauge(f"{prefix}_killed_jobs", "Jobs that it killed.").add(row["jobs_interrupted"])
	yield Gauge(f"{prefix}_ghost_jobs", "Jobs that others had lost: it put them back, or left them.").add(
		(row["jobs_put_back"] or 0) + (row["jobs_lost_before"] or 0)
	)
	if row["web_answers"]:  # else nobody measured it
		outage = Gauge(f"{prefix}_web_outage_seconds", "How long users got no answer from web.")
		yield outage.add(row["web_outage"])
