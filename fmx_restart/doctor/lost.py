"""
Lost jobs, told from those that a worker pops just now: those stand in no list either until they have started, which
takes milliseconds. So whoever looks lost is looked at once more, some time later.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from redis import Redis

from fmx_restart.adapters.redis_queue.lost import LostJob, lost_jobs, still_lost
from fmx_restart.adapters.redis_queue.records import Unreadable

SETTLING = 0.7  # seconds between the two looks
MOST_KEYS = 400_000  # job hashes that are looked at; beyond that it would take longer than a check may
MOST_LOST = 1000  # that are looked at a second time
#: What frappe.enqueue gives a job that nobody named; every other id is one that is given again and again
RANDOM_ID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$")


@dataclass(frozen=True)
class LostJobs:
	jobs: tuple[LostJob, ...]
	is_complete: bool  # False when there were too many jobs to look at all of them

	@property
	def ghosts(self) -> tuple[LostJob, ...]:
		"""Popped and never started: a worker was stopped in between (rq #2236)."""
		return tuple(job for job in self.jobs if job.status == "queued" and not job.is_stranded)

	@property
	def stranded(self) -> tuple[LostJob, ...]:
		"""As ghosts, in RQ's intermediate list: RQ will call them failed and never run them."""
		return tuple(job for job in self.jobs if job.status == "queued" and job.is_stranded)

	@property
	def abandoned(self) -> tuple[LostJob, ...]:
		"""Started, and in no registry any more."""
		return tuple(job for job in self.jobs if job.status == "started")


def find_lost_jobs(connection: Redis, bench_id: str, odd: Unreadable | None = None) -> LostJobs:
	"""`odd` takes note of what cannot be read."""
	suspects, is_complete = lost_jobs(connection, bench_id, most_keys=MOST_KEYS, unreadable=odd)
	if suspects:
		time.sleep(SETTLING)
		first = {job.id: job for job in suspects[:MOST_LOST]}
		again = still_lost(connection, bench_id, list(first))
		suspects = [job for job in again if job == first[job.id]]
	return LostJobs(tuple(sorted(suspects, key=lambda job: job.enqueued)), is_complete)


def is_deduplicated(id: str) -> bool:
	"""Whether the same id is enqueued again and again: then a lost one keeps all of its successors out."""
	return not RANDOM_ID.search(id)
