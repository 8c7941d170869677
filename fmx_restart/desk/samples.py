"""Queue depths and throughput of the last hours, kept in the queue's Redis, where anybody may write."""

from __future__ import annotations

import json

import frappe
from frappe.utils.background_jobs import RQ_JOB_FAILURE_TTL, RQ_RESULTS_TTL

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.jobs import MINUTE, ended_per_minute
from fmx_restart.adapters.redis_queue.look import Looker
from fmx_restart.adapters.setting_rules import number_of
from fmx_restart.desk import bench
from fmx_restart.desk.sample_lines import counts_in, number_in, sample_in
from fmx_restart.engine.ports import Look

PAUSE = 10.0  # seconds between two samples
KEPT = 1080  # samples: three hours of them
HOURS = 3
MOST_MINUTES = 9  # back from now: RQ forgets finished jobs after ten


def tick() -> None:
	"""Of the scheduler, every few minutes."""
	from fmx_restart.desk.sync import catch_up

	catch_up()
	with redis_border():
		note(Looker(bench.connection(), bench.bench_id()).look())


def keys() -> tuple[str, str]:
	"""The two lists of samples in Redis: depths, and finished and failed jobs."""
	prefix = f"rq:fmx:{bench.bench_id()}"
	return f"{prefix}:samples", f"{prefix}:throughput"


def note(look: Look) -> None:
	"""Two samples at once do no harm: they say the same."""
	connection, (samples, _) = bench.connection(), keys()
	with redis_border():
		newest = connection.lindex(samples, 0)
		sample = newest and sample_in(newest)
		if sample and 0 <= look.time - sample["time"] < PAUSE:
			return
		pipe = connection.pipeline(transaction=False)
		pipe.lpush(samples, json.dumps({"time": look.time, "depths": dict(look.depths)}))
		pipe.ltrim(samples, 0, KEPT - 1)
		pipe.expire(samples, HOURS * 3600)
		pipe.execute()
	count_minutes(look)


def count_minutes(look: Look) -> None:
	"""Those that are over and not counted yet."""
	connection, (_, throughput) = bench.connection(), keys()
	with redis_border():
		counted = {minute for minute in map(number_in, connection.hkeys(throughput)) if minute is not None}
	last = look.time // MINUTE * MINUTE - MINUTE
	missing = {last - MINUTE * back for back in range(MOST_MINUTES)} - counted
	if not missing:
		return
	ended = ended_per_minute(connection, bench.bench_id(), look.depths, sorted(missing), ttls())
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		pipe.hset(throughput, mapping={str(minute): json.dumps(counts) for minute, counts in ended.items()})
		old = [str(minute) for minute in counted if minute < look.time - HOURS * 3600]
		if old:
			pipe.hdel(throughput, *old)
		pipe.expire(throughput, HOURS * 3600)
		pipe.execute()


def ttls() -> dict[str, float]:
	"""How long RQ lists jobs of Frappe's after their end (frappe.utils.background_jobs.enqueue)."""
	finished = number_of(frappe.conf, "rq_results_ttl", RQ_RESULTS_TTL)
	failed = number_of(frappe.conf, "rq_job_failure_ttl", RQ_JOB_FAILURE_TTL)
	return {"finished": float(finished), "failed": float(failed)}


def depths_since(instant: float) -> list[dict]:
	"""Samples, the oldest first."""
	connection, (samples, _) = bench.connection(), keys()
	with redis_border():
		kept = [sample_in(sample) for sample in connection.lrange(samples, 0, -1)]
	return [sample for sample in reversed(kept) if sample and sample["time"] >= instant]


def throughput_since(instant: float) -> list[tuple[float, int, int]]:
	"""Minute, jobs that finished, jobs that failed; the oldest first. Minutes that nobody counted are left out."""
	connection, (_, throughput) = bench.connection(), keys()
	with redis_border():
		by_minute = {
			number_in(minute): counts_in(counts) for minute, counts in connection.hgetall(throughput).items()
		}
	return [
		(minute, *counts)
		for minute, counts in sorted(
			(minute, counts) for minute, counts in by_minute.items() if minute and counts
		)
		if minute >= instant
	]
