"""What a restart would do, and which strategy fits the situation."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from frappe import _

from fmx_restart.console.sentences import STORIES, order, plan_sentence, plan_warnings
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.plan import Plan, elapsed, most_left
from fmx_restart.engine.ports import Job
from fmx_restart.record import here
from fmx_restart.record.access import current, holder_text, told
from fmx_restart.record.asked import Asked
from fmx_restart.record.finite import finite
from fmx_restart.record.own_view import BENCH, OwnView
from fmx_restart.this_bench import plan_here


def preview_of(asked: Asked) -> dict[str, Any]:
	options = asked.options
	plan, now = plan_here(options), time.time()
	is_control = current().is_control
	if not is_control:
		plan = OwnView(current().site).plan(plan)
	strategy, why = recommended(plan, options)
	answer = {
		"bench": here.bench_id() if is_control else BENCH,
		"holder": holder_text(here.held()),
		"access": told(),
		"sentence": plan_sentence(plan),
		"command": asked.command,
		"steps": [{"when": when, "processes": names} for when, names in order(plan, options.strategy)],
		"left_alone": [process.name for process in plan.left_alone],
		"jobs": [job_told(job, now) for job in plan.jobs],
		"queued": plan.depths,
		"idle_workers": plan.idle_workers,
		"likely": plan.likely,
		"longest": plan.longest,
		"drain_timeout": options.drain_timeout,
		"suspension": plan.suspension,
		"warnings": plan_warnings(plan),
		"findings": [asdict(finding) for finding in plan.findings],
		"strategy": options.strategy.value,
		"recommended": strategy.value,
		"why": why,
		"strategies": [{"strategy": known.value, "line": _(STORIES[known])} for known in STORIES],
	}
	return finite(answer)


def job_told(job: Job, now: float) -> dict[str, Any]:
	"""Never its arguments: this dict is all that leaves the bench about a job."""
	names = {"id": job.id, "site": job.site, "method": job.method, "queue": job.queue}
	return {**names, "elapsed": elapsed(job, now), "most_left": most_left(job, now)}


def recommended(plan: Plan, options: Options) -> tuple[Strategy, str]:
	if options.migration:
		return Strategy.WAIT_WORKERS, _("A migration needs the workers to be at rest.")
	if not plan.jobs:
		return Strategy.WAIT_WORKERS, _("No job is running: there is nothing to wait for.")
	patience = options.drain_timeout if options.strategy is Strategy.WAIT_WORKERS else Options().drain_timeout
	if plan.longest is not None and plan.longest <= patience:
		return Strategy.WAIT_WORKERS, _("The running jobs end within the time they get, by their own limits.")
	if plan.likely is not None and plan.likely <= patience:
		return Strategy.WAIT_WORKERS, _("The running jobs usually end within the time they get.")
	return Strategy.ROLLING, _(
		"A job may run for longer than it would get; the queue goes on while workers are replaced."
	)
