"""
What `bench doctor` has printed since long ago, line by line: scripts read it (frappe/utils/doctor.py, Frappe 14 to 16).
Workers are those of this bench that are alive, and methods are those of a sample: the two things Frappe's own gets wrong
or pays for with every job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fmx_restart.adapters.redis_queue.look import QueueSurvey, jobs_of_site
from fmx_restart.doctor.bench_view import BenchView

HEAD = "-----Checking scheduler status-----"


def scheduler_lines(view: BenchView, sites: Sequence[str]) -> Iterator[str]:
	"""Site by site. One whose database does not answer is said so; Frappe's own ends there."""
	for site in sites:
		try:
			yield from view.access.scheduler_lines(site)
		except Exception as error:  # noqa: BLE001 - whatever Frappe or the database raises
			yield f"Scheduler status unknown for {site}: {type(error).__name__}"


def worker_line(view: BenchView) -> Iterator[str]:
	"""As Frappe's own `bench doctor` writes it: scripts look for these words."""
	yield f"Workers online: {len(view.live_workers)}"


def queue_lines(view: BenchView, site: str | None) -> Iterator[str]:
	"""As Frappe's own `bench doctor` writes it, for one site or for all."""
	yield f"-----{site} Jobs-----"
	surveys = [queue for queue in view.surveys if queue.pending]
	counts = {queue.name: queue.pending for queue in surveys}
	if site:
		counts = jobs_of_site(view.connection, view.bench_id, list(counts), site)
	for queue in surveys:
		if counts[queue.name]:
			yield from lines_of(queue, counts[queue.name], site)


def lines_of(queue: QueueSurvey, jobs: int, site: str | None) -> Iterator[str]:
	"""One queue. What was only sampled is said, which Frappe's own has no need of."""
	yield f"Queue: {queue.name}"
	yield f"Number of Jobs:  {jobs}"
	yield "Methods:"
	methods: Counter[str] = Counter()
	for method in queue.methods:
		if site in (None, method.site):
			methods[method.plain] += method.jobs
	yield from (f"{method} : {number}" for method, number in methods.items())
	if queue.sample < queue.pending:
		yield f"(of {queue.sample} jobs from the front to the back of the queue)"
	yield "------------"
